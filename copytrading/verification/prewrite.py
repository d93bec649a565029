"""What `verify prewrite` proves first: a row before an order, once for each follower, whoever else writes."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from django.db.models import Model, Sum

from copytrading.models import CopyTrade, Signal
from copytrading.operations.leases import Lease, LeaseLost, acquire, release
from copytrading.operations.outcomes import Move, record_outcomes, take_over
from copytrading.operations.prewrite import Prewrite, Written, prewrite
from copytrading.states import Actor, Status
from copytrading.verification.bench import Bench, Outside, decide_queued
from copytrading.verification.doors import WatchfulVenue, fill_at_limit
from copytrading.verification.money import expiry_returns_everything, ledger_balances, trigger_refuses
from copytrading.verification.steps import Step, Wrong, same
from execution.models import Position
from guardrails.models import Budget, GuardrailEvent
from ledger.models import CashBalance, LedgerEntry
from ledger.system import SystemClock, SystemIds
from ledger.units import ONE, Micros

FOLLOWERS = 5
ROUNDS = 5
"""Races are repeated: one of them alone may happen to be won before the other begins."""
RACERS, RACERS_BUDGET, GRANTED = 32, 100 * ONE, 10
AT_ONCE = 4
LEASE_TTL_S = 60

WATCHED: tuple[type[Model], ...] = (
    *(Signal, CopyTrade, Budget, GuardrailEvent),
    *(CashBalance, Position, LedgerEntry),
)
"""The tables in which a copy is written."""


def prewrite_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    steps: tuple[tuple[str, Callable[[Bench], str]], ...] = (
        ("a signal becomes one row for each follower", _one_row_each),
        ("an order's row is committed as PENDING with its hash before the venue hears of it", _written_first),
        ("the same signal offered again writes nothing", _offered_again),
        ("two connections that prewrite one batch write every copy once", _raced),
        ("32 followers of $10 on two connections are granted a budget of $100 exactly", _budget_raced),
        ("a move under a stale lock token changes nothing", _stale_token),
        ("a holder of an old lease term writes nothing", _old_term),
        ("the database refuses an illegal status move and a changed order hash", trigger_refuses),
        ("an order without an answer fails at its expiry and gives back what it reserved", expiry_returns_everything),
        ("ledger transfers sum to zero and equal cash and positions", ledger_balances),
    )
    return [Step(promise, partial(prove, bench)) for promise, prove in steps]


def _one_row_each(bench: Bench) -> str:
    cast, venue = bench.cast(FOLLOWERS), WatchfulVenue()
    bench.copy(cast.action(), outside=Outside(clock=SystemClock(), venue=venue))
    rows = cast.trades().values_list("follower_id", "status")
    same("Followers with a row", sorted(rows), sorted((each.pk, "EXECUTED") for each in cast.followers))
    same("Signals", Signal.objects.filter(leader=cast.leader, done_at__isnull=False).count(), 1)
    same("Orders sent", len(venue.heard), FOLLOWERS)
    return f"1 signal, {FOLLOWERS} followers, {FOLLOWERS} rows, {FOLLOWERS} orders."


def _written_first(bench: Bench) -> str:
    cast, venue = bench.cast(FOLLOWERS), WatchfulVenue()
    bench.copy(cast.action(), outside=Outside(clock=SystemClock(), venue=venue))
    same("Orders sent", len(venue.heard), FOLLOWERS)
    for order_hash, seen in venue.heard:
        same(f"What another connection saw of order {order_hash} at its sending", seen, ["PENDING"])
    hashes = {order_hash for order_hash, _seen in venue.heard}
    same("Order hashes of the rows", set(cast.trades().values_list("order_hash", flat=True)), hashes)
    return f"{FOLLOWERS} orders, each PENDING for another connection when the venue heard its hash."


def _offered_again(bench: Bench) -> str:
    cast, venue = bench.cast(FOLLOWERS), WatchfulVenue()
    action, outside = cast.action(), Outside(clock=SystemClock(), venue=venue)
    bench.copy(action, outside=outside)
    before, sent = _everything(), len(venue.heard)
    bench.copy(action, outside=outside)
    ids = [str(pk) for pk in Signal.objects.filter(leader=cast.leader).values_list("pk", flat=True)]

    async def offer_id_again(engine: Any) -> None:
        await engine.stores.queue.add(ids)
        await decide_queued(engine)

    bench.play(offer_id_again, outside)
    _must_be_as(before)
    # As after a crash between the copies and the mark: the signal is open again, its copies exist.
    Signal.objects.filter(leader=cast.leader).update(done_at=None)
    bench.play(offer_id_again, outside)
    same("Copies after the signal was open again", cast.trades().count(), FOLLOWERS)
    same("Orders sent", len(venue.heard), sent)
    return "Read again by a source, queued again, and open again after a crash: no row, no order, no money."


def _raced(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS)
    won = [0, 0]
    for _round in range(ROUNDS):
        signal_id = bench.record(cast.action())
        # As two engines would: the same copies, each with salts, hashes and a token of its own.
        batches = [bench.plan(signal_id) for _engine in won]
        written = bench.race(*(partial(prewrite, batch) for batch in batches))
        rows = CopyTrade.objects.filter(signal_id=signal_id)
        followers = sorted(follower.pk for follower in cast.followers)
        same("Followers with a row", sorted(rows.values_list("follower_id", flat=True)), followers)
        claimed = [(r.trade_id, r.lock_token, r.plan.order_hash) for each in written for r in each.reserved]
        same("Rows claimed by the two", sorted(claimed), sorted(rows.values_list("pk", "lock_token", "order_hash")))
        won = [count + len(each.rows) for count, each in zip(won, written, strict=True)]
    by_rows = cast.trades().order_by("follower_id").values_list("follower_id").annotate(Sum("reserved_micros"))
    cash = CashBalance.objects.filter(follower__in=cast.followers).values_list("follower_id", "reserved_micros")
    same("Reserved cash by follower", dict(cash), dict(by_rows))
    return f"{ROUNDS} batches of {FOLLOWERS}, raced: {sum(won)} rows, {won[0]} won by one and {won[1]} by the other."


def _budget_raced(bench: Bench) -> str:
    cast = bench.cast(RACERS, limit_micros=RACERS_BUDGET)
    batch = bench.plan(bench.record(cast.action()))
    parts = [_part(batch, first, first + AT_ONCE) for first in range(0, RACERS, AT_ONCE)]
    bench.race(*(partial(_prewrite_all, parts[half::2]) for half in range(2)))
    statuses = list(cast.trades().values_list("status", flat=True))
    same("Copies granted, of all", (statuses.count("PENDING"), len(statuses)), (GRANTED, RACERS))
    refused = GuardrailEvent.objects.filter(trade__leader=cast.leader, reason="LEADER_DAILY_LIMIT").count()
    same("Copies refused by the leader's daily limit", refused, RACERS - GRANTED)
    spent = Budget.objects.filter(scope="LEADER", key=str(cast.leader.pk)).values_list("spent_micros", flat=True)
    same("What the budget rows say, in micros", list(spent), [RACERS_BUDGET])
    return f"{GRANTED} of {RACERS} granted, {refused} refused with LEADER_DAILY_LIMIT; the budget row says $100."


def _stale_token(bench: Bench) -> str:
    cast = bench.cast(1)
    (reserved,) = prewrite(bench.plan(bench.record(cast.action()))).reserved
    now, row = SystemClock().now(), CopyTrade.objects.get(pk=reserved.trade_id)
    mine = take_over(row, token=SystemIds().token(), by="verify", term=row.lease_term + 1, now=now)
    if mine is None:
        raise Wrong("Nobody else held the row, and yet it could not be taken over.")
    before = _everything()
    fill = fill_at_limit(Micros(mine.size_micros), Micros(mine.limit_micros))
    late = Move(row=reserved.row, to=Status.EXECUTED, actor=Actor.PIPELINE, fill=fill)
    same("Rows moved under the earlier token", record_outcomes([late], now=now), set())
    _must_be_as(before)
    moved = record_outcomes([Move(row=mine, to=Status.EXECUTED, actor=Actor.RESCUE, fill=fill)], now=now)
    same("Rows moved under the token that holds", moved, {mine.pk})
    return "0 rows and no money under the earlier token; 1 row under the token that holds it."


def _old_term(bench: Bench) -> str:
    cast = bench.cast(FOLLOWERS, limit_micros=RACERS_BUDGET)
    batch = bench.plan(bench.record(cast.action()))
    old, new = _successive_leases()
    before = _everything()
    try:
        written = prewrite(replace(batch, lease=old))
    except LeaseLost as lost:
        _must_be_as(before)
        same("Rows written by the new holder", len(prewrite(replace(batch, lease=new)).rows), FOLLOWERS)
        return f"Term {old.term} is refused ({lost}) and wrote nothing; term {new.term} wrote {FOLLOWERS} rows."
    finally:
        release(new)
    raise Wrong(f"Term {old.term} wrote {len(written.rows)} rows, though term {new.term} holds the shard.")


def _successive_leases() -> tuple[Lease, Lease]:
    """Of a shard that no engine here runs: one that has ended, and the one after it."""
    shard = partial(acquire, shard=1, of=2)
    old = shard(holder="verify, before", ttl_s=0)
    new = shard(holder="verify, after", ttl_s=LEASE_TTL_S)
    if old is None or new is None:
        raise Wrong("The lease of a shard that nobody holds could not be taken.")
    return old, new


def _part(batch: Prewrite, first: int, last: int) -> Prewrite:
    return replace(batch, decisions=batch.decisions[first:last], done_signals=(), lock_token=SystemIds().token())


def _prewrite_all(batches: Sequence[Prewrite]) -> list[Written]:
    return [prewrite(batch) for batch in batches]


def _everything() -> dict[str, list[dict[str, Any]]]:
    return {model._meta.label: list(model._default_manager.order_by("pk").values()) for model in WATCHED}


def _must_be_as(before: dict[str, list[dict[str, Any]]]) -> None:
    changed = [name for name, rows in _everything().items() if rows != before[name]]
    if changed:
        raise Wrong(f"Rows were written to {', '.join(changed)}.")
