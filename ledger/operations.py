"""Writes about money, inside the caller's transaction: entries once, cash on locked rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction

from ledger.audit import AuditNote
from ledger.entries import Entry, deposit
from ledger.models import AuditEntry, CashBalance, LedgerEntry
from ledger.questions import Question
from ledger.rows import new_row
from ledger.sql import insert_rows, upsert_rows


@dataclass(slots=True)
class Cash:
    """A follower's cash and what open buys reserve of it, in micros, while its row is locked."""

    cash_micros: int
    reserved_micros: int

    @property
    def free_micros(self) -> int:
        """What a new buy may reserve."""
        return self.cash_micros - self.reserved_micros


def lock_cash(follower_ids: Iterable[int]) -> dict[int, Cash]:
    """Lock the cash rows of these followers in id order; a follower without a row has none."""
    return {row[0]: Cash(row[1], row[2]) for row in _CASH.rows(set(follower_ids))}


_CASH = Question(
    lambda ids: (
        CashBalance.objects.select_for_update()
        .filter(follower_id__among=ids)
        .order_by("follower_id")
        .values_list("follower_id", "cash_micros", "reserved_micros")
    )
)


def write_cash(cash: Mapping[int, Cash]) -> None:
    """Write locked cash rows back."""
    rows = [
        new_row(CashBalance, follower_id=key, cash_micros=value.cash_micros, reserved_micros=value.reserved_micros)
        for key, value in sorted(cash.items())
    ]
    upsert_rows(CashBalance, rows, unique=("follower",), update=("cash_micros", "reserved_micros"))


def write_entries(entries: Sequence[tuple[Entry, int | None]]) -> None:
    """Append entries, each with the id of its trade. A key that exists already is an IntegrityError: once is once."""
    rows = [
        new_row(
            LedgerEntry,
            key=entry.key,
            kind=entry.kind,
            debit_account=entry.debit,
            credit_account=entry.credit,
            asset=entry.asset,
            amount_micros=entry.amount_micros,
            trade_id=trade_id,
        )
        for entry, trade_id in entries
    ]
    insert_rows(LedgerEntry, rows)


def deposit_cash(follower_ids: Sequence[int], amount_micros: int, *, key: str) -> None:
    """Give each follower (paper) money from outside, with its entry; one transaction."""
    with transaction.atomic():
        held = lock_cash(follower_ids)
        for follower_id in follower_ids:
            cash = held.setdefault(follower_id, Cash(0, 0))
            cash.cash_micros += amount_micros
        write_entries([(deposit(each, amount_micros, f"{key}:{each}"), None) for each in follower_ids])
        write_cash(held)


def write_audit(notes: Sequence[AuditNote]) -> None:
    """Append what people changed, in the transaction of the change itself: neither stands without the other."""
    rows = [
        AuditEntry(
            actor=note.actor[:150],
            action=note.action,
            subject=note.subject,
            subject_id=note.subject_id[:80],
            label=note.label[:200],
            before=dict(note.before),
            after=dict(note.after),
            why=note.why[:200],
        )
        for note in notes
    ]
    insert_rows(AuditEntry, rows)
