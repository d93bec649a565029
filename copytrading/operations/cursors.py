"""How far each source has read each leader: rows that move by compare-and-set, only forwards, or go.

A cursor is moved after what it passes is recorded, so that whoever starts from it again can miss nothing.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from copytrading.models import CopyConfig, Leader, LeaderPosition, SignalCursor
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events


@dataclass(frozen=True, slots=True)
class CursorName:
    """Whose cursor: of which source, and of what in it."""

    source: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Missed:
    """What will not be read any more: rows of a leader that are known of (None: nobody knows how many)."""

    rows: int | None
    why: str


def begin_cursor(name: CursorName, position: int) -> int:
    """The position of a cursor; one that does not exist begins here."""
    row, _created = SignalCursor.objects.get_or_create(
        source=name.source, key=name.key, defaults={"position": str(position)}
    )
    return int(row.position)


def move_cursor(name: CursorName, *, before: int, after: int) -> bool:
    """Move a cursor forwards; False when it is no longer where it was seen, and nothing changed."""
    if after <= before:
        raise ValueError(f"the cursor {name} would go from {before} to {after}")
    return _move(name, before, after)


def give_up(name: CursorName, *, before: int, after: int, missed: Missed, now: datetime) -> bool:
    """Move a leader's cursor past rows that nobody will read, with an event; False when it had moved, and no event.

    What the leader holds is known no more: the history that it was kept by has a hole. One transaction.
    """
    with transaction.atomic():
        if not _move(name, before, after):
            return False
        if missed.rows == 0:
            return True
        subject = f"{name.source} of {name.key}: {missed.why}"
        record_events([(None, Refusal(Reason.HISTORY_MISSED, missed.rows, None, Unit.COUNT, subject))], now=now)
        unlearn(name.key)
    return True


def unlearn(wallet: str) -> None:
    """Nothing that this leader holds is known any more, until it is read again. Inside the caller's transaction."""
    Leader.objects.filter(wallet=wallet).update(holdings_complete=False)
    LeaderPosition.objects.filter(leader__wallet=wallet, known=True).update(known=False, updated_at=Now())


def forget_unfollowed(source: str) -> int:
    """Delete the cursors of leaders whom no active config follows, so that a later follow begins anew; how many."""
    followed = CopyConfig.objects.filter(active=True).values("leader__wallet")
    deleted, _by_model = SignalCursor.objects.filter(source=source).exclude(key__in=followed).delete()
    return deleted


def _move(name: CursorName, before: int, after: int) -> bool:
    row = SignalCursor.objects.filter(source=name.source, key=name.key, position=str(before))
    return row.update(position=str(after), updated_at=Now()) == 1
