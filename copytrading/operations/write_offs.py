"""What people do about orders that do not come to an end: have the venue asked now, or give up what it never settled.

Nothing is decided here about money that moved: a copy that is written off is watched on, and what of it is confirmed
late is adopted with an incident, as after every failure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Max, Q

from copytrading.models import CopyTrade
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import record_outcomes
from copytrading.states import ON_THE_VENUE, OPEN, Actor, Status
from copytrading.tracking.settling import SETTLED_WITHIN
from execution.models import VenueFill
from guardrails.intents import Reason, Refusal
from guardrails.operations import record_events
from ledger.audit import AuditNote, plain
from ledger.bulk import Done
from ledger.operations import write_audit
from ledger.sql import compare_and_set

SUBJECT_MAX = 80

_ASKED = frozenset({*OPEN, Status.FAILED, Status.EXECUTED})


def is_written_off(row: CopyTrade) -> bool:
    """Whether a person gave up what was not confirmed of it: from then on only confirmed trades move it."""
    return any(told["reason"] == Reason.WRITTEN_OFF.value for told in row.reasons)


def write_off(trade_ids: Sequence[int], *, who: str, why: str, now: datetime) -> Done:
    """Give up orders that stay MATCHED for longer than settlement may take; one transaction.

    Without a confirmed trade a copy is FAILED (WRITTEN_OFF): cash, shares and budgets that it reserved are free again.
    With one it is noted as written off and asked about at once: what is confirmed is then booked, with all that
    follows from a fill, by fill tracking. Either way it is watched for a day.
    """
    with transaction.atomic():
        # Locked before their trades are read: whoever writes trades holds these locks.
        rows = _locked(trade_ids)
        last, confirmed = _heard(rows)
        stuck = [row for row in rows if _is_stuck(row, last.get(row.pk), now)]
        told = Refusal(Reason.WRITTEN_OFF, subject=why[:SUBJECT_MAX])
        empty = [row for row in stuck if row.pk not in confirmed]
        moves = [Move(row=row, to=Status.FAILED, actor=Actor.OPERATOR, refusal=told) for row in empty]
        done = record_outcomes(moves, now=now) if moves else set()
        done |= _note([row for row in stuck if row.pk in confirmed], told, now=now)
        ended = [row for row in stuck if row.pk in done]
        write_audit([_write_off_note(row, row.pk in confirmed, who=who, why=why) for row in ended])
    return Done(changed=len(ended), refused=tuple(_not_stuck(row) for row in rows if row not in ended))


def ask_now(trade_ids: Sequence[int], *, who: str, why: str, now: datetime) -> Done:
    """Have the venue asked about these orders by the engine's next look, and not when it was due; one transaction."""
    with transaction.atomic():
        rows = _locked(trade_ids)
        due = [row for row in rows if _may_be_asked(row) and (row.next_retry_at is None or row.next_retry_at > now)]
        CopyTrade.objects.filter(pk__in=[row.pk for row in due]).update(next_retry_at=now)
        write_audit(
            [
                _note_of(
                    row,
                    "ask now",
                    {"next_retry_at": plain(row.next_retry_at)},
                    {"next_retry_at": plain(now)},
                    who=who,
                    why=why,
                )
                for row in due
            ]
        )
    return Done(changed=len(due), refused=tuple(_not_asked(row) for row in rows if row not in due))


def _locked(trade_ids: Sequence[int]) -> list[CopyTrade]:
    """The copies, locked in the order that every outcome keeps."""
    return list(CopyTrade.objects.select_for_update(of=("self",)).filter(pk__in=trade_ids).order_by("pk"))


def _heard(rows: Sequence[CopyTrade]) -> tuple[Mapping[int, datetime], set[int]]:
    """When the latest trade of each was matched, and which have one that is confirmed; one query."""
    is_confirmed = Max("matched_at", filter=Q(status=VenueFill.Status.CONFIRMED))
    fills = VenueFill.objects.filter(trade__in=[row.pk for row in rows]).values_list("trade_id")
    found = list(fills.annotate(last=Max("matched_at"), confirmed=is_confirmed).order_by("trade_id"))
    return {pk: last for pk, last, _some in found}, {pk for pk, _last, some in found if some is not None}


def _is_stuck(row: CopyTrade, last_trade: datetime | None, now: datetime) -> bool:
    if row.status != Status.MATCHED or row.mode != ON_THE_VENUE:
        return False
    known = (row.decided_at, row.submitted_at, row.answered_at, last_trade)
    old = now - SETTLED_WITHIN
    return all(moment is None or moment <= old for moment in known)


def _note(rows: Sequence[CopyTrade], told: Refusal, *, now: datetime) -> set[int]:
    """Write it down on copies that are still as they were seen; the ids of those."""
    match, assign = ("id", "status", "lock_token", "lease_term"), ("reasons", "next_retry_at")
    note = {**told.as_json(), "note": True}
    values = [(row.pk, row.status, row.lock_token, row.lease_term, [*row.reasons, note], now) for row in rows]
    noted = compare_and_set(CopyTrade, match=match, assign=assign, rows=values) if values else set()
    record_events([(pk, told) for pk in sorted(noted)], now=now)
    return noted


def _write_off_note(row: CopyTrade, partly: bool, *, who: str, why: str) -> AuditNote:
    before = {"status": Status.MATCHED.value, "reserved_micros": row.reserved_micros}
    after = {} if partly else {"status": Status.FAILED.value, "reserved_micros": 0}
    return _note_of(row, "write off", before, {**before, **after}, who=who, why=why)


def _note_of(
    row: CopyTrade, action: str, before: dict[str, object], after: dict[str, object], *, who: str, why: str
) -> AuditNote:
    return AuditNote(
        actor=who,
        action=action,
        subject=CopyTrade._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before=before,
        after=after,
        why=why,
    )


def _may_be_asked(row: CopyTrade) -> bool:
    return row.mode == ON_THE_VENUE and row.order_hash is not None and Status(row.status) in _ASKED


def _not_asked(row: CopyTrade) -> str:
    if _may_be_asked(row):
        return f"Copy {row.pk} is due already: the engine asks about it by itself."
    return f"Copy {row.pk} has no order on the venue that could be asked about."


def _not_stuck(row: CopyTrade) -> str:
    if row.status != Status.MATCHED or row.mode != ON_THE_VENUE:
        return f"Copy {row.pk} is {row.status}: only an order that stays MATCHED on the venue can be written off."
    minutes = int(SETTLED_WITHIN.total_seconds() // 60)
    return f"Copy {row.pk} was matched less than {minutes} minutes ago: its settlement may still come."
