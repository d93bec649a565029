"""The beginning and the odd ends of signals: tries are counted before they are made, drops have a reason."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F

from copytrading.decide import SignalFacts
from copytrading.models import Signal
from copytrading.operations.leases import Lease, hold
from copytrading.queries import earlier_open_ids, open_signals
from guardrails.intents import Reason, Refusal, Unit
from guardrails.operations import record_events
from ledger.units import Side

ATTEMPTS_MAX = 3
"""Unless the settings say otherwise. A signal that is begun and never finished would stop its shard for ever."""

FRESH_FOR = timedelta(seconds=5)
"""Younger signals are on their first try; only older ones are counted, so that the usual path writes nothing."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Signals to decide, in order, those of them that were begun before, and those put aside after too many tries."""

    signals: tuple[SignalFacts, ...]
    again: frozenset[int]
    poisoned: tuple[int, ...]


def begin_signals(
    signal_ids: Sequence[int], *, now: datetime, attempts_max: int = ATTEMPTS_MAX, lease: Lease | None = None
) -> Begun:
    """Read the open ones among these signals, and put those aside that were tried too often. Raises LeaseLost.

    With a sell, and with a later part of an action, come the leader's earlier signals in its market that are still
    open: what they buy is sold, and counts for the part. A full queue may have refused them and not these.
    """
    rows = open_signals(signal_ids)
    if earlier := earlier_open_ids([row.facts for row in rows if has_a_past(row.facts)]):
        rows = open_signals(sorted(earlier.union(signal_ids)))
    poisoned = tuple(row.facts.signal_id for row in rows if row.attempts >= attempts_max)
    if poisoned:
        with transaction.atomic():
            _fence(lease)
            _bury(poisoned, attempts_max=attempts_max, now=now)
    left = [row for row in rows if row.attempts < attempts_max]
    return Begun(
        tuple(row.facts for row in left), frozenset(row.facts.signal_id for row in left if row.attempts), poisoned
    )


def has_a_past(signal: SignalFacts) -> bool:
    """Whether the leader's earlier signals in its market must be decided before this one."""
    return signal.side is Side.SELL or signal.part > 1


def on_a_later_try(signals: Sequence[SignalFacts], *, now: datetime) -> list[int]:
    """The ids of those whose tries are counted: young ones are on their first."""
    return [signal.signal_id for signal in signals if signal.detected_at < now - FRESH_FOR]


def count_try(signal_ids: Sequence[int], *, lease: Lease | None = None) -> None:
    """Count a try of these signals, right before it. Raises LeaseLost."""
    with transaction.atomic():
        _fence(lease)
        Signal.objects.filter(pk__in=signal_ids, done_at__isnull=True).update(attempts=F("attempts") + 1)


def drop_signals(signal_ids: Sequence[int], *, reason: Reason, now: datetime, lease: Lease | None = None) -> int:
    """End these open signals without copies, with a reason. Returns how many this call ended. Raises LeaseLost."""
    with transaction.atomic():
        _fence(lease)
        open_rows = Signal.objects.filter(pk__in=signal_ids, done_at__isnull=True)
        return open_rows.update(done_at=now, dropped_reason=reason.value)


def _fence(lease: Lease | None) -> None:
    """Whoever woke up without the shard ends nothing that its new holder is at."""
    if lease is not None:
        hold(lease)


def _bury(signal_ids: Sequence[int], *, attempts_max: int, now: datetime) -> None:
    drop_signals(signal_ids, reason=Reason.DEAD_LETTER, now=now)
    for each in signal_ids:
        refusal = Refusal(Reason.DEAD_LETTER, attempts_max, attempts_max, Unit.COUNT)
        record_events([(None, refusal)], now=now, subject=f"signal {each}")
