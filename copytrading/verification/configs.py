"""What `verify config-refresh` proves: an engine at work decides by what people want now, a second later at most."""

from collections.abc import Awaitable, Callable, Iterable
from functools import partial

from django.db import connection

from copytrading.config_index import ConfigIndex, IndexTerms
from copytrading.models import CopyConfig, CopyConfigVersion, CopyTrade, Follower
from copytrading.operations.bulk import set_active
from copytrading.operations.people import save_config
from copytrading.queries import Shard
from copytrading.states import Status
from copytrading.supervisor import Engine
from copytrading.verification.bench import Bench, Cast, decide_queued
from copytrading.verification.steps import Step, Wrong, same
from guardrails.operations import set_switch
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE

WITHIN_S = 1.0
"""What a person changed decides from then on."""

FOLLOWERS = 4
MANY, CHANGES, ROUNDS = 300, 40, 6
WHO = "verify"

Change = Callable[[Cast], object]


def config_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    steps: tuple[tuple[str, Callable[[Bench], str]], ...] = (
        ("a config that is switched off in a running engine copies nothing a second later", _switched_off),
        ("one that is switched on again, or new, copies a second later", _switched_on),
        ("changed terms decide a second later, and the copy names their version", _changed),
        ("a pause stops new copies at once", _paused),
        ("the copies of everybody else go on meanwhile", _others),
        ("what was deleted by hand is gone with the next reconciliation", _deleted),
        ("after random changes from another connection memory equals the database", _equal),
    )
    return [Step(promise, partial(prove, bench)) for promise, prove in steps]


def _switched_off(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    before, after = _around(bench, cast, lambda each: _activate(each, index=0, active=False))
    same("copies of the first trade", len(before), FOLLOWERS)
    same("copies of the second trade", len(after), FOLLOWERS - 1)
    if cast.followers[0].pk in {trade.follower_id for trade in after}:
        raise Wrong("The config that was switched off was copied by.")
    return f"{len(before)} copies before, {len(after)} after."


def _switched_on(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    _activate(cast, index=0, active=False)
    before, after = _around(bench, cast, lambda each: _activate(each, index=0, active=True))
    same("copies before and after", (len(before), len(after)), (FOLLOWERS - 1, FOLLOWERS))
    return f"{len(before)} copies before, {len(after)} after."


def _changed(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    before, after = _around(bench, cast, _double)
    sizes = [_of(trades, cast.followers[0]).size_micros for trades in (before, after)]
    same("size of the second copy", sizes[1], 2 * sizes[0])
    trade = _of(after, cast.followers[0])
    version = CopyConfigVersion.objects.get(config_id=trade.config_id, version=trade.config_version)
    same("amount of the version that the copy names", version.amount_micros, 20 * ONE)
    return f"{sizes[0]} micros of a share by version 1, {sizes[1]} by version {trade.config_version}."


def _paused(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    _before, after = _around(bench, cast, _pause, wait_s=0.0)
    paused = _of(after, cast.followers[0])
    same("what became of the copy of the paused follower", paused.status, Status.SKIPPED.value)
    return f"skipped: {paused.reasons[0]['reason']}."


def _others(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    _before, after = _around(bench, cast, _pause, wait_s=0.0)
    rest = [trade for trade in after if trade.follower_id != cast.followers[0].pk]
    same("statuses of the others", {trade.status for trade in rest}, {Status.EXECUTED.value})
    return f"{len(rest)} of {FOLLOWERS} executed."


def _deleted(bench: Bench) -> str:
    cast = bench.cast(MANY)

    async def work(engine: Engine) -> tuple[int, int]:
        index = _index(engine, reconcile_s=0)
        before = len((await index.of_leaders([cast.leader.pk]))[cast.leader.pk])
        await engine.database.run(_delete_half, cast)
        await index.run_once()
        return before, len((await index.of_leaders([cast.leader.pk]))[cast.leader.pk])

    before, after = bench.play(work)
    same("configs before and after", (before, after), (MANY, MANY // 2))
    return f"{before} configs, then {after}."


def _equal(bench: Bench) -> str:
    cast = bench.cast(MANY)
    randomness = SeededRandomness(1)

    async def work(engine: Engine) -> int:
        other = ThreadedDatabase(1)
        index = _index(engine, reconcile_s=300)
        try:
            await index.run_once()
            for _round in range(ROUNDS):
                await other.run(_change_some, cast, randomness)
                await index.run_once()
        finally:
            other.close()
        fresh = _index(engine, reconcile_s=0)
        await fresh.run_once()
        ids = [cast.leader.pk]
        if await index.of_leaders(ids) != await fresh.of_leaders(ids):
            raise Wrong("Memory differs from what a fresh engine reads.")
        return len(fresh)

    active = bench.play(work)
    return f"{ROUNDS * CHANGES} changes; {active} configs are active."


def _around(
    bench: Bench, cast: Cast, change: Change, *, wait_s: float = WITHIN_S
) -> tuple[list[CopyTrade], list[CopyTrade]]:
    """The copies of one trade before a change and of one after it, both by one engine that ran all the time."""

    async def work(engine: Engine) -> None:
        await _trade(engine, cast)
        await engine.database.run(change, cast)
        await engine.clock.sleep(wait_s)
        await _trade(engine, cast)

    bench.play(work)
    trades = list(cast.trades())
    signals = sorted({trade.signal_id for trade in trades})
    if len(signals) > 2:
        raise Wrong(f"Two trades made {len(signals)} signals.")
    first = [trade for trade in trades if trade.signal_id == signals[0]]
    return first, [trade for trade in trades if trade.signal_id != signals[0]]


def _trade(engine: Engine, cast: Cast) -> Awaitable[None]:
    async def show() -> None:
        await engine.intake.offer("reading", [cast.action()], complete=True)
        await decide_queued(engine)

    return show()


def _of(trades: Iterable[CopyTrade], follower: Follower) -> CopyTrade:
    found = [trade for trade in trades if trade.follower_id == follower.pk]
    if len(found) != 1:
        raise Wrong(f"Follower {follower.pk} has {len(found)} copies of the trade.")
    return found[0]


def _activate(cast: Cast, *, index: int, active: bool) -> None:
    ids = CopyConfig.objects.filter(follower=cast.followers[index]).values_list("pk", flat=True)
    set_active(list(ids), active=active, who=WHO, why="verified")


def _double(cast: Cast) -> None:
    config = CopyConfig.objects.get(follower=cast.followers[0])
    config.amount_micros = 20 * ONE
    save_config(config, changed_by=WHO)


def _pause(cast: Cast) -> None:
    follower = str(cast.followers[0].pk)
    now = SystemClock().now()
    set_switch(kind="PAUSE", scope="FOLLOWER", key=follower, on=True, who=WHO, why="verified", now=now)


def _delete_half(cast: Cast) -> None:
    ids = list(CopyConfig.objects.filter(leader=cast.leader).order_by("pk").values_list("pk", flat=True))
    CopyConfig.objects.filter(pk__in=ids[::2]).delete()


def _change_some(cast: Cast, randomness: SeededRandomness) -> None:
    ids = list(CopyConfig.objects.filter(leader=cast.leader).order_by("pk").values_list("pk", flat=True))
    for _change in range(CHANGES):
        pk = randomness.choice(ids)
        if randomness.below(2):
            CopyConfig.objects.filter(pk=pk).update(active=bool(randomness.below(2)))
        else:
            CopyConfig.objects.filter(pk=pk).update(amount_micros=(1 + randomness.below(50)) * ONE)


def _index(engine: Engine, *, reconcile_s: int) -> ConfigIndex:
    # SQLite does not stamp changed rows, so every reading there is a whole one.
    terms = IndexTerms(refresh_ms=500, reconcile_s=reconcile_s if connection.vendor == "postgresql" else 0)
    return ConfigIndex(engine.database, SystemClock(), shard=Shard(), terms=terms)
