"""What `verify dual-supervisor` proves: of several processes on one shard one acts, whatever becomes of the others.

Real processes hear a real chain. The first holder is frozen amid its work and another takes over; that one is killed
amid its work and a third takes over; then the first wakes up.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps

from copytrading.models import CopyTrade, DashboardEvent, DashboardSequence, ShardLease, ShardStandby
from copytrading.verification.heard import Progress, progress, truth_of
from copytrading.verification.live import LiveOptions, LiveStage, copies_told, live_stage
from copytrading.verification.processes import EngineProcess, Words, until
from copytrading.verification.recovery import NO_STREAM, Environment, Once
from copytrading.verification.steps import Step, Wrong, same
from execution.sandbox.anvil import missing_parts
from execution.sandbox.sandbox import SandboxOptions

SEED = 11
LEADERS, FOLLOWERS = 4, 3
STEPS_PER_S = 10
TAKE_OVER_S = 10
"""What is promised from the moment at which the holder stops to the next holder's lease."""

WAIT_S_MAX = 30
PATIENCE_S = 10
WAKE_S_MAX = 5
STILL_S = 0.3
TRADES_FIRST = 5
"""Heard by a holder before something happens to it."""

SETTINGS: Mapping[str, Words] = {
    # The chain alone: the stream shows nothing, and nobody polls.
    "COPY_TRADING_SIGNAL_MODE": "WS_ONLY",
    "COPY_TRADING_STALE_AFTER_S": 600,
    "COPY_TRADING_EXPIRE_AFTER_S": 3,
    # Orders under way when their process stops.
    "PAPER_LATENCY_MS": 100,
}

OUTBOX = (DashboardEvent, DashboardSequence)
"""What pages are told of the moment before the freeze is not acting for the shard."""

Rows = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What was seen. Milliseconds are from the stop of a holder to the next one's lease, and to its first copy."""

    holders: tuple[str, ...]
    standbys: int
    froze_ms: float
    froze_copy_ms: float
    died_ms: float
    died_copy_ms: float
    trades: int
    wrong: str
    not_copied: str
    copied: str
    terms: Mapping[int, int]
    changed: tuple[str, ...]
    ended: int | None
    said_why: bool


def dual_steps(environment: Environment) -> Iterable[Step]:
    """The steps in their order; all of them fail where there is no chain."""
    told = Once(lambda: _run(environment))
    proofs: tuple[tuple[str, Callable[[Told], str]], ...] = (
        ("of two processes on one shard one holds it and the other stands by", _one_holder),
        (f"when the holder freezes amid its work, the other takes over within {TAKE_OVER_S} s", _froze),
        (f"when a holder is killed amid its work, the next takes over within {TAKE_OVER_S} s", _died),
        ("each trade on the chain is copied once for each follower, to the last micro", _copied_once),
        ("the first holder wakes up, changes no row, sends nothing and ends", _woke),
    )
    return [Step(promise, lambda prove=prove: prove(told())) for promise, prove in proofs]  # type: ignore[misc]


def _one_holder(told: Told) -> str:
    same("Holders of the shard", len(told.holders), 1)
    same("Processes that stand by", told.standbys, 1)
    return "1 holds the shard, 1 stands by."


def _froze(told: Told) -> str:
    return _in_time(told.froze_ms, told.froze_copy_ms)


def _died(told: Told) -> str:
    return _in_time(told.died_ms, told.died_copy_ms)


def _in_time(lease_ms: float, copy_ms: float) -> str:
    sentence = (
        f"The lease changed hands after {lease_ms / 1_000:.1f} s, the first copy came after {copy_ms / 1_000:.1f} s."
    )
    if lease_ms > TAKE_OVER_S * 1_000:
        raise Wrong(sentence)
    return sentence


def _copied_once(told: Told) -> str:
    for wrong in (told.wrong, told.not_copied):
        if wrong:
            raise Wrong(wrong)
    by_term = ", ".join(str(number) for _term, number in sorted(told.terms.items()))
    return f"{told.trades} trades; {told.copied}; by the terms of their holders {by_term}."


def _woke(told: Told) -> str:
    if told.changed:
        raise Wrong(f"Rows changed after it woke up: {', '.join(told.changed)}.")
    # It holds orders that it has not sent: had it sent one it would have had to write what became of it.
    same("Exit code", told.ended, 1)
    if not told.said_why:
        raise Wrong("It did not say that the shard was taken over.")
    return "No row is another than before; it ended with code 1 and said that the shard was taken over."


def _run(environment: Environment) -> Told:
    missing = missing_parts()
    if missing:
        raise Wrong(f"There is no chain to hear. {missing}")
    options = LiveOptions(
        box=SandboxOptions(
            seed=SEED, leaders=LEADERS, rate=0, opening=False, limited=False, delay_factor=0.1, faults=NO_STREAM
        ),
        environment=environment,
        settings=SETTINGS,
        followers=FOLLOWERS,
        chain=True,
    )
    return asyncio.run(_played(options))


async def _played(options: LiveOptions) -> Told:
    async with live_stage(options) as stage:
        first = await stage.start()
        second = stage.engines.start()
        await somebody_stands_by(stage, second)
        holders, standbys = await stage.database.run(_holders), await stage.database.run(ShardStandby.objects.count)
        async with stage.playing(STEPS_PER_S):
            await at_work(stage, first)
            froze_ms, froze_copy_ms = await taken_over(stage, first.freeze, by=second)
            third = stage.engines.start()
            await somebody_stands_by(stage, third)
            await at_work(stage, second)
            died_ms, died_copy_ms = await taken_over(stage, second.kill, by=third)
            await at_work(stage, third)
        wrong, not_copied = await stage.settled(patience_s=PATIENCE_S)
        changed, ended = await _woken(stage, first)
        return Told(
            holders=holders,
            standbys=standbys,
            froze_ms=froze_ms,
            froze_copy_ms=froze_copy_ms,
            died_ms=died_ms,
            died_copy_ms=died_copy_ms,
            trades=len(truth_of(stage.box)),
            wrong=wrong,
            not_copied=not_copied,
            copied="" if not_copied else await stage.database.run(copies_told),
            terms=await stage.database.run(_terms),
            changed=changed,
            ended=ended,
            said_why="took the shard over" in first.said(),
        )


async def at_work(stage: LiveStage, engine: EngineProcess) -> None:
    """Return when this engine has heard a few trades, and has orders under way or just had."""
    begun = await stage.database.run(progress)

    async def busy() -> bool:
        now: Progress = await stage.database.run(progress)
        return now.groups >= begun.groups + TRADES_FIRST and now.open_orders > 0

    await until(stage.clock, busy, within_s=WAIT_S_MAX, else_say="The holder copies nothing.", alive=[engine])


async def somebody_stands_by(stage: LiveStage, engine: EngineProcess) -> None:
    """Return when this engine waits for the shard."""

    async def stands_by() -> bool:
        return await stage.database.run(_standbys_of, engine.pid) > 0

    await until(stage.clock, stands_by, within_s=WAIT_S_MAX, else_say="Nobody stands by.", alive=[engine])


async def taken_over(stage: LiveStage, stop: Callable[[], None], *, by: EngineProcess) -> tuple[float, float]:
    """Stop the holder; the milliseconds to the next lease and to the first copy of its term."""
    term = await stage.database.run(_term)
    stop()
    began_ms = stage.clock.monotonic_ms()

    async def taken() -> bool:
        return await stage.database.run(_term) > term

    async def copied() -> bool:
        return await stage.database.run(_copies_since, term) > 0

    await until(stage.clock, taken, within_s=WAIT_S_MAX, else_say="Nobody took the shard over.", alive=[by])
    lease_ms = stage.clock.monotonic_ms() - began_ms
    await until(stage.clock, copied, within_s=WAIT_S_MAX, else_say="The new holder copies nothing.", alive=[by])
    return lease_ms, stage.clock.monotonic_ms() - began_ms


async def _woken(stage: LiveStage, engine: EngineProcess) -> tuple[tuple[str, ...], int | None]:
    """Wake the first holder; the tables that then changed, and its exit code (None: it did not end).

    The present holder is frozen meanwhile, for less than its lease lasts: whatever changes, the other one has done.
    """
    present = stage.engines.started[-1]
    present.freeze()
    await stage.clock.sleep(STILL_S)
    before = await stage.database.run(_rows)
    engine.wake()
    await _ended(stage, engine, within_s=WAKE_S_MAX)
    after = await stage.database.run(_rows)
    present.wake()
    # Frozen amid a transaction the present holder has locks that the woken one may be waiting for.
    await _ended(stage, engine, within_s=PATIENCE_S)
    changed = [
        f"{name} ({', '.join(str(row[:3]) for row in rows if row not in before[name])})"
        for name, rows in after.items()
        if rows != before[name]
    ]
    return tuple(changed), engine.process.returncode


async def _ended(stage: LiveStage, engine: EngineProcess, *, within_s: float) -> None:
    began_ms = stage.clock.monotonic_ms()
    while engine.is_alive() and stage.clock.monotonic_ms() - began_ms < within_s * 1_000:
        await stage.clock.sleep(0.05)


def _rows() -> Rows:
    """Every row of every table but the outbox."""
    models = [model for model in apps.get_models() if model._meta.managed and model not in OUTBOX]
    return {
        model._meta.db_table: sorted(map(tuple, model._base_manager.values_list()), key=repr)
        for model in models
        if model._meta.app_label in ("copytrading", "execution", "guardrails", "ledger")
    }


def _holders() -> tuple[str, ...]:
    return tuple(ShardLease.objects.exclude(holder="").values_list("holder", flat=True))


def _standbys_of(pid: int) -> int:
    return ShardStandby.objects.filter(holder__contains=f":{pid}:").count()


def _term() -> int:
    return int(ShardLease.objects.values_list("term", flat=True).first() or 0)


def _copies_since(term: int) -> int:
    return CopyTrade.objects.filter(lease_term__gt=term).count()


def _terms() -> dict[int, int]:
    terms: dict[int, int] = {}
    for term in CopyTrade.objects.values_list("lease_term", flat=True):
        terms[term] = terms.get(term, 0) + 1
    return terms
