"""One connection to the activity stream while it is heard, and the named times of the stream."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass

from copytrading.sources.frames import SOURCES
from execution.sockets import Socket, SocketDown

LOOKS = 8
"""Frames of each second that are decoded whatever they hold: how old they are says whether the feed is alive."""

STRANGE_TYPES_MAX = 4
"""Types of rows that nobody knows and that are heard all the same, of one connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivitySettings:
    """Where the stream is, and its named times; polymarket.md section 4.1 has where the numbers come from."""

    url: str
    filter_by_address: bool = True
    ping_s: float = 5.0
    silent_s: float = 15.0
    """Without any data for so long the connection is given up, whatever it answers to pings."""
    stale_s: float = 60.0
    """With data, but none that is fresh, for so long another connection is tried beside it."""
    fresh_s: float = 10.0
    """Data are fresh when what they tell happened at most so long ago: five times the usual delay."""
    renew_least_s: float = 600.0
    renew_most_s: float = 900.0
    """Streams have stopped silently after 20 minutes: after a time between these another connection takes over."""
    handover_s: float = 5.0
    """A new connection must bring data within this to take over."""
    overlap_s: float = 2.0
    """Both are heard for so long then: what the old one still has under way was sent before the new one began."""
    open_s: float = 10.0
    backoff_s: float = 0.5
    backoff_max_s: float = 30.0


class Refused(SocketDown):
    """The venue answered the subscription with an error."""


class Line:
    """One connection while it is heard."""

    def __init__(self, socket: Socket, walk: str) -> None:
        self.socket, self.walk = socket, walk
        self.heard, self.spent, self.ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.frames = 0
        """Data frames so far."""
        self.foreign = self.foreign_matched = 0
        """Screened out since the last tick."""
        self.looks = LOOKS
        self.busy = False
        """Something is being offered: not receiving is no silence then."""
        self.strange_walks: dict[str, str] = {}
        self.began_ms = self.renew_at_ms = self.fresh_at_ms = self.data_at_ms = 0.0
        self._task: asyncio.Task[None] | None = None

    def begin(self, work: Coroutine[None, None, None]) -> None:
        """From here on the line is heard by a task of its own."""
        self._task = asyncio.create_task(work, name=self.walk)
        self._task.add_done_callback(self._end)

    def _end(self, task: asyncio.Task[None]) -> None:
        # Looked at here, so that a line that dies while everything ends leaves no complaint behind the last word.
        if not task.cancelled():
            task.exception()
        self.ended.set()

    async def finish(self) -> None:
        """The end of the task; raises what ended it, SocketDown or a bug."""
        if self._task is not None:
            await self._task

    async def close(self) -> None:
        """End it now; only a bug is raised."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled() and not isinstance(self._task.exception(), SocketDown | None):
            self._task.result()

    def walk_of(self, declared: str) -> str | None:
        """The walk of rows of this type; a type nobody knows has its own, so that it is never added to another's."""
        if declared in SOURCES:
            return self.walk
        if declared not in self.strange_walks and len(self.strange_walks) < STRANGE_TYPES_MAX:
            self.strange_walks[declared] = f"{self.walk}:{len(self.strange_walks)}"
        return self.strange_walks.get(declared)
