"""Asks one host for JSON within its limits: what can be tried again is tried again, the rest is refused with a name."""

from collections.abc import Sequence
from urllib.parse import urlencode

import structlog

from execution.http import Answer, Http, HttpDown
from execution.limits import SERVER_ERROR, TOO_MANY, HostLimits
from execution.wire import WireError, decode

TRIES = 3
"""Of one question; between them lies the pause of the whole host."""

TIMEOUT_S = 10.0
"""A page of 1,000 rows takes well under a second; the host delays requests above its limit before it refuses them."""

OK, TOO_EARLY, REQUEST_TIMEOUT = 200, 425, 408

log = structlog.get_logger(__name__)

Query = Sequence[tuple[str, str]]
"""Names and values in their order; a name that stands several times is a list to the venue."""


class HostDown(Exception):
    """The host gave no usable answer for now: asking again later may help."""


class HostRefused(Exception):
    """The host says no, and will say it again: an unknown market, or a question that it does not take."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The host answered {status}.")
        self.status = status


class Host:
    """One base address and the limits that its askers share."""

    def __init__(self, http: Http, limits: HostLimits, *, base_url: str, tries: int = TRIES) -> None:
        self._http, self._limits = http, limits
        self._base_url, self._tries = base_url.rstrip("/"), tries

    async def ask(self, kind: str, path: str, query: Query = ()) -> object:
        """The decoded answer to a GET. Raises HostDown and HostRefused."""
        url = f"{self._base_url}{path}?{urlencode(list(query))}" if query else f"{self._base_url}{path}"
        trouble = "it was never asked"
        for _ in range(self._tries):
            await self._limits.turn(kind)
            try:
                answer = await self._http.get(url, timeout_s=TIMEOUT_S)
            except HttpDown as error:
                self._limits.silent()
                trouble = str(error)
                continue
            self._limits.answered(answer.status, answer.headers)
            if answer.status == OK:
                try:
                    return decode(answer.body)
                except WireError as error:
                    # A page of the proxy in front of it: an error that calls itself a success.
                    self._limits.silent()
                    trouble = str(error)
                    continue
            if not _may_come_back(answer):
                raise HostRefused(answer.status)
            trouble = f"it answered {answer.status}"
        raise HostDown(f"{kind}: {trouble}")


def _may_come_back(answer: Answer) -> bool:
    return answer.status in (TOO_MANY, TOO_EARLY, REQUEST_TIMEOUT) or answer.status >= SERVER_ERROR
