"""All live sources of a shard as the one source of its supervisor, with what belongs to them: roll, mode, readings."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

import structlog

from copytrading.sources.stats import SourceStats, SourceTold
from copytrading.supervisor import Source
from ledger.clock import Clock

STOP_WAIT_S = 3.0
"""A part may end so long after a stop, and is cut off then: some wait for the network longer than a stop may take.
What it was at is read again from its cursor."""

log = structlog.get_logger(__name__)


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
        except asyncio.CancelledError:
            running.cancel()
            raise
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
        prepare: Callable[[], Awaitable[None]] | None = None,
        close: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`stats` by label, in the order of showing; `close` lets go of the network, where nobody else does it.

        `prepare` ends before any part begins: a source that goes on from its cursor before it knows whom to hear would
        read past what it should have heard.
        """
        self.parts, self.stats = tuple(parts), stats
        self._clock, self._prepare, self._close = clock, prepare, close

    async def run(self, stop: asyncio.Event) -> None:
        """Hear until stopped."""
        try:
            if self._prepare is not None:
                await self._prepare()
            async with asyncio.TaskGroup() as group:
                parts = {group.create_task(part.run(stop), name=part.name) for part in self.parts}
                await _end_of(parts, stop.wait())
                if stop.is_set():
                    await _end_of(parts, self._clock.sleep(STOP_WAIT_S))
                for part in parts:
                    if part.cancel():
                        log.warning("A source was cut off at its stop.", action="stop", source=part.get_name())
        finally:
            if self._close is not None:
                await self._close()

    def told(self) -> tuple[SourceTold, ...]:
        """What each source delivered so far."""
        now_ms = self._clock.monotonic_ms()
        return tuple(each.told(now_ms) for each in self.stats.values())


async def _end_of(parts: set[asyncio.Task[None]], wait: Coroutine[Any, Any, Any]) -> None:
    """Return when all parts have ended, or the wait has."""
    waiting = asyncio.ensure_future(wait)
    try:
        while not waiting.done() and (left := {part for part in parts if not part.done()}):
            await asyncio.wait({waiting, *left}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()


async def _first_of(*waits: Coroutine[Any, Any, Any] | asyncio.Future[Any]) -> None:
    tasks = [asyncio.ensure_future(each) for each in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
