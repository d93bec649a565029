"""Giving dead letters up for good. To open them again is `operations.bulk.retry_signals`."""

from collections.abc import Sequence

from django.db import transaction

from copytrading.models import Signal
from guardrails.intents import Reason
from ledger.audit import AuditNote
from ledger.bulk import Done
from ledger.operations import write_audit


def purge_dead_letters(signal_ids: Sequence[int], *, who: str, why: str) -> Done:
    """Take these off the list: they can be replayed no more. The rows stay, with an audit entry for each.

    A signal's row is what keeps the same trade from being copied when a source shows it again.
    """
    with transaction.atomic():
        rows = list(Signal.objects.select_for_update().filter(pk__in=signal_ids).order_by("pk"))
        dead = [row for row in rows if row.done_at and row.dropped_reason == Reason.DEAD_LETTER]
        Signal.objects.filter(pk__in=[row.pk for row in dead]).update(dropped_reason=Reason.PURGED.value)
        write_audit(
            [
                AuditNote(
                    actor=who,
                    action="purge",
                    subject=Signal._meta.label_lower,
                    subject_id=str(row.pk),
                    label=str(row),
                    before={"dropped_reason": row.dropped_reason},
                    after={"dropped_reason": Reason.PURGED.value},
                    why=why,
                )
                for row in dead
            ]
        )
    left = tuple(f"Signal {row.pk} is no dead letter." for row in rows if row not in dead)
    return Done(changed=len(dead), refused=left)
