"""What people do with many rows about money at once: one transaction, and an audit entry for each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from ledger.audit import AuditNote, plain
from ledger.models import Claimable, Debt, ReimbursementLedger
from ledger.operations import write_audit

FINAL = {
    ReimbursementLedger: frozenset({"VOID", "REIMBURSED", "DEBT"}),
    Debt: frozenset({"RECOVERED", "WRITTEN_OFF"}),
}
"""States in which there is nothing left to try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What an operation changed, and a sentence for each row that it had to leave."""

    changed: int
    refused: tuple[str, ...] = ()


def try_now(
    model: type[ReimbursementLedger] | type[Debt], row_ids: Sequence[int], *, who: str, why: str, now: datetime
) -> Done:
    """Let reimbursements or debts that wait for their next try be tried now."""
    with transaction.atomic():
        rows: list[Claimable] = list(model._default_manager.select_for_update().filter(pk__in=row_ids).order_by("pk"))
        sentences = {row.pk: _not_now(row, getattr(row, "state"), FINAL[model], now) for row in rows}  # noqa: B009
        due = [row for row in rows if not sentences[row.pk]]
        model._default_manager.filter(pk__in=[row.pk for row in due]).update(next_retry_at=now)
        write_audit([_note(row, who=who, why=why, now=now) for row in due])
    return Done(changed=len(due), refused=tuple(text for text in sentences.values() if text))


def _not_now(row: Claimable, state: str, final: frozenset[str], now: datetime) -> str:
    name = f"{row._meta.verbose_name} {row.pk}".capitalize()
    if state in final:
        return f"{name} is {state}: there is nothing left to try."
    if row.next_retry_at is None or row.next_retry_at <= now:
        return f"{name} is due already."
    return ""


def _note(row: Claimable, *, who: str, why: str, now: datetime) -> AuditNote:
    return AuditNote(
        actor=who,
        action="retry",
        subject=row._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before={"next_retry_at": plain(row.next_retry_at)},
        after={"next_retry_at": plain(now)},
        why=why,
    )
