"""All live sources of a shard as the one source of its supervisor, with what belongs to them: roll, mode, readings."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from copytrading.sources.stats import SourceStats, SourceTold
from copytrading.supervisor import Source
from ledger.clock import Clock


class Switched:
    """A source that can be put aside and taken up again while everything else goes on."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._on = True
        self._turned = asyncio.Event()

    @property
    def name(self) -> str:
        """The source's own."""
        return self._source.name

    def switch(self, on: bool) -> None:
        """From now on hear, or do not."""
        if on is not self._on:
            self._on = on
            self._turned.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Run the source while it is on, until stopped."""
        while not stop.is_set():
            self._turned.clear()
            if self._on:
                await self._run_once(stop)
            else:
                await _first_of(stop.wait(), self._turned.wait())

    async def _run_once(self, stop: asyncio.Event) -> None:
        ended = asyncio.Event()
        running = asyncio.create_task(self._source.run(ended), name=self.name)
        try:
            await _first_of(stop.wait(), self._turned.wait(), asyncio.shield(running))
        finally:
            ended.set()
            await running


class Hearing:
    """Runs its parts beside each other. Each reconnects by itself; what escapes one is a bug and ends them all."""

    name = "hearing"

    def __init__(
        self,
        parts: Sequence[Source],
        clock: Clock,
        *,
        stats: Mapping[str, SourceStats],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        """`stats` by label, in the order of showing; `close` lets go of the network at the end."""
        self.parts, self.stats = tuple(parts), stats
        self._clock, self._close = clock, close

    async def run(self, stop: asyncio.Event) -> None:
        """Hear until stopped."""
        try:
            async with asyncio.TaskGroup() as group:
                for part in self.parts:
                    group.create_task(part.run(stop), name=part.name)
        finally:
            await self._close()

    def told(self) -> tuple[SourceTold, ...]:
        """What each source delivered so far."""
        now_ms = self._clock.monotonic_ms()
        return tuple(each.told(now_ms) for each in self.stats.values())


async def _first_of(*waits: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> None:
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
