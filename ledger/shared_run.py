"""One run for all who wait: they go on together when it ends.

A lock would let them look one after the other, a turn of the event loop for each: for a hundred orders on a busy loop
that was two seconds (docs/benchmarks.md).
"""

import asyncio
from collections.abc import Callable, Coroutine


class SharedRun:
    """Runs `work`, never twice at the same time; whoever comes meanwhile shares its end, also when it raises."""

    def __init__(self, work: Callable[[], Coroutine[object, object, None]], *, name: str) -> None:
        self._work, self._name = work, name
        self._running: asyncio.Task[None] | None = None
        self.waiting = 0
        """How many wait for the end of a run now."""

    def begin(self) -> "asyncio.Task[None]":
        """The run under way, or one begun now, for those who will join it; what it raises is theirs."""
        if self._running is None:
            self._running = asyncio.create_task(self._work(), name=self._name)
            self._running.add_done_callback(self._ended)
        return self._running

    async def join(self) -> None:
        """Return when the run under way, or one begun now, has ended. Raises what it raised."""
        running = self.begin()
        self.waiting += 1
        try:
            # Whoever gives up does not end it for the others.
            await asyncio.shield(running)
        finally:
            self.waiting -= 1

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running = None
        if not task.cancelled():
            task.exception()  # everybody may have given up
