"""The ends of signals are fenced: whoever woke up without the shard changes no row."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from copytrading.models import ShardLease, Signal
from copytrading.operations.attempts import begin_signals, count_try, drop_signals, on_a_later_try
from copytrading.operations.leases import Lease, LeaseLost, acquire
from copytrading.queries import open_signals
from guardrails.intents import Reason
from ledger.sql import database_now
from tests.doors import BEGINNING
from tests.factories import SignalFactory

pytestmark = pytest.mark.django_db

LATER = BEGINNING + timedelta(minutes=1)


def _bury(pk: int, lease: Lease) -> None:
    begin_signals([pk], now=LATER, attempts_max=1, lease=lease)


def _count(pk: int, lease: Lease) -> None:
    count_try(on_a_later_try([each.facts for each in open_signals([pk])], now=LATER), lease=lease)


def _drop(pk: int, lease: Lease) -> None:
    drop_signals([pk], reason=Reason.NO_SUBSCRIBERS, now=LATER, lease=lease)


writes = pytest.mark.parametrize("write", [_bury, _count, _drop], ids=["bury", "count", "drop"])


@pytest.fixture
def signal() -> Signal:
    return SignalFactory(done_at=None, detected_at=BEGINNING, attempts=1)


def state(signal: Signal) -> tuple[object, ...]:
    return Signal.objects.values_list("done_at", "attempts", "dropped_reason").get(pk=signal.pk)


def taken(holder: str) -> Lease:
    lease = acquire(shard=0, of=1, holder=holder, ttl_s=8)
    assert lease is not None
    return lease


@writes
def test_holder_may(write: Callable[[int, Lease], None], signal: Signal) -> None:
    before = state(signal)
    write(signal.pk, taken("first"))
    assert state(signal) != before


@writes
def test_old_holder_that_wakes_up_changes_no_signal(write: Callable[[int, Lease], None], signal: Signal) -> None:
    old, before = taken("first"), state(signal)
    ShardLease.objects.update(expires_at=database_now() - timedelta(seconds=1))
    taken("second")
    with pytest.raises(LeaseLost):
        write(signal.pk, old)
    assert state(signal) == before
