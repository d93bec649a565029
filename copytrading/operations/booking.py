"""Books what is confirmed and releases what was reserved for it: cash, shares, entries, what each config's copies did.

Inside the transaction of the moves, on rows that `books` has locked.
"""

from collections.abc import Sequence
from datetime import datetime

from copytrading.models import CopyTrade
from copytrading.operations.answers import answer, entries_of
from copytrading.operations.books import Books, lock_books, position_of, write_books
from copytrading.operations.commissions import Booked, earn_commissions
from copytrading.operations.moves import Move
from copytrading.states import OPEN
from execution.ports import Fill
from execution.positions import Holding, HoldingChange, after_fill
from guardrails.intents import Reason, Refusal, Unit
from ledger.commissions import NO_TIERS, Tiers
from ledger.entries import Entry, FillFacts, bookings, fill_entries, found_shares, unanswered
from ledger.units import Micros, Side

_RESULTS = ("PROFIT", "LOSS")


def move_money(moves: Sequence[Move], *, now: datetime, tiers: Tiers = NO_TIERS) -> None:
    """Release reservations and book fills, in the order of locking that `books` keeps; then commissions.

    A commission is earned by the order as a whole, when it has come to its end.
    """
    moving = [move for move in moves if move.fill or move.to not in OPEN]
    books = lock_books(move.row for move in moving if move.fill or Side(move.row.side) is Side.SELL)
    for move in moving:
        release(move.row, books, keep_micros=move.reserves_micros)
    filled = [move for move in moving if move.fill]
    earlier = entries_of([move.row.pk for move in filled if move.was_given_up or move.row.fill_size_micros])
    booked = [_book(move, books, before=earlier.get(move.row.pk, ())) for move in filled]
    write_books(books, now=now)
    ended = {move.row.pk for move in filled if move.to not in OPEN}
    earn_commissions([each for each in booked if each.row.pk in ended], tiers=tiers, now=now)


def release(row: CopyTrade, books: Books, *, keep_micros: int = 0) -> None:
    """Give back what the row reserved, but for what it keeps."""
    # A FAILED row that a late fill wakes has released already: its reservation is 0.
    less = row.reserved_micros - keep_micros
    if Side(row.side) is Side.BUY:
        books.money(row).reserved_micros -= less
    elif less:
        books.held[position_of(row)].reserved_micros -= less


def _book(move: Move, books: Books, *, before: Sequence[Entry]) -> Booked:
    row, whole, fill = move.row, move.fill, move.more
    assert whole is not None and fill is not None
    profit = _profit(unanswered(before)) if row.fill_size_micros else 0
    if not fill.size_micros:
        return Booked(row=row, key=f"trade:{row.pk}:WHOLE", fill=whole, profit_micros=profit)
    number = bookings(before) + 1 if before else 1
    key = f"trade:{row.pk}" if number == 1 else f"trade:{row.pk}:{number}"
    side = Side(row.side)
    if side is Side.SELL:
        _find_shares(row, fill, books, key=key)
    change = _change(row, side, fill, books=books)
    facts = FillFacts(
        trade_key=key,
        follower_id=row.follower_id,
        token_id=row.token_id,
        side=side,
        size_micros=fill.size_micros,
        cost_micros=fill.cost_micros,
        fee_micros=fill.fee_micros,
        released_cost_micros=change.released_cost_micros,
    )
    books.entries += [(entry, row.pk) for entry in fill_entries(facts)]
    # What a reversal had to assume about this trade is no longer so. What is booked of it stays.
    if before and not row.fill_size_micros:
        answer(row, unanswered(before), books, key=f"{key}:AGAIN")
    return Booked(row=row, key=key, fill=whole, profit_micros=profit + change.realised_profit_micros)


def _profit(entries: Sequence[Entry]) -> int:
    """What is booked as realised, before fees."""
    return sum(e.amount_micros if e.kind == "PROFIT" else -e.amount_micros for e in entries if e.kind in _RESULTS)


def _find_shares(row: CopyTrade, fill: Fill, books: Books, *, key: str) -> None:
    """Shares that a sale delivered and we did not know of: the venue is right, so they came from outside, at no cost.

    Only a late fill comes here, after its shares were sold again; it becomes an incident.
    """
    mine = books.position(row)
    missing = fill.size_micros - mine.free_micros
    if missing <= 0:
        return
    mine.size_micros += missing
    found = found_shares(row.follower_id, row.token_id, amount_micros=missing, key=f"{key}:FOUND")
    books.entries.append((found, row.pk))
    books.incidents.append((row.pk, Refusal(Reason.OVERSOLD, missing, 0, Unit.SHARES)))


def _change(row: CopyTrade, side: Side, fill: Fill, *, books: Books) -> HoldingChange:
    mine, copied = books.position(row), books.copy(row)
    before = Holding(size_micros=Micros(mine.size_micros), cost_micros=Micros(mine.cost_micros))
    after = after_fill(before, side, fill=fill)
    mine.size_micros, mine.cost_micros = after.holding.size_micros, after.holding.cost_micros
    mine.fees_micros += fill.fee_micros
    copied.fees_micros += fill.fee_micros
    if side is Side.BUY:
        books.money(row).cash_micros -= fill.cost_micros + fill.fee_micros
        copied.size_micros += fill.size_micros
        copied.spent_micros += fill.cost_micros
        return after
    books.money(row).cash_micros += fill.cost_micros - fill.fee_micros
    copied.size_micros -= fill.size_micros
    copied.received_micros += fill.cost_micros
    mine.realised_micros += after.realised_profit_micros
    copied.realised_micros += after.realised_profit_micros
    return after
