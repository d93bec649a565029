"""The beginning and the odd ends of signals: tries are counted before they are made, drops have a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from copytrading.decide import SignalFacts
from copytrading.models import Signal
from copytrading.queries import open_signals
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events

ATTEMPTS_MAX = 3
"""A signal that was begun so often and never finished would stop its shard for ever."""

FRESH_FOR = timedelta(seconds=5)
"""Younger signals are on their first try; only older ones are counted, so that the usual path writes nothing."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Signals to decide, in order, those of them that were begun before, and those put aside after too many tries."""

    signals: tuple[SignalFacts, ...]
    again: frozenset[int]
    poisoned: tuple[int, ...]


def begin_signals(signal_ids: Sequence[int], *, now: datetime) -> Begun:
    """Read the open ones among these signals, and put those aside that were tried too often."""
    rows = open_signals(signal_ids)
    poisoned = tuple(row.facts.signal_id for row in rows if row.attempts >= ATTEMPTS_MAX)
    if poisoned:
        with transaction.atomic():
            _bury(poisoned, now=now)
    left = [row for row in rows if row.attempts < ATTEMPTS_MAX]
    return Begun(
        tuple(row.facts for row in left), frozenset(row.facts.signal_id for row in left if row.attempts), poisoned
    )


def count_try(signals: Sequence[SignalFacts], *, now: datetime) -> None:
    """Count a try of these signals, right before it; young ones are on their first try and are not written."""
    old = [signal.signal_id for signal in signals if signal.detected_at < now - FRESH_FOR]
    if old:
        Signal.objects.filter(pk__in=old, done_at__isnull=True).update(attempts=F("attempts") + 1)


def drop_signals(signal_ids: Sequence[int], *, reason: Reason, now: datetime) -> int:
    """End these open signals without copies, with a reason. Returns how many this call ended."""
    open_rows = Signal.objects.filter(pk__in=signal_ids, done_at__isnull=True)
    return open_rows.update(done_at=now, dropped_reason=reason.value)


def _bury(signal_ids: Sequence[int], *, now: datetime) -> None:
    drop_signals(signal_ids, reason=Reason.DEAD_LETTER, now=now)
    for each in signal_ids:
        refusal = Refusal(Reason.DEAD_LETTER, ATTEMPTS_MAX, ATTEMPTS_MAX, Unit.COUNT)
        record_events([(None, refusal)], now=now, subject=f"signal {each}")
