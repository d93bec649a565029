"""Incidents that belong to no copy, written in a transaction of their own."""

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction

from guardrails.intents import Refusal
from guardrails.operations import record_events


def record_incidents(refusals: Sequence[Refusal], *, subject: str, now: datetime) -> None:
    """Write each as an event without a trade."""
    with transaction.atomic():
        record_events([(None, refusal) for refusal in refusals], now=now, subject=subject)
