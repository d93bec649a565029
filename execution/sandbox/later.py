"""Things that happen after a while, and the background tasks of the sandbox: one owner, so that closing leaves none."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from ledger.clock import Clock, Randomness

WAITING_MAX = 200_000
"""Deliveries that may wait at once; beyond, the next one is a bug of the caller's rate and raises."""


class Later:
    """Runs callbacks after a time of the clock, and keeps tasks until it is closed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self.broken = asyncio.Event()
        """Set when something here failed; `close` then raises it."""

    def after_ms(self, ms: float, callback: Callable[[], None]) -> None:
        """Call it then; at once, before returning, when the time is zero or less."""
        if ms <= 0:
            callback()
            return
        if len(self._tasks) >= WAITING_MAX:
            raise RuntimeError(f"{WAITING_MAX} deliveries wait already.")
        self.keep(self._call(ms, callback))

    def keep(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run it in the background until it ends or this is closed. What it raises, `close` raises."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    async def close(self) -> None:
        """Cancel everything that waits."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def _done(self, task: asyncio.Task[None]) -> None:
        # A task that failed stays, so that closing shows what it raised.
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)
        else:
            self.broken.set()

    async def _call(self, ms: float, callback: Callable[[], None]) -> None:
        await self._clock.sleep(ms / 1_000)
        callback()


@dataclass(frozen=True, slots=True)
class Latency:
    """How long after the match a door shows it: the median and the 90th percentile, in milliseconds."""

    median_ms: int
    p90_ms: int

    def draw_ms(self, chance: Randomness, factor: float) -> float:
        """One delay: straight lines between 3/4 of the median, the median, the 90th percentile and 1.5 times that."""
        draw = chance.fraction()
        low, high, part = self._stretch(draw)
        return factor * (low + (high - low) * part)

    def _stretch(self, draw: float) -> tuple[float, float, float]:
        if draw < 0.5:
            return 0.75 * self.median_ms, self.median_ms, draw / 0.5
        if draw < 0.9:
            return self.median_ms, self.p90_ms, (draw - 0.5) / 0.4
        return self.p90_ms, 1.5 * self.p90_ms, (draw - 0.9) / 0.1
