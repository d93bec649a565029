"""The activity stream: every trade of the venue, filtered here by the wallets that somebody follows.

The venue filters by no wallet, so the whole feed comes in and all but a few frames go out again after a look at
their bytes. A connection is a walk of its own (`copytrading/sources/listening.py`); before one has grown old its
successor is already heard, so that changing over loses nothing.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass

import structlog

from copytrading.pauses import sleep_or_stop
from copytrading.sources.frames import RecentFrames
from copytrading.sources.line import ActivitySettings, Line, Refused
from copytrading.sources.listening import Listening
from copytrading.sources.live import Ear
from copytrading.sources.stats import SourceStats
from execution.backoff import backoff_s
from execution.sockets import SocketDown, Sockets

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivityDoors:
    """The network, and the counters of the second label: `ear.stats` are those of `trades` rows."""

    sockets: Sockets
    matched: SourceStats


class ActivitySource:
    """Hears the types `trades` and `orders_matched` for as long as there is a leader to hear.

    Reconnects by itself; only a bug escapes. What came before the connection, or between two, is not asked for: the
    stream has no memory, and polls and chain logs fill the gap. Each gap is counted (`gaps` of the label `trades`) and
    its length logged: alone the stream cannot know what came then, nor that the venue left out a single frame.
    """

    name = "activity"

    def __init__(self, doors: ActivityDoors, ear: Ear, settings: ActivitySettings) -> None:
        self._sockets, self._ear, self._settings = doors.sockets, ear, settings
        self._listening = Listening(ear, doors.matched, settings, recent=RecentFrames())
        self._failures = 0

    def lag_ms(self, now_ms: float) -> float | None:
        """How old the rows of the whole feed were when they came, at the 95th percentile of the last minute."""
        return self._listening.lag_ms(now_ms)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until stopped; then every walk is ended."""
        line: Line | None = None
        try:
            while not stop.is_set():
                version = self._ear.leaders.version
                if not self._ear.leaders.wallets:
                    await _hung_up(line)
                    line = None
                    self._listening.gaps.forget()
                    await _first_of(stop.wait(), self._ear.leaders.changed(version))
                elif line is None:
                    line = await self._connect(stop, deaf=True)
                else:
                    news = (line.ended.wait(), line.spent.wait(), self._ear.leaders.changed(version))
                    await _first_of(stop.wait(), *news)
                    line = await self._look_after(line, stop)
        finally:
            await _hung_up(line)

    async def _look_after(self, line: Line, stop: asyncio.Event) -> Line | None:
        if line.ended.is_set():
            self._listening.gaps.lost(line.data_at_ms)
            await self._conclude(line, stop)
            return None
        return await self._replace(line, stop) if line.spent.is_set() else line

    async def _connect(self, stop: asyncio.Event, *, deaf: bool = False) -> Line | None:
        tried_ms = self._ear.clock.monotonic_ms()
        try:
            return await self._listening.begin(self._sockets)
        except SocketDown as down:
            if deaf:
                self._listening.gaps.lost(tried_ms)
            log.warning("The activity stream cannot be reached.", action="connect", source=self.name, why=str(down))
            await self._wait(stop)
            return None

    async def _replace(self, line: Line, stop: asyncio.Event) -> Line:
        """The successor, once it is heard; until then both are, and one that stays mute replaces nobody."""
        line.spent.clear()
        successor = await self._connect(stop)
        if successor is None:
            return line
        clock, terms = self._ear.clock, self._settings
        try:
            news = (successor.heard.wait(), successor.ended.wait(), clock.sleep(terms.handover_s))
            await _first_of(stop.wait(), *news)
            if successor.heard.is_set():
                news = (line.ended.wait(), successor.ended.wait(), clock.sleep(terms.overlap_s))
                await _first_of(stop.wait(), *news)
        except asyncio.CancelledError:
            await successor.close()
            raise
        if successor.heard.is_set() and not successor.ended.is_set():
            await line.close()
            return successor
        if successor.ended.is_set():
            await self._conclude(successor, stop)
        else:
            await successor.close()
        return line

    async def _conclude(self, line: Line, stop: asyncio.Event) -> None:
        """Say why a line ended, and wait before the next; one that was heard for a while was no failure."""
        try:
            await line.finish()
        except Refused as refused:
            log.error("The venue refused the subscription.", action="subscribe", source=self.name, why=str(refused))
        except SocketDown as down:
            log.warning("A connection ended.", action="receive", source=self.name, why=str(down), frames=line.frames)
        lasted_ms = self._ear.clock.monotonic_ms() - line.began_ms
        if line.heard.is_set() and lasted_ms >= self._settings.silent_s * 1_000:
            self._failures = 0
        await self._wait(stop)

    async def _wait(self, stop: asyncio.Event) -> None:
        terms, chance = self._settings, self._ear.randomness
        seconds = backoff_s(self._failures, base_s=terms.backoff_s, cap_s=terms.backoff_max_s, randomness=chance)
        self._failures += 1
        await sleep_or_stop(self._ear.clock, stop, seconds)


async def _hung_up(line: Line | None) -> None:
    if line is not None:
        await line.close()


async def _first_of(*things: Awaitable[object]) -> None:
    """Return when the first of these is there; the others are given up."""
    tasks = [asyncio.ensure_future(thing) for thing in things]
    try:
        done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
