"""The dashboard's socket: it tells staff who may look that there is something new, and nothing else. Reads only.

Daphne buffers without bound what a slow reader does not take. So one hint may be on its way, and the next is
sent only after the page acknowledged it: only the newest sequence matters.
"""

import asyncio
import json
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import structlog
from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.http import parse_cookie

from copytrading.dashboard.feed import Feed
from copytrading.dashboard.queries import session_may_look
from ledger.clock import Clock
from ledger.db import Database

RECHECK_SECONDS = 60
"""A session is asked about at least so often; also before each hint and after each message."""

ACK_SECONDS_MAX = 30
"""A page that does not acknowledge for so long is gone or hostile."""

MESSAGE_BYTES_MAX = 64 * 1024
MESSAGES_PER_SECOND_MAX = 10
"""A page sends one acknowledgement for each hint, at most two a second."""

log = structlog.get_logger(__name__)


class Close(IntEnum):
    """Why the server closes a socket; the page shows its own sentence for each."""

    NOT_UNDERSTOOD = 4400
    NOT_ALLOWED = 4403
    NOT_ACKNOWLEDGED = 4408
    TOO_LARGE = 4413
    TOO_MANY = 4429
    TROUBLE = 4503


@dataclass(frozen=True, slots=True, kw_only=True)
class SocketDoors:
    """The outside of a socket, shared by all sockets of the process."""

    feed: Feed
    database: Database
    clock: Clock


class DashboardConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """One open page."""

    def __init__(self, doors: SocketDoors) -> None:
        super().__init__()
        self._doors = doors
        self._session_key = ""
        self._wake = asyncio.Event()
        self._teller: asyncio.Task[None] | None = None
        self._sent: int | None = None
        self._unanswered_since_ms: float | None = None
        self._second = 0
        self._messages = 0
        self._closing = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one socket; whatever ends it ends its task."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._teller is not None:
                self._teller.cancel()

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Handle a message here: Channels would first hop over the one thread that all consumers share."""
        await getattr(self, get_handler_name(message))(message)

    async def websocket_disconnect(self, _message: dict[str, Any]) -> None:
        """The other end is gone."""
        raise StopConsumer

    async def connect(self) -> None:
        """Let in who may look; the origin was checked on the way here (routing.py)."""
        self._session_key = session_key(self.scope["headers"])
        if self._doors.feed.full() or not await self._allowed():
            await self.close()
            return
        await self.accept()
        self._teller = asyncio.create_task(self._tell(), name="dashboard socket")

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Take an acknowledgement of the last hint; it counts only after the session was asked about again."""
        if self._closing:
            return
        refusal = self._refusal(text_data, bytes_data)
        if refusal is not None:
            await self._end(refusal)
            return
        self._unanswered_since_ms = None
        self._wake.set()

    async def _tell(self) -> None:
        try:
            with self._doors.feed.listening(self._wake):
                await self._end(await self._tell_while_allowed())
        except Exception:  # a service's border: fail closed, the page comes back by itself
            log.warning("A dashboard socket failed.", action="socket", exc_info=True)
            await self._end(Close.TROUBLE)

    async def _tell_while_allowed(self) -> Close:
        while await self._allowed():
            self._wake.clear()
            if self._overdue():
                return Close.NOT_ACKNOWLEDGED
            await self._hint()
            await self._doors.clock.sleep(self._doors.feed.pace_seconds())
            await self._woken_or(RECHECK_SECONDS)
        return Close.NOT_ALLOWED

    async def _hint(self) -> None:
        sequence = self._doors.feed.sequence
        if sequence is None or sequence == self._sent or self._unanswered_since_ms is not None:
            return
        self._sent, self._unanswered_since_ms = sequence, self._doors.clock.monotonic_ms()
        pace_ms = round(self._doors.feed.pace_seconds() * 1_000)
        await self.send(json.dumps({"type": "hint", "sequence": sequence, "pace_ms": pace_ms}))

    async def _woken_or(self, seconds: float) -> None:
        tasks = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._doors.clock.sleep(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()

    async def _allowed(self) -> bool:
        return await self._doors.database.run(session_may_look, self._session_key)

    def _overdue(self) -> bool:
        since = self._unanswered_since_ms
        return since is not None and self._doors.clock.monotonic_ms() - since > ACK_SECONDS_MAX * 1_000

    def _refusal(self, text: str | None, binary: bytes | None) -> Close | None:
        second = int(self._doors.clock.monotonic_ms() // 1_000)
        self._messages = self._messages + 1 if second == self._second else 1
        self._second = second
        if self._messages > MESSAGES_PER_SECOND_MAX:
            return Close.TOO_MANY
        if len(binary or (text or "").encode()) > MESSAGE_BYTES_MAX:
            return Close.TOO_LARGE
        return None if text is not None and self._acknowledges(text) else Close.NOT_UNDERSTOOD

    def _acknowledges(self, text: str) -> bool:
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return False
        return self._sent is not None and message == {"type": "ack", "sequence": self._sent}

    async def _end(self, code: Close) -> None:
        if not self._closing:
            self._closing = True
            await self.close(code=int(code))


def session_key(headers: list[tuple[bytes, bytes]]) -> str:
    """The session cookie of a handshake, or nothing."""
    cookies = "; ".join(value.decode("latin1") for name, value in headers if name == b"cookie")
    return parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME, "")
