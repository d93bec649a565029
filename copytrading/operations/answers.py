"""Undoes ledger entries of one trade by opposite ones, and brings cash, position and copied position along.

Inside the caller's transaction, on locked books. What cannot go back as it came is booked as what it then is:
shares that are gone were found outside, cost that is gone with them was a profit or a loss.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from copytrading.models import CopyTrade
from copytrading.operations.books import Books
from guardrails.intents import Reason, Refusal, Unit
from ledger.entries import CASH, Entry, account, found_shares, net, opposite, revalued
from ledger.models import LedgerEntry
from ledger.units import Side

_COLUMNS = ("key", "kind", "debit_account", "credit_account", "asset", "amount_micros")
_FIELDS = ("key", "kind", "debit", "credit", "asset", "amount_micros")


def entries_of(trade_ids: Iterable[int]) -> Mapping[int, Sequence[Entry]]:
    """All entries of these trades, oldest first; no query for none."""
    wanted = list(trade_ids)
    found: defaultdict[int, list[Entry]] = defaultdict(list)
    if wanted:
        rows = LedgerEntry.objects.filter(trade_id__in=wanted).order_by("pk")
        for trade_id, *values in rows.values_list("trade_id", *_COLUMNS):
            found[trade_id].append(Entry(**dict(zip(_FIELDS, values, strict=True))))
    return found


def answer(row: CopyTrade, entries: Sequence[Entry], books: Books, *, key: str) -> None:
    """Write the opposites of these entries of the row's trade, with all that follows; `key` names the corrections.

    A purchase goes back at what it cost, exactly; what the position's cost then lacks or has too much (some of
    its shares were sold at the average) was profit or loss of those sales. Nothing here rounds.
    """
    if not entries:
        return
    opposites = [opposite(entry) for entry in entries]
    books.entries += [(entry, row.pk) for entry in opposites]
    sums = net(opposites)

    def change(name: str, asset: str = CASH) -> int:
        return sums.get((account(row.follower_id, name), asset), 0)

    mine, copied = books.position(row), books.copy(row)
    cash, fees = change("cash"), change("fees")
    books.money(row).cash_micros += cash
    mine.size_micros += change("shares", str(row.token_id))
    mine.cost_micros += change("cost")
    mine.realised_micros -= change("profit")
    mine.fees_micros += fees
    moved = sum(entry.amount_micros for entry in entries if entry.kind == "SHARES")
    if Side(row.side) is Side.BUY:
        copied.size_micros -= moved
        copied.spent_micros -= cash + fees
    else:
        copied.size_micros += moved
        copied.received_micros += cash + fees
    copied.realised_micros -= change("profit")
    copied.fees_micros += fees
    _find_shares(row, books, key=key)
    _revalue(row, books, key=key)


def _find_shares(row: CopyTrade, books: Books, *, key: str) -> None:
    """Shares that go back but were sold, or are promised to an open sell, meanwhile: from outside, and an incident."""
    mine = books.position(row)
    missing = mine.reserved_micros - mine.size_micros
    if missing <= 0:
        return
    mine.size_micros += missing
    found = found_shares(row.follower_id, row.token_id, amount_micros=missing, key=f"{key}:FOUND")
    books.entries.append((found, row.pk))
    books.incidents.append((row.pk, Refusal(Reason.OVERSOLD, missing, 0, Unit.SHARES)))


def _revalue(row: CopyTrade, books: Books, *, key: str) -> None:
    """A cost is never below zero, and no shares cost nothing."""
    mine = books.position(row)
    gain = (max(mine.cost_micros, 0) if mine.size_micros else 0) - mine.cost_micros
    if not gain:
        return
    mine.cost_micros += gain
    mine.realised_micros += gain
    books.copy(row).realised_micros += gain
    books.entries.append((revalued(row.follower_id, gain, key=f"{key}:COST"), row.pk))
