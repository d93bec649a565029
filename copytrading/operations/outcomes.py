"""What became of orders: compare-and-set moves with their money, many in one transaction.

Every move names the row's status, lock token and lease term as the caller saw them and must change exactly
that row; ledger entries, cash, shares and budgets move only for the rows that did change.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction

from copytrading.models import CopyTrade
from copytrading.states import OPEN, Actor, Status, check_move
from execution.operations import Held, PositionKey, lock_positions, write_positions
from execution.ports import Fill
from execution.positions import Holding, after_fill
from guardrails.budgets import BudgetKey, BudgetScope, Spent, keys_of
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events, release_budgets
from ledger.entries import Entry, FillFacts, fill_entries, found_shares
from ledger.operations import Cash, lock_cash, write_cash, write_entries
from ledger.sql import compare_and_set
from ledger.units import Micros, Side, cost_up

WATCH_FOR = timedelta(hours=24)
"""How long a FAILED order is asked about: late fills were seen after minutes, never after a day."""

ATTEMPTS_MAX = 32_767
"""What the column holds; an order asked about every five seconds for two days gets there."""

_MATCH = ("id", "status", "lock_token", "lease_term")
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
    "submitted_at",
    "executed_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A change of one row, as its mover saw the row. `fill` for EXECUTED; `refusal` says why it FAILED."""

    row: CopyTrade
    to: Status
    actor: Actor
    fill: Fill | None = None
    refusal: Refusal | None = None
    submitted_at: datetime | None = None
    executor: str = ""
    next_retry_at: datetime | None = None


def record_outcomes(moves: Sequence[Move], *, now: datetime) -> set[int]:
    """Take the moves whose rows still are as they were seen; the ids that moved.

    Raises IllegalMove before anything is written when the table of states forbids one of them.
    """
    for move in moves:
        check_move(Status(move.row.status), move.to, move.actor)
    with transaction.atomic():
        moved = compare_and_set(CopyTrade, match=_MATCH, assign=_ASSIGN, rows=[_values(m, now) for m in moves])
        winners = [move for move in moves if move.row.pk in moved]
        _release_budgets([move for move in winners if Side(move.row.side) is Side.BUY])
        _move_money(winners, now)
        refused = [(move.row.pk, move.refusal) for move in winners if move.refusal is not None]
        record_events(refused, now=now)
        late = [move for move in winners if Status(move.row.status) is Status.FAILED]
        record_events([(move.row.pk, Refusal(Reason.LATE_FILL)) for move in late], now=now)
    return moved


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
    failed = move.to is Status.FAILED
    reasons = [*row.reasons, *([_told(move.refusal)] if move.refusal else [])]
    kept = cost_up(fill.size_micros, row.limit_micros) if fill else 0
    buy = Side(row.side) is Side.BUY
    return (
        row.pk,
        row.status,
        row.lock_token,
        row.lease_term,
        move.to.value,
        reasons,
        now + _FIRST_WATCH if failed else move.next_retry_at,
        now + WATCH_FOR if failed else None,
        0 if final else row.reserved_micros,
        (kept if buy else 0) if final else row.budget_micros,
        row.budget_count,
        fill.size_micros if fill else 0,
        fill.price_micros if fill else 0,
        fill.cost_micros if fill else 0,
        fill.fee_micros if fill else 0,
        fill.tx_hash if fill else "",
        move.executor or row.executor,
        move.submitted_at or row.submitted_at,
        now if move.to is Status.EXECUTED else None,
    )


_FIRST_WATCH = timedelta(minutes=1)


def _told(refusal: Refusal) -> dict[str, object]:
    return {
        "reason": refusal.reason.value,
        "value": refusal.value,
        "limit": refusal.limit,
        "unit": refusal.unit.value,
    }


def _release_budgets(buys: Sequence[Move]) -> None:
    back: list[tuple[BudgetKey, Spent]] = []
    for move in buys:
        row, fill = move.row, move.fill
        if move.to in OPEN or not row.budget_mask:
            continue
        kept = cost_up(fill.size_micros, row.limit_micros) if fill else 0
        # A late fill takes again what its failure gave back.
        held = 0 if Status(row.status) is Status.FAILED else row.budget_count
        spent = Spent(row.budget_micros - kept, held - (row.budget_count if fill else 0))
        back += [(key, spent) for key in _budget_keys(row)]
    release_budgets(back)


def _budget_keys(row: CopyTrade) -> Iterable[BudgetKey]:
    keys = {
        BudgetScope.FOLLOWER: str(row.follower_id),
        BudgetScope.GLOBAL: "",
        BudgetScope.LEADER: str(row.leader_id),
        BudgetScope.MARKET: row.condition_id,
    }
    return keys_of(row.budget_mask, keys, row.decided_at)


def _move_money(moves: Sequence[Move], now: datetime) -> None:
    """Release reservations and book fills, on cash and positions locked in the fixed order."""
    final = [move for move in moves if move.to not in OPEN]
    filled = [move for move in final if move.fill]
    cash = lock_cash(move.row.follower_id for move in final if move.fill or Side(move.row.side) is Side.BUY)
    held = lock_positions(_position(m.row) for m in final if m.fill or Side(m.row.side) is Side.SELL)
    for move in final:
        _release(move.row, cash, held)
    entries: list[tuple[Entry, int | None]] = []
    unexplained: list[tuple[int | None, Refusal]] = []
    for move in filled:
        found = _find_shares(move, held)
        if found is not None:
            unexplained.append((move.row.pk, Refusal(Reason.OVERSOLD, found.amount_micros, 0, Unit.SHARES)))
            entries.append((found, move.row.pk))
        entries += [(entry, move.row.pk) for entry in _book(move, cash, held)]
    record_events(unexplained, now=now)
    write_entries(entries)
    write_cash(cash)
    write_positions(held)


def _release(row: CopyTrade, cash: Mapping[int, Cash], held: Mapping[PositionKey, Held]) -> None:
    # A FAILED row that a late fill wakes has released already: its reservation is 0.
    if Side(row.side) is Side.BUY:
        cash[row.follower_id].reserved_micros -= row.reserved_micros
    elif row.reserved_micros:
        held[_position(row)].reserved_micros -= row.reserved_micros


def _find_shares(move: Move, held: dict[PositionKey, Held]) -> Entry | None:
    """Shares that a sale delivered and we did not know of: the venue is right, so they came from outside, at no cost.

    Only a late fill comes here, after its shares were sold again; the caller makes it an incident.
    """
    row, fill = move.row, move.fill
    assert fill is not None
    if Side(row.side) is Side.BUY:
        return None
    mine = held.setdefault(_position(row), Held(row.condition_id))
    missing = fill.size_micros - mine.free_micros
    if missing <= 0:
        return None
    mine.size_micros += missing
    return found_shares(row.follower_id, row.token_id, amount_micros=missing, key=f"trade:{row.pk}:FOUND")


def _book(move: Move, cash: dict[int, Cash], held: dict[PositionKey, Held]) -> tuple[Entry, ...]:
    row, fill = move.row, move.fill
    assert fill is not None
    side = Side(row.side)
    mine = held.setdefault(_position(row), Held(row.condition_id))
    before = Holding(size_micros=Micros(mine.size_micros), cost_micros=Micros(mine.cost_micros))
    after = after_fill(before, side, fill=fill)
    mine.size_micros, mine.cost_micros = after.holding.size_micros, after.holding.cost_micros
    mine.realised_micros += after.realised_profit_micros
    mine.fees_micros += fill.fee_micros
    gained = fill.cost_micros if side is Side.SELL else -fill.cost_micros
    cash[row.follower_id].cash_micros += gained - fill.fee_micros
    return fill_entries(
        FillFacts(
            trade_key=f"trade:{row.pk}:{row.attempts}" if row.fill_size_micros else f"trade:{row.pk}",
            follower_id=row.follower_id,
            token_id=row.token_id,
            side=side,
            size_micros=fill.size_micros,
            cost_micros=fill.cost_micros,
            fee_micros=fill.fee_micros,
            released_cost_micros=after.released_cost_micros,
        )
    )


def _position(row: CopyTrade) -> PositionKey:
    return (row.follower_id, row.token_id)
