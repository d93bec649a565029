"""How far the chain has been read: a cursor whose position is a text, moved by compare-and-set; and what was missed."""

from datetime import datetime

from django.db import transaction
from django.db.models.functions import Now

from copytrading.models import SignalCursor
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events


def move_place(source: str, key: str, *, before: str | None, after: str) -> bool:
    """Move a cursor, or create it where `before` is None; False when it is not where it was seen: nothing changed."""
    if before is None:
        _row, created = SignalCursor.objects.get_or_create(source=source, key=key, defaults={"position": after})
        return created
    row = SignalCursor.objects.filter(source=source, key=key, position=before)
    return row.update(position=after, updated_at=Now()) == 1


def tell_missed(number: int | None, *, bound: int | None, subject: str, now: datetime) -> None:
    """Record that so many blocks or trades were not read and will not be."""
    with transaction.atomic():
        refusal = Refusal(Reason.HISTORY_MISSED, number, bound, Unit.COUNT, subject)
        record_events([(None, refusal)], now=now)
