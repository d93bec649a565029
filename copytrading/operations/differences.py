"""What an audit found, as events; never an edit of what it found it in."""

from dataclasses import replace
from datetime import datetime

from django.db import transaction

from copytrading.tracking.differences import Difference
from guardrails.intents import Reason
from guardrails.models import GuardrailEvent
from guardrails.operations import record_events


def raise_differences(follower_id: int, found: tuple[Difference, ...], *, now: datetime) -> int:
    """Write an event for each difference that has none yet; how many were new. One transaction."""
    subjects = {each: f"follower {follower_id}: {each.subject}" for each in found}
    with transaction.atomic():
        rows = GuardrailEvent.objects.filter(reason=Reason.AUDIT_DIFFERENCE.value, subject__in=subjects.values())
        known = set(rows.values_list("trade_id", "subject"))
        new = [each for each in found if (each.trade_id, subjects[each]) not in known]
        told = [(each.trade_id, replace(each.refusal, subject=subjects[each])) for each in new]
        record_events(told, now=now)
    return len(new)
