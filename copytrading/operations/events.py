"""The dashboard's outbox: events with a sequence whose order is the order of their commits."""

from typing import Any

from django.db import transaction

from copytrading.models import DashboardEvent, DashboardSequence

KEEP = 5_000
"""Events kept: twenty minutes at four a second, far more than a page needs to resume."""

PRUNE_EVERY = 500


def publish(kind: str, payload: dict[str, Any]) -> int:
    """Append an event and return its sequence. A short transaction of its own: writers of all shards queue here."""
    with transaction.atomic():
        DashboardSequence.objects.get_or_create(pk=1)
        counter = DashboardSequence.objects.select_for_update().get(pk=1)
        counter.last += 1
        counter.save(update_fields=["last"])
        DashboardEvent.objects.create(sequence=counter.last, kind=kind, payload=payload)
        if counter.last % PRUNE_EVERY == 0:
            DashboardEvent.objects.filter(sequence__lte=counter.last - KEEP).delete()
        return counter.last
