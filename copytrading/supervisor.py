"""Starts the services of one shard, and stops them in order: sources, intake, queue, sends, and last the lease.

Expected trouble is handled inside a service. An exception that escapes one is a bug: everything is stopped
and it reaches the caller, so that the process ends and its supervisor starts it again.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from copytrading.breaker_watch import Breakers
from copytrading.config_index import ConfigIndex
from copytrading.costs import NO_COSTS, Costs
from copytrading.intake import Intake
from copytrading.metrics import StageTimes, Tallies
from copytrading.outcomes import OutcomeWriter
from copytrading.pipeline import Pipeline
from copytrading.queries import open_signal_ids
from copytrading.reporter import Reporter
from copytrading.rescue import Rescue
from copytrading.sending import Sender
from copytrading.shardlease import LeaseKeeper
from copytrading.shedder import Shedder
from copytrading.stopper import Stopper
from copytrading.sweeper import Sweeper
from copytrading.vitals import Vitals
from execution.terms import KnownTerms
from guardrails.stores.base import StoreDown, Stores
from ledger.clock import Clock
from ledger.db import ClosableDatabase

DRAIN_LOOK_S = 0.01
"""How often draining looks whether it is done."""

DECIDE_TENTHS, SEND_TENTHS = 6, 9
"""Parts of the drain's bound by which deciding and sending must have ended, so that the rest fits behind them."""

log = structlog.get_logger(__name__)


class Service(Protocol):
    """Something that runs beside the rest until it is told to stop."""

    @property
    def name(self) -> str:
        """Its name in the log, unlike any other's."""
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stopped."""
        ...


class Source(Protocol):
    """A feed of leader actions; returns when it has ended or was told to stop."""

    @property
    def name(self) -> str:
        """Its name in the log."""
        ...

    async def run(self, stop: asyncio.Event) -> None:
        """Read and put until stopped."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Everything one shard runs on, put together by wiring.

    `deciding` also hand orders to the sender, and stop with the pipeline; `following` look after what was sent and
    whose it is, and stop after the last send.
    """

    clock: Clock
    database: ClosableDatabase
    stores: Stores
    lease: LeaseKeeper
    intake: Intake
    pipeline: Pipeline
    sender: Sender
    writer: OutcomeWriter
    breakers: Breakers
    configs: ConfigIndex
    terms: KnownTerms
    sweeper: Sweeper
    shedder: Shedder
    stopper: Stopper
    rescue: Rescue
    reporter: Reporter
    stages: StageTimes
    tallies: Tallies
    costs: Costs = NO_COSTS
    deciding: tuple[Service, ...] = ()
    following: tuple[Service, ...] = ()


class Supervisor:
    """Runs an engine with a source until the source ends or a stop is asked for."""

    def __init__(self, engine: Engine, *, drain_ms: int) -> None:
        self._engine, self._drain_ms = engine, drain_ms
        self._stops: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.vitals: Vitals | None = None
        """Signs of life for probers, from before the shard is taken until it is released; None: nobody asks."""
        self.let_go: Callable[[], Awaitable[None]] | None = None
        """Lets go of the network when everything has ended: the last decisions may still need a market."""

    async def run(self, source: Source, stop: asyncio.Event) -> bool:
        """True when everything was drained; False when the drain's bound ended it first.

        A source that ends by itself is drained to its last copy; a stop drains within `drain_ms`. What is
        left is in the database and goes on at the next start. Raises LeaseHeldByAnother, or what escaped.
        """
        try:
            async with self._watched(stop):
                return await self._run(source, stop)
        finally:
            if self.let_go is not None:
                await self.let_go()

    @asynccontextmanager
    async def _watched(self, stop: asyncio.Event) -> AsyncIterator[None]:
        if self.vitals is None:
            yield
            return
        ended = asyncio.Event()
        watching = asyncio.create_task(self.vitals.run(ended), name=self.vitals.name)
        watching.add_done_callback(lambda _done: stop.set())  # before the end only by a bug, which is raised below
        try:
            yield
        finally:
            ended.set()
            await watching

    async def _run(self, source: Source, stop: asyncio.Event) -> bool:
        engine = self._engine
        lease = await engine.lease.acquire(stop)
        if lease is None:
            log.info("Stopped while another supervisor held the shard.", action="stop")
            return True
        await self._forget_queue()
        log.info("Shard taken.", action="start", shard=f"{lease.shard}/{lease.of}", term=lease.term)
        try:
            async with asyncio.TaskGroup() as group:
                self._start_all(group, source)
                try:
                    return await self._until_stopped(stop)
                except BaseException:
                    # A wait of a library that ends in the moment of its cancellation may swallow it, as one of Redis
                    # did in a process that woke up: whoever goes on nevertheless is asked to stop.
                    for each in self._stops.values():
                        each.set()
                    raise
        finally:
            await engine.lease.release()
            log.info("Shard released.", action="stop", shard=f"{lease.shard}/{lease.of}", term=lease.term)

    async def _forget_queue(self) -> None:
        # The shard is ours alone now. Whatever a dead holder left in its queue would be given out again only
        # after a while; the sweeper offers every open signal from the database at once.
        try:
            await self._engine.stores.clear()
        except StoreDown:
            log.warning("The queue is down; signals wait in the database.", action="start")

    def _start_all(self, group: asyncio.TaskGroup, source: Source) -> None:
        engine = self._engine
        trading = (engine.rescue, engine.pipeline, engine.sweeper, engine.shedder, engine.stopper)
        watching = (engine.lease, engine.writer, engine.reporter, engine.breakers, engine.configs)
        services: tuple[Service, ...] = (*watching, *engine.following, *trading, *engine.deciding)
        for service in services:
            self._start(group, service.name, service.run)
        self._start(group, "intake", engine.intake.run)
        self._start(group, "source", source.run)

    def _start(
        self, group: asyncio.TaskGroup, name: str, run: Callable[[asyncio.Event], Coroutine[Any, Any, None]]
    ) -> None:
        self._stops[name] = asyncio.Event()
        self._tasks[name] = group.create_task(self._engine.costs.steps(name, run(self._stops[name])), name=name)

    async def _until_stopped(self, stop: asyncio.Event) -> bool:
        asked = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait({self._tasks["source"], asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        bound_ms = self._drain_ms if stop.is_set() else None
        self._engine.intake.hurry = stop.is_set()
        began_ms = self._engine.clock.monotonic_ms()
        for name in ("source", "intake"):
            await self._end(name)
        drained = await self._drain(stop, bound_ms, began_ms=began_ms)
        engine = self._engine
        for name in ("stopper", "sweeper", "shedder", *(each.name for each in engine.deciding), "pipeline"):
            await self._end(name)
        await self._finish_sends(bound_ms, began_ms=began_ms)
        for name in ("rescue", *(each.name for each in engine.following)):
            await self._end(name)
        for name in ("outcomes", "breakers", "configs", "reporter", "lease"):
            await self._end(name)
        return drained

    async def _end(self, name: str) -> None:
        self._stops[name].set()
        await self._tasks[name]

    async def _drain(self, stop: asyncio.Event, bound_ms: int | None, *, began_ms: float) -> bool:
        """Wait until every recorded signal is decided and every order has its outcome."""
        engine = self._engine
        while True:
            if bound_ms is None and stop.is_set():
                bound_ms, began_ms = self._drain_ms, engine.clock.monotonic_ms()
            if await self._is_drained():
                return True
            if bound_ms is not None and engine.clock.monotonic_ms() - began_ms > bound_ms * DECIDE_TENTHS / 10:
                log.warning("The drain ended at its bound; the rest goes on at the next start.", action="drain")
                return False
            await engine.clock.sleep(DRAIN_LOOK_S)

    async def _is_drained(self) -> bool:
        engine = self._engine
        if engine.sender.in_flight:
            return False
        return not await engine.database.run(
            open_signal_ids, before=engine.clock.now(), limit=1, shard=engine.lease.shard
        )

    async def _finish_sends(self, bound_ms: int | None, *, began_ms: float) -> None:
        engine = self._engine
        while engine.sender.in_flight:
            engine.sender.raise_failure()
            if bound_ms is not None and engine.clock.monotonic_ms() - began_ms > bound_ms * SEND_TENTHS / 10:
                log.warning("Orders are still under way; rescue will ask about them.", action="drain")
                break
            await engine.clock.sleep(DRAIN_LOOK_S)
        engine.sender.raise_failure()
        # Nothing leaves that nobody would hear the answer of; what the venue refused to look at until now ends here.
        engine.sender.close()
        await engine.clock.sleep(DRAIN_LOOK_S)
