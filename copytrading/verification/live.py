"""Live engines in processes of their own on a sandbox in this one: for checks and benchmarks of what they hear."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime

from copytrading.models import Follower, Leader, SignalCursor
from copytrading.operations.following import follow
from copytrading.operations.hearing import HEARD, hear
from copytrading.signals import CHAIN_LOGS
from copytrading.verification.heard import Progress, acted_totals, difference, progress, require_once_each, truth_of
from copytrading.verification.processes import EngineProcess, Engines, Words, engines, until
from copytrading.verification.steps import Wrong
from execution.sandbox.chain_doors import chain_doors
from execution.sandbox.on_chain import OnChain
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.clock import Clock
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE

TICK_S = 0.1
LOOK_S = 0.2
READY_S_MAX = 60
END_S_MAX = 60
CASH_MICROS = 1_000_000 * ONE
TERMS: Mapping[str, object] = {"sizing": "SHARES", "shares_micros": 10 * ONE}


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """`environment` makes an engine's variables of settings; `heard_since` None: since the first engine listens.

    `clock` is the sandbox's alone.
    """

    box: SandboxOptions
    environment: Callable[[Mapping[str, Words]], dict[str, str]]
    settings: Mapping[str, Words]
    followers: int
    chain: bool = False
    heard_since: datetime | None = None
    clock: Clock = field(default_factory=SystemClock)


@dataclass(slots=True, kw_only=True)
class LiveStage:
    """The running sandbox, those who follow there, and a starter of engines that hear it."""

    box: Sandbox
    database: ThreadedDatabase
    engines: Engines
    on_chain: bool
    clock: Clock = field(default_factory=SystemClock)
    steps: int = 0
    """Of the sandbox's generator, so far."""

    async def start(self) -> EngineProcess:
        """An engine; one that is the first is waited for until it hears everybody."""
        engine = self.engines.start()
        if len(self.engines.started) == 1:
            await until(
                self.clock, self._hears, within_s=READY_S_MAX, else_say="The engine heard nobody.", alive=[engine]
            )
        return engine

    async def stop(self, engine: EngineProcess) -> None:
        """Ask the engine to end, and wait for it. Raises Wrong when it does not end well."""
        engine.ask_to_stop()

        async def ended() -> bool:
            return not engine.is_alive()

        await until(self.clock, ended, within_s=END_S_MAX, else_say="The engine did not end.")
        if engine.process.returncode:
            raise Wrong(f"The engine ended with code {engine.process.returncode}: {engine.said_last()}")

    @asynccontextmanager
    async def playing(self, steps_per_s: int) -> AsyncIterator[None]:
        """Meanwhile things happen, so many steps a second; raises what failed in that."""
        ended = asyncio.Event()
        player = asyncio.create_task(self._play(steps_per_s, ended))
        try:
            yield
        finally:
            ended.set()
            await player

    async def play(self, steps: int) -> None:
        """So many steps at once."""
        await self.box.play(steps)
        self.steps += steps

    async def moved(self, before: Progress, *, within_s: float, alive: EngineProcess) -> None:
        """Return when this engine has heard more trades than `before`."""

        async def further() -> bool:
            return (await self.database.run(progress)).groups > before.groups

        await until(self.clock, further, within_s=within_s, else_say="The engine heard nothing more.", alive=[alive])

    async def settled(self, *, patience_s: float) -> tuple[str, str]:
        """Wait until every trade is heard and every copy decided, or nothing has moved for so long.

        What differs from the truth, and who was not copied once; empty sentences where all is well.
        """
        wanted, before, moved_ms = truth_of(self.box), None, self.clock.monotonic_ms()
        while True:
            now = await self.database.run(progress)
            wrong = difference(await self.database.run(acted_totals), wanted)
            if not wrong and now.settled:
                break
            if now != before:
                before, moved_ms = now, self.clock.monotonic_ms()
            elif self.clock.monotonic_ms() - moved_ms > patience_s * 1_000:
                break
            await self.clock.sleep(LOOK_S)
        return wrong, await self._not_copied(now)

    async def _play(self, steps_per_s: int, ended: asyncio.Event) -> None:
        began_ms, before = self.clock.monotonic_ms(), self.steps
        while not ended.is_set():
            due = int((self.clock.monotonic_ms() - began_ms) * steps_per_s / 1_000) - (self.steps - before)
            if due > 0:
                await self.play(due)
            await self.clock.sleep(TICK_S)

    async def _not_copied(self, now: Progress) -> str:
        if not now.settled:
            return f"{now.undecided} signals are undecided and {now.open_orders} orders without an answer."
        try:
            await self.database.run(copies_told)
        except Wrong as wrong:
            return str(wrong)
        return ""

    async def _hears(self) -> bool:
        if self.on_chain and not await self.database.run(_chain_is_heard):
            return False
        return await self.database.run(_heard_leaders) == len(self.box.leaders)


@asynccontextmanager
async def live_stage(options: LiveOptions) -> AsyncIterator[LiveStage]:
    """A sandbox, with a chain where it is wanted, whose leaders everybody follows. Raises ChainUnavailable."""
    database = ThreadedDatabase(1)
    chain = OnChain(options.clock) if options.chain else None
    doors = None if chain is None else chain_doors(chain)
    try:
        async with open_sandbox(
            options.clock, SeededRandomness, options.box, settlement=chain, attachment=doors
        ) as box:
            await database.run(_cast, box, options)
            settings = {"RPC_URLS": "", **box.environment(), **options.settings}
            with engines(options.environment(settings)) as starter:
                yield LiveStage(box=box, database=database, engines=starter, on_chain=options.chain)
    finally:
        database.close()


def copies_told() -> str:
    """How many copies each follower has, in a sentence. Raises Wrong unless it is one of each signal."""
    return require_once_each(list(Follower.objects.order_by("pk").values_list("pk", flat=True)))


def _cast(box: Sandbox, options: LiveOptions) -> None:
    wallets = [leader.wallet for leader in box.leaders]
    follow(wallets, followers=options.followers, cash_micros=CASH_MICROS, terms=TERMS)
    if options.heard_since is not None:
        hear(list(Leader.objects.values_list("pk", flat=True)), now=options.heard_since)


def _chain_is_heard() -> bool:
    return SignalCursor.objects.filter(source=CHAIN_LOGS).exists()


def _heard_leaders() -> int:
    return SignalCursor.objects.filter(source=HEARD).count()
