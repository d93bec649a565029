"""Asks the CLOB one question: signed, in its turn, within its time, and only once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlencode

from execution.clob.auth import l2_headers
from execution.clob.credentials import ApiCredentials
from execution.hosts import HostDown, HostRefused
from execution.http import Answer, Http, HttpDown
from execution.limits import HostLimits
from execution.wire import WireError, decode
from ledger.clock import Clock

OK, SERVER_ERROR = 200, 500
LATER = frozenset({408, 425, 429})

JSON_TYPE: Mapping[str, str] = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One request; with `credentials` it is signed by them, and the signature covers path and body, not the query.

    `also` names further limits that it counts towards.
    """

    kind: str
    path: str
    method: Literal["GET", "POST", "DELETE"] = "GET"
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    credentials: ApiCredentials | None = None
    also: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The path without what is asked about: for errors, which people read."""
        return self.path.split("/0x")[0]


class Asker:
    """Everybody's questions to one base address. `ahead_s` is how far the venue's clock is before ours."""

    def __init__(self, http: Http, clock: Clock, *, limits: HostLimits, base_url: str, timeout_s: float) -> None:
        self._http, self._clock, self._limits = http, clock, limits
        self._base_url, self._timeout_s = base_url.rstrip("/"), timeout_s
        self.ahead_s = 0.0

    def timestamp(self) -> int:
        """The venue's time in whole seconds, which signatures carry."""
        return int(self._clock.now().timestamp() + self.ahead_s)

    async def ask(self, question: Question) -> object:
        """The decoded answer. Raises HostDown and HostRefused."""
        if self._limits.paused:
            # Whoever asks has better things to do than to wait out a pause of minutes.
            raise HostDown(f"{question.name}: the venue is left alone for a while")
        for kind in (question.kind, *question.also):
            await self._limits.turn(kind)
        try:
            answer = await self._send(question)
        except HttpDown as error:
            self._limits.silent()
            raise HostDown(f"{question.name}: {error}") from None
        self._limits.answered(answer.status, answer.headers)
        if answer.status != OK:
            if answer.status >= SERVER_ERROR or answer.status in LATER:
                raise HostDown(f"{question.name}: it answered {answer.status}")
            raise HostRefused(answer.status)
        try:
            return decode(answer.body)
        except WireError:
            # A page of the proxy in front of it: an error that calls itself a success.
            self._limits.silent()
            raise HostDown(f"{question.name}: it answered with something else than JSON") from None

    async def _send(self, question: Question) -> Answer:
        url, headers = f"{self._base_url}{question.path}", dict(question.headers)
        if question.credentials is not None:
            headers |= l2_headers(
                question.credentials,
                timestamp=self.timestamp(),
                method=question.method,
                path=question.path,
                body=question.body,
            )
        if question.method == "GET":
            asked = f"{url}?{urlencode(question.query)}" if question.query else url
            return await self._http.get(asked, headers=headers, timeout_s=self._timeout_s)
        headers |= JSON_TYPE
        send = self._http.post if question.method == "POST" else self._http.delete
        return await send(url, body=question.body, headers=headers, timeout_s=self._timeout_s)
