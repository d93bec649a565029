"""Signals that were put aside after too many tries, as `manage.py deadletters` shows them. Reads only.

A dead letter is the signal's own row: done, with DEAD_LETTER as the reason. There is no second list to disagree with.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count

from copytrading.models import Signal
from guardrails.intents import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A signal that was given up, and how many of its copies exist all the same."""

    signal_id: int
    leader: str
    side: str
    size_micros: int
    price_micros: int
    condition_id: str
    detected_at: datetime
    dead_since: datetime
    attempts: int
    copies: int


def dead_letters(*, signal_ids: Sequence[int] | None = None, limit: int | None = None) -> list[DeadLetter]:
    """Those of these signals, or of all, that are dead letters, oldest first."""
    rows = Signal.objects.filter(done_at__isnull=False, dropped_reason=Reason.DEAD_LETTER.value)
    if signal_ids is not None:
        rows = rows.filter(pk__in=list(signal_ids))
    fields = ("pk", "leader__wallet", "side", "size_micros", "price_micros", "condition_id", "detected_at", "done_at")
    found = rows.annotate(copies=Count("trades")).order_by("pk").values_list(*fields, "attempts", "copies")
    return [
        DeadLetter(
            signal_id=row[0],
            leader=row[1],
            side=row[2],
            size_micros=row[3],
            price_micros=row[4],
            condition_id=row[5],
            detected_at=row[6],
            dead_since=row[7],
            attempts=row[8],
            copies=row[9],
        )
        for row in found[:limit]
    ]


def count_dead_letters() -> int:
    """How many there are."""
    return Signal.objects.filter(done_at__isnull=False, dropped_reason=Reason.DEAD_LETTER.value).count()
