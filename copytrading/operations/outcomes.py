"""What became of orders: compare-and-set moves with their money, many in one transaction.

Every move names the row's status, lock token, lease term and booked fill as the caller saw them and must change
exactly that row; ledger entries, cash, shares and budgets move only for the rows that did change.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from copytrading.costs import NO_COSTS, Costs
from copytrading.models import CopyTrade
from copytrading.operations.booking import move_money
from copytrading.operations.moves import Move
from copytrading.states import OPEN, Actor, IllegalMove, Status, check_move
from guardrails.budgets import BudgetKey, BudgetScope, Spent, keys_of
from guardrails.intents import Reason, Refusal
from guardrails.operations import record_events, release_budgets
from ledger.commissions import NO_TIERS, Tiers
from ledger.sql import compare_and_set
from ledger.units import Side, cost_up

__all__ = ["WATCH_FOR", "Move", "postpone", "record_outcomes", "take_over"]

WATCH_FOR = timedelta(hours=24)
"""How long an order that ended is asked about: late fills were seen after minutes, never after a day."""

ATTEMPTS_MAX = 32_767
"""What the column holds; an order asked about every five seconds for two days gets there."""

_MATCH = ("id", "status", "lock_token", "lease_term", "fill_size_micros")
_ASSIGN = (
    "status",
    "reasons",
    "next_retry_at",
    "watch_until",
    "reserved_micros",
    "budget_micros",
    "budget_count",
    "fill_size_micros",
    "fill_price_micros",
    "fill_cost_micros",
    "fee_micros",
    "tx_hash",
    "executor",
    "prewritten_at",
    "submitted_at",
    "answered_at",
    "matched_micros",
    "executed_at",
)


def record_outcomes(
    moves: Sequence[Move], *, now: datetime, costs: Costs = NO_COSTS, tiers: Tiers = NO_TIERS
) -> set[int]:
    """Take the moves whose rows still are as they were seen; the ids that moved. `tiers` are those of commissions.

    Raises IllegalMove before anything is written when the table of states forbids one of them, or when one takes
    a booked fill back: `reversals.reverse_fill` does that.
    """
    for move in moves:
        if not (move.adds and move.actor is Actor.TRACKING):
            check_move(Status(move.row.status), move.to, move.actor)
        if move.undoes:
            raise IllegalMove(f"copy trade {move.row.pk} was filled; only a reversal takes that back")
    with transaction.atomic():
        moved = take_moves(moves, now=now, costs=costs)
        winners = [move for move in moves if move.row.pk in moved]
        with costs.measure("outcome.money"):
            move_money(winners, now=now, tiers=tiers)
        refused = [(move.row.pk, move.refusal) for move in winners if move.refusal is not None]
        record_events(refused, now=now)
        late = [move for move in winners if move.wakes]
        record_events([(move.row.pk, Refusal(Reason.LATE_FILL)) for move in late], now=now)
        # Last: these rows are shared by all followers, and whoever holds one holds up every prewrite.
        with costs.measure("outcome.budgets"):
            give_back_budgets(winners)
    return moved


def take_moves(moves: Sequence[Move], *, now: datetime, costs: Costs = NO_COSTS) -> set[int]:
    """Change the rows that still are as they were seen, and nothing else; the ids that moved. In a transaction."""
    with costs.measure("outcome.rows"):
        values = [_values(move, now) for move in moves]
    with costs.measure("outcome.update"):
        return compare_and_set(CopyTrade, match=_MATCH, assign=_ASSIGN, rows=values)


def give_back_budgets(moves: Sequence[Move]) -> None:
    """What buys that came to their end were granted and did not use; a late fill takes it again. In a transaction."""
    back: list[tuple[BudgetKey, Spent]] = []
    for move in moves:
        row, fill = move.row, move.fill
        if move.to in OPEN or not row.budget_mask or Side(row.side) is Side.SELL:
            continue
        kept = cost_up(fill.size_micros, row.limit_micros) if fill else 0
        # A late fill takes again what its failure gave back.
        held = 0 if move.was_given_up else row.budget_count
        spent = Spent(row.budget_micros - kept, held - (row.budget_count if fill else 0))
        if spent.micros or spent.count:  # a complete fill gives nothing back, and must not wait for others' budgets
            back += [(key, spent) for key in _budget_keys(row)]
    release_budgets(back)


def take_over(row: CopyTrade, *, token: str, by: str, term: int, now: datetime) -> CopyTrade | None:
    """Make an open or watched row ours under a new token; what its earlier holder writes now changes nothing.

    Returns the row as it stands under the new token, or None when somebody else was quicker.
    """
    attempts = min(row.attempts + 1, ATTEMPTS_MAX)
    changed = CopyTrade.objects.filter(
        pk=row.pk, status=row.status, lock_token=row.lock_token, lease_term=row.lease_term
    ).update(lock_token=token, locked_by=by, locked_at=now, lease_term=term, attempts=attempts)
    if changed != 1:
        return None
    row.lock_token, row.locked_by, row.locked_at, row.lease_term = token, by, now, term
    row.attempts = attempts
    return row


def postpone(row: CopyTrade, *, until: datetime | None) -> bool:
    """Ask again later; None ends the watch. False when the row is no longer ours."""
    mine = CopyTrade.objects.filter(pk=row.pk, status=row.status, lock_token=row.lock_token)
    return mine.update(next_retry_at=until) == 1


def _values(move: Move, now: datetime) -> tuple[object, ...]:
    row, fill = move.row, move.fill
    final = move.to not in OPEN
    watched = move.to is Status.FAILED or move.watched
    again_at = None if final else move.next_retry_at
    reasons = [*row.reasons, *([move.refusal.as_json()] if move.refusal else [])]
    kept = cost_up(fill.size_micros, row.limit_micros) if fill else 0
    buy = Side(row.side) is Side.BUY
    return (
        row.pk,
        row.status,
        row.lock_token,
        row.lease_term,
        row.fill_size_micros,
        move.to.value,
        reasons,
        now + _FIRST_WATCH if watched else again_at,
        now + WATCH_FOR if watched else None,
        move.reserves_micros,
        (kept if buy else 0) if final else row.budget_micros,
        row.budget_count,
        fill.size_micros if fill else 0,
        fill.price_micros if fill else 0,
        fill.cost_micros if fill else 0,
        fill.fee_micros if fill else 0,
        fill.tx_hash if fill else "",
        move.executor or row.executor,
        move.prewritten_at or row.prewritten_at,
        move.submitted_at or row.submitted_at,
        move.answered_at or row.answered_at,
        move.matched_micros or row.matched_micros,
        now if move.to is Status.EXECUTED else None,
    )


_FIRST_WATCH = timedelta(minutes=1)


def _budget_keys(row: CopyTrade) -> Iterable[BudgetKey]:
    keys = {
        BudgetScope.FOLLOWER: str(row.follower_id),
        BudgetScope.GLOBAL: "",
        BudgetScope.LEADER: str(row.leader_id),
        BudgetScope.MARKET: row.condition_id,
    }
    return keys_of(row.budget_mask, keys, row.decided_at)
