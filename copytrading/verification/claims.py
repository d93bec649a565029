"""What `verify lock-claims` proves: of many processes that reach for one row exactly one has it, and the others write
nothing, whether the row may have been sent or waits to be.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial

from django.db.models import Sum

from copytrading.models import CopyTrade
from copytrading.operations.decisions import Decision, Waits
from copytrading.operations.outcomes import Move, postpone, record_outcomes, take_over
from copytrading.operations.prewrite import Prewrite, prewrite
from copytrading.operations.waiting import Promotion, promote
from copytrading.states import Actor, Status
from copytrading.verification.bench import Bench, Cast
from copytrading.verification.doors import fill_at_limit
from copytrading.verification.forked import race_processes
from copytrading.verification.steps import Step, Wrong, same
from guardrails.intents import Reason
from ledger.models import CashBalance, LedgerEntry
from ledger.system import SystemClock, SystemIds
from ledger.units import ONE, Micros

ROWS = 40
WORKERS = 4
ROUNDS = 5
"""Races are repeated: one of them alone may happen to be won before the other begins."""

WAIT = timedelta(minutes=1)

ToSend = tuple[int, str, str]
"""A copy's id, lock token and order hash."""


def claim_steps(bench: Bench) -> Iterable[Step]:
    """The steps in their order."""
    steps: tuple[tuple[str, Callable[[Bench], str]], ...] = (
        (f"{WORKERS} processes that reach for the same {ROWS} orders take each of them once", _claimed_once),
        ("whoever lost a row writes nothing to it, and whoever has it writes once", _losers_write_nothing),
        (f"{WORKERS} processes that settle the same order book it once", _settled_once),
        (f"{WORKERS} processes that promote the same waiting copies send and fund each of them once", _promoted_once),
    )
    return [Step(promise, partial(prove, bench)) for promise, prove in steps]


def _claimed_once(bench: Bench) -> str:
    won = [0] * WORKERS
    for _round in range(ROUNDS):
        _cast, rows = _sent(bench, ROWS)
        ids = [row.pk for row in rows]
        claims = race_processes(*(partial(_claim_all, ids, worker) for worker in range(WORKERS)))
        taken = sorted(row.pk for claim in claims for row in claim)
        same("Rows taken, each as often as it was", taken, sorted(ids))
        tokens = {row.pk: row.lock_token for claim in claims for row in claim}
        held = dict(CopyTrade.objects.filter(pk__in=ids).values_list("pk", "lock_token"))
        same("Tokens that the rows hold", held, tokens)
        won = [count + len(claim) for count, claim in zip(won, claims, strict=True)]
    return f"{ROUNDS} rounds: {ROWS * ROUNDS} rows, won by the processes {', '.join(map(str, won))}."


def _losers_write_nothing(bench: Bench) -> str:
    _cast, rows = _sent(bench, ROWS)
    ids = [row.pk for row in rows]
    claims = race_processes(*(partial(_claim_all, ids, worker) for worker in range(WORKERS)))
    winners = [row for claim in claims for row in claim]
    now = SystemClock().now()
    same("Rows that the earlier tokens moved", record_outcomes([_filled(row) for row in rows], now=now), set())
    same("Rows that the earlier tokens put off", [row.pk for row in rows if postpone(row, until=now)], [])
    same("Entries in the ledger", LedgerEntry.objects.filter(trade_id__in=ids).count(), 0)
    moved = record_outcomes([_filled(row) for row in winners], now=now)
    same("Rows that the tokens which hold moved", sorted(moved), sorted(ids))
    return f"0 of {ROWS} rows under the earlier tokens, {len(moved)} under those that hold."


def _settled_once(bench: Bench) -> str:
    cast, rows = _sent(bench, ROWS)
    now = SystemClock().now()
    work = partial(record_outcomes, [_filled(row) for row in rows], now=now)
    moved = race_processes(*(work for _worker in range(WORKERS)))
    same("Rows moved by all together", sorted(pk for each in moved for pk in each), sorted(row.pk for row in rows))
    reserved = CashBalance.objects.filter(follower__in=cast.followers).aggregate(sum=Sum("reserved_micros"))["sum"]
    same("Cash that is still reserved", reserved, 0)
    bought = LedgerEntry.objects.filter(trade_id__in=[row.pk for row in rows], kind="SHARES").count()
    same("Bookings of shares", bought, ROWS)
    return f"{ROWS} orders, {WORKERS} processes, {bought} bookings."


def _promoted_once(bench: Bench) -> str:
    for _round in range(ROUNDS):
        cast = bench.cast(ROWS)
        batch = bench.plan(bench.record(cast.action()))
        waiting = prewrite(replace(batch, decisions=[_waiting(each, batch) for each in batch.decisions]))
        same("Copies that wait", {row.status for row in waiting.rows}, {Status.READY})
        ids = [row.pk for row in waiting.rows]
        sent = race_processes(*(partial(_promote, _promotion(ids, batch.decisions)) for _worker in range(WORKERS)))
        _must_be_sent_once(cast, sent)
    return f"{ROUNDS} rounds: each of {ROWS} copies was promoted, funded and handed to a sender by exactly one process."


def _promote(work: Promotion) -> list[ToSend]:
    return [(each.trade_id, each.lock_token, each.plan.order_hash) for each in promote(work).reserved]


def _must_be_sent_once(cast: Cast, sent: Sequence[Sequence[ToSend]]) -> None:
    rows = cast.trades()
    reserved = [each for work in sent for each in work]
    held = list(rows.filter(status=Status.PENDING).values_list("pk", "lock_token", "order_hash"))
    same("Copies handed to a sender", sorted(reserved), sorted(held))
    same("Copies that became PENDING", len(held), ROWS)
    by_row = rows.aggregate(sum=Sum("reserved_micros"))["sum"]
    cash = CashBalance.objects.filter(follower__in=cast.followers).aggregate(sum=Sum("reserved_micros"))["sum"]
    same("Cash that is reserved", (cash, by_row), (10 * ROWS * ONE + _fees(cast), cash))


def _fees(cast: Cast) -> int:
    """What the rows reserve beyond the ten dollars of each: the largest fee."""
    return sum(row.reserved_micros - row.budget_micros for row in cast.trades())


def _sent(bench: Bench, copies: int) -> tuple[Cast, list[CopyTrade]]:
    """Rows of orders that may have been sent, as one worker sees them."""
    cast = bench.cast(copies)
    reserved = prewrite(bench.plan(bench.record(cast.action()))).reserved
    if len(reserved) != copies:
        raise Wrong(f"{len(reserved)} of {copies} copies were reserved.")
    return cast, [each.row for each in reserved]


def _claim_all(ids: Sequence[int], worker: int) -> list[CopyTrade]:
    """What rescue does at the beginning of each question; the workers begin at different rows."""
    ids = [*ids[worker * len(ids) // WORKERS :], *ids[: worker * len(ids) // WORKERS]]
    seen = list(CopyTrade.objects.filter(pk__in=ids, attempts=1))
    now, token = SystemClock().now(), SystemIds().token
    claims = (take_over(row, token=token(), by=f"worker {worker}", term=row.lease_term, now=now) for row in seen)
    return [row for row in claims if row is not None]


def _filled(row: CopyTrade) -> Move:
    fill = fill_at_limit(Micros(row.size_micros), Micros(row.limit_micros))
    return Move(row=row, to=Status.EXECUTED, actor=Actor.RESCUE, fill=fill)


def _waiting(decision: Decision, batch: Prewrite) -> Decision:
    waits = Waits(why=Reason.RATE_LIMITED, until=batch.now + WAIT, again_at=batch.now)
    return replace(decision, plan=None, waits=waits)


def _promotion(ids: Sequence[int], decisions: Sequence[Decision]) -> Promotion:
    """As one engine would write it: the rows as they are now, and a token of its own."""
    rows = {row.config_id: row for row in CopyTrade.objects.filter(pk__in=ids)}
    return Promotion(
        rows=[rows[each.config.config_id] for each in decisions],
        decisions=decisions,
        lease=None,
        lock_token=SystemIds().token(),
        locked_by="verify",
        now=SystemClock().now(),
        expire_after_s=600,
    )
