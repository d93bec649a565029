"""What people do with many rows at once: one transaction, a constant number of queries, an audit entry for each row.

Only what is legal is done: a copy that was SKIPPED or FAILED is final, because its order hash is one for life, so
what can be tried again is a signal that was put aside before it was decided, and an exit that waits for its moment.
"""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import F

from copytrading.models import CopyConfig, CopyConfigVersion, CopyTrade, Signal, Standing
from copytrading.operations.people import CHOICES
from copytrading.operations.reversals import reverse_fills
from copytrading.operations.stops import start_again
from copytrading.states import Status
from guardrails.intents import Reason, Refusal
from ledger.audit import AuditNote, plain
from ledger.bulk import Done
from ledger.operations import write_audit


def set_active(config_ids: Sequence[int], *, active: bool, who: str, why: str) -> Done:
    """Activate or deactivate configs; each becomes a new version, as every change does."""
    with transaction.atomic():
        # Without the key: a prewrite's new rows look at it, and must not wait for us while we wait for them.
        rows = list(CopyConfig.objects.select_for_update(no_key=True).filter(pk__in=config_ids).order_by("pk"))
        changed = [row for row in rows if row.active != active]
        # A config made without `save_config` has no row for its version: it gets one before that is lost.
        _remember(changed, who="")
        for row in changed:
            row.active = active
            row.version += 1
        CopyConfig.objects.filter(pk__in=[row.pk for row in changed]).update(active=active, version=F("version") + 1)
        _remember(changed, who=who)
        write_audit([_activation(row, who=who, why=why) for row in changed])
    state = "active" if active else "not active"
    left = tuple(f"Config {row.pk} was left alone: it is {state} already." for row in rows if row not in changed)
    return Done(changed=len(changed), refused=left)


def retry_signals(signal_ids: Sequence[int], *, who: str, why: str) -> Done:
    """Open signals again that were put aside after too many tries; the sweeper offers them within seconds.

    Followers who have an answer keep it; the rest are decided by the rules of now, the age of the signal included.
    """
    with transaction.atomic():
        rows = list(Signal.objects.select_for_update().filter(pk__in=signal_ids).order_by("pk"))
        again = [row for row in rows if row.done_at and row.dropped_reason == Reason.DEAD_LETTER]
        Signal.objects.filter(pk__in=[row.pk for row in again]).update(done_at=None, attempts=0, dropped_reason="")
        write_audit([_retry(row, who=who, why=why) for row in again])
    return Done(changed=len(again), refused=tuple(_not_again(row) for row in rows if row not in again))


def exit_now(standing_ids: Sequence[int], *, who: str, why: str, now: datetime) -> Done:
    """Let exits that wait for their next try be tried now."""
    with transaction.atomic():
        rows = list(Standing.objects.select_for_update().filter(pk__in=standing_ids).order_by("config_id"))
        due = [row for row in rows if row.exiting and row.next_exit_at is not None and row.next_exit_at > now]
        Standing.objects.filter(pk__in=[row.pk for row in due]).update(next_exit_at=now)
        write_audit(
            [
                AuditNote(
                    actor=who,
                    action="retry",
                    subject=Standing._meta.label_lower,
                    subject_id=str(row.pk),
                    label=str(row),
                    before={"next_exit_at": plain(row.next_exit_at)},
                    after={"next_exit_at": plain(now)},
                    why=why,
                )
                for row in due
            ]
        )
    left = tuple(
        f"Config {row.config_id}: " + ("its exit is due already." if row.exiting else "it is not exiting.")
        for row in rows
        if row not in due
    )
    return Done(changed=len(due), refused=left)


def start_stopped_again(standing_ids: Sequence[int], *, who: str, why: str) -> Done:
    """Let stopped configs copy again, their stops measured from the next look on."""
    with transaction.atomic():
        rows = list(Standing.objects.select_for_update().filter(pk__in=standing_ids).order_by("config_id"))
        stopped = [row for row in rows if row.stopped_at is not None]
        start_again([row.config_id for row in stopped])
        write_audit([_start(row, who=who, why=why) for row in stopped])
    left = tuple(f"Config {row.config_id} is not stopped." for row in rows if row not in stopped)
    return Done(changed=len(stopped), refused=left)


def reverse_copies(trade_ids: Sequence[int], *, who: str, why: str, now: datetime) -> Done:
    """Take copies back whose fill was undone on the venue or the chain, with everything that it moved."""
    with transaction.atomic():
        rows = list(CopyTrade.objects.filter(pk__in=trade_ids).order_by("pk"))
        executed = [row for row in rows if row.status == Status.EXECUTED]
        moved = reverse_fills(executed, refusal=Refusal(Reason.REVERSED, subject=why[:80]), now=now)
        undone = [row for row in executed if row.pk in moved]
        write_audit([_reversal(row, who=who, why=why) for row in undone])
    left = tuple(
        f"Copy {row.pk} is {row.status}: only a copy that was executed can be reversed."
        for row in rows
        if row not in undone
    )
    return Done(changed=len(undone), refused=left)


def _start(row: Standing, *, who: str, why: str) -> AuditNote:
    return AuditNote(
        actor=who,
        action="start again",
        subject=Standing._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before={"stopped_reason": row.stopped_reason, "stopped_at": plain(row.stopped_at), "exiting": row.exiting},
        after={"stopped_reason": "", "stopped_at": None, "exiting": False},
        why=why,
    )


def _reversal(row: CopyTrade, *, who: str, why: str) -> AuditNote:
    return AuditNote(
        actor=who,
        action="reverse",
        subject=CopyTrade._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before={"status": Status.EXECUTED.value, "fill_size_micros": row.fill_size_micros},
        after={"status": Status.FAILED.value, "fill_size_micros": 0},
        why=why,
    )


def _remember(configs: Sequence[CopyConfig], *, who: str) -> None:
    versions = [
        CopyConfigVersion(
            config=row, version=row.version, changed_by=who, **{name: getattr(row, name) for name in CHOICES}
        )
        for row in configs
    ]
    CopyConfigVersion.objects.bulk_create(versions, ignore_conflicts=True)


def _activation(row: CopyConfig, *, who: str, why: str) -> AuditNote:
    return AuditNote(
        actor=who,
        action="activate" if row.active else "deactivate",
        subject=CopyConfig._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before={"active": not row.active, "version": row.version - 1},
        after={"active": row.active, "version": row.version},
        why=why,
    )


def _retry(row: Signal, *, who: str, why: str) -> AuditNote:
    return AuditNote(
        actor=who,
        action="retry",
        subject=Signal._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before={"dropped_reason": row.dropped_reason, "attempts": row.attempts},
        after={"dropped_reason": "", "attempts": 0},
        why=why,
    )


def _not_again(row: Signal) -> str:
    if row.done_at is None:
        return f"Signal {row.pk} is still open: it will be decided anyway."
    if row.dropped_reason:
        return f"Signal {row.pk} was dropped for {row.dropped_reason}; only what failed too often can be tried again."
    return f"Signal {row.pk} is decided for everybody, and a decision is final: each order hash is used once."
