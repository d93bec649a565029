"""What `verify cursor-recovery` proves: an engine that dies amid a stream, again and again, loses nothing."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from copytrading.models import CopyTrade, ShardLease
from copytrading.verification.database import private_database
from copytrading.verification.heard import TradeKey, acted_totals, progress, signal_totals, truth_of
from copytrading.verification.live import LiveOptions, LiveStage, live_stage
from copytrading.verification.processes import Words
from copytrading.verification.steps import Step, Wrong, same
from execution.sandbox.anvil import missing_parts
from execution.sandbox.sandbox import SandboxOptions
from ledger.clock import Randomness
from ledger.sql import database_now
from ledger.system import SeededRandomness, SystemClock, SystemIds

T = TypeVar("T")

Environment = Callable[[Mapping[str, Words]], dict[str, str]]
"""An engine's variables, with these settings, as they are at the moment of asking."""

SEED = 7
LEADERS, FOLLOWERS = 4, 3
DEATHS = 2
STEPS_PER_S = 20
STEPS_AT_ONCE = 10
MOVE_S_MAX = 30
PATIENCE_S = 8
"""Polls look every second, and an order that died with its engine is given up after three."""

LIVED_S, DEAD_S = (0.2, 1.5), (0.3, 0.8)
"""How long an engine lives on after it has heard something, and how long nobody hears."""

GAP_S = 600
"""The sandbox's clock jumps so far while nobody listens: far beyond what is read again in any case (looks.LATE_S)."""

USUAL: Mapping[str, Words] = {
    "COPY_TRADING_STALE_AFTER_S": 6 * 3_600,
    "COPY_TRADING_EXPIRE_AFTER_S": 3,
    "PAPER_LATENCY_MS": 20,
}
POLLS: Mapping[str, Words] = {
    **USUAL,
    "COPY_TRADING_SIGNAL_MODE": "POLLING_ONLY",
    "COPY_TRADING_POLL_FAST_ACTIVE_MS": 300,
    "COPY_TRADING_POLL_FAST_QUIET_MS": 1_000,
}
CHAIN: Mapping[str, Words] = {**USUAL, "COPY_TRADING_SIGNAL_MODE": "WS_ONLY"}
WHOLE = f"after {DEATHS} deaths amid the stream every trade is heard to the last micro"
ONCE = "every follower has one copy of each signal, under the order hash it had"
NO_STREAM = ("activity:drop=100%",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a run made: by trade what was acted on and what its signals sum up to, and what the truth is."""

    truth: Mapping[TradeKey, int]
    acted: Mapping[TradeKey, int]
    signals: Mapping[TradeKey, int]
    copies: Mapping[int, int]
    steps: int
    wrong: str
    not_copied: str
    orders_changed: int
    orders_before: int


class LateClock:
    """A clock behind this machine's; it catches up in jumps. Only what it shows is late: it sleeps as others do."""

    def __init__(self, behind: timedelta) -> None:
        self._clock, self._behind = SystemClock(), behind

    def now(self) -> datetime:
        """The time that it shows."""
        return self._clock.now() - self._behind

    def monotonic_ms(self) -> float:
        """As this machine's."""
        return self._clock.monotonic_ms()

    async def sleep(self, seconds: float) -> None:
        """As this machine's."""
        await self._clock.sleep(seconds)

    def jump(self, by: timedelta) -> None:
        """Show a later time from now on, at most the real one."""
        self._behind = max(timedelta(), self._behind - by)


class Once(Generic[T]):
    """Something that is made when it is first asked for; also that it failed is remembered."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: list[T] = []
        self._failed: list[Exception] = []

    def __call__(self) -> T:
        """What was made, or raise what was raised."""
        if not self._made and not self._failed:
            try:
                self._made.append(self._make())
            except Exception as error:  # noqa: BLE001  (raised again for everybody who asks)
                self._failed.append(error)
        if self._failed:
            raise self._failed[0]
        return self._made[0]


def recovery_steps(environment: Environment) -> Iterable[Step]:
    """The steps in their order; those of the chain only where there is one."""
    killed = Once(lambda: _run(environment, POLLS, deaths=DEATHS))
    even = Once(lambda: _run(environment, POLLS, steps=killed().steps))
    steps = [
        Step(f"polls: {WHOLE}", lambda: _whole(killed())),
        Step("polls: signals and micros are those of a run that nobody interrupted", lambda: _even(killed(), even())),
        Step(f"polls: {ONCE}", lambda: _once(killed())),
    ]
    if not missing_parts():
        mined = Once(lambda: _run(environment, CHAIN, deaths=DEATHS))
        steps += [
            Step(f"chain logs: {WHOLE}", lambda: _whole(mined())),
            Step(f"chain logs: {ONCE}", lambda: _once(mined())),
        ]
    return steps


def _whole(told: Told) -> str:
    if told.wrong:
        raise Wrong(told.wrong)
    same("Micros of the signals", sum(told.signals.values()), sum(told.acted.values()))
    return f"{len(told.acted)} trades of {sum(told.acted.values())} micros, as the sandbox knows them."


def _even(killed: Told, even: Told) -> str:
    if even.wrong:
        raise Wrong(f"The run without a death: {even.wrong}")
    if even.not_copied:
        raise Wrong(f"The run without a death: {even.not_copied}")
    # The second run has transactions of its own; all else is the same.
    for what, found, wanted in (
        ("Trades", killed.acted, even.acted),
        ("Signals", killed.signals, even.signals),
    ):
        more, less = _without_hashes(found), _without_hashes(wanted)
        if more != less:
            odd = (more - less).total() + (less - more).total()
            raise Wrong(f"{what}: {odd} differ between the run with deaths and the one without.")
    same("Copies of each follower", sorted(killed.copies.values()), sorted(even.copies.values()))
    return f"{len(even.signals)} trades became signals of the same micros, {sorted(even.copies.values())} copies."


def _once(told: Told) -> str:
    if told.not_copied:
        raise Wrong(told.not_copied)
    same("Orders whose hash changed or that vanished", told.orders_changed, 0)
    return (
        f"Copies of the followers: {sorted(told.copies.values())}; {told.orders_before} orders were there at a death."
    )


def _without_hashes(totals: Mapping[TradeKey, int]) -> Counter[tuple[object, ...]]:
    return Counter((key[0], *key[2:], micros) for key, micros in totals.items())


def _run(environment: Environment, settings: Mapping[str, Words], *, deaths: int = 0, steps: int = 0) -> Told:
    """An engine in a database of its own, with so many deaths, or with none over so many steps of the sandbox."""
    with private_database(SystemIds().token()):
        return asyncio.run(_played(_options(environment, settings, deaths=deaths), deaths=deaths, steps=steps))


def _options(environment: Environment, settings: Mapping[str, Words], *, deaths: int) -> LiveOptions:
    on_chain = settings is CHAIN
    clock = LateClock(timedelta() if on_chain else timedelta(seconds=GAP_S * (deaths + 1)))
    box = SandboxOptions(
        seed=SEED,
        leaders=LEADERS,
        rate=0,
        opening=False,
        limited=False,
        delay_factor=0.1,
        run=f"{deaths}",
        faults=NO_STREAM if on_chain else (),
    )
    return LiveOptions(
        box=box,
        environment=environment,
        settings=settings,
        followers=FOLLOWERS,
        chain=on_chain,
        # What is shown late happened before the engine began; a chain is heard from its head on.
        heard_since=None if on_chain else clock.now() - timedelta(minutes=1),
        clock=clock,
    )


async def _played(options: LiveOptions, *, deaths: int, steps: int) -> Told:
    async with live_stage(options) as stage:
        orders: dict[int, str] = {}
        if deaths:
            async with stage.playing(STEPS_PER_S):
                orders = await _die(stage, options, deaths=deaths)
        else:
            await stage.start()
            while stage.steps < steps:
                await stage.play(min(STEPS_AT_ONCE, steps - stage.steps))
                await stage.clock.sleep(STEPS_AT_ONCE / STEPS_PER_S / 10)
        wrong, not_copied = await stage.settled(patience_s=PATIENCE_S)
        await stage.stop(stage.engines.started[-1])
        told = await stage.database.run(_told, orders)
        return replace(told, truth=truth_of(stage.box), steps=stage.steps, wrong=wrong, not_copied=not_copied)


async def _die(stage: LiveStage, options: LiveOptions, *, deaths: int) -> dict[int, str]:
    """Kill so many engines at random moments and start the next; the order hashes that stood at their deaths."""
    chance = SeededRandomness(SEED)
    orders: dict[int, str] = {}
    engine = await stage.start()
    for _death in range(deaths):
        before = await stage.database.run(progress)
        await stage.moved(before, within_s=MOVE_S_MAX, alive=engine)
        await stage.clock.sleep(_between(chance, LIVED_S))
        engine.kill()
        orders |= await stage.database.run(_orders)
        await stage.clock.sleep(_between(chance, DEAD_S))
        if isinstance(options.clock, LateClock):
            options.clock.jump(timedelta(seconds=GAP_S))
        # It is dead for certain, so nobody needs to wait for its lease to end; dual-supervisor does.
        await stage.database.run(_end_leases)
        engine = await stage.start()
    await stage.moved(await stage.database.run(progress), within_s=MOVE_S_MAX, alive=engine)
    return orders


def _between(chance: Randomness, bounds: tuple[float, float]) -> float:
    low, high = bounds
    return low + chance.fraction() * (high - low)


def _told(orders: Mapping[int, str]) -> Told:
    now = dict(CopyTrade.objects.filter(pk__in=orders).values_list("pk", "order_hash"))
    return Told(
        truth={},
        acted=acted_totals(),
        signals=signal_totals(),
        copies=Counter(CopyTrade.objects.values_list("follower_id", flat=True)),
        steps=0,
        wrong="",
        not_copied="",
        orders_changed=sum(now.get(pk) != order_hash for pk, order_hash in orders.items()),
        orders_before=len(orders),
    )


def _orders() -> dict[int, str]:
    """The order hash of every copy that has one."""
    rows = CopyTrade.objects.filter(order_hash__isnull=False).values_list("pk", "order_hash")
    return {pk: order_hash for pk, order_hash in rows if order_hash is not None}


def _end_leases() -> None:
    ShardLease.objects.update(expires_at=database_now())
