"""What was recorded a moment ago is begun without being read again."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from copytrading.decide import SignalFacts
from copytrading.fresh import REMEMBERED_MAX, FreshSignals
from copytrading.operations.attempts import FRESH_FOR
from copytrading.queries import open_signals, signal_facts
from ledger.units import Side
from tests.doors import BEGINNING
from tests.factories import SignalFactory


@pytest.fixture
def heard() -> SignalFacts:
    signal = SignalFactory.build(pk=1, detected_at=BEGINNING, side=Side.BUY.value)
    signal.group_id = 1
    return replace(signal_facts(signal, "key"), signal_id=1)


@pytest.mark.django_db
def test_what_was_written_is_what_would_be_read() -> None:
    row = SignalFactory(done_at=None)
    assert [each.facts for each in open_signals([row.pk])] == [signal_facts(row, row.group.key)]


def test_it_answers_once_in_the_order_of_recording(heard: SignalFacts) -> None:
    fresh = FreshSignals()
    second = replace(heard, signal_id=2)
    fresh.note([heard, second])
    assert fresh.take([2, 1], now=BEGINNING) == [heard, second]
    assert fresh.take([1], now=BEGINNING) is None


def test_one_that_is_not_known_makes_all_of_them_be_read(heard: SignalFacts) -> None:
    fresh = FreshSignals()
    fresh.note([heard])
    assert fresh.take([1, 9], now=BEGINNING) is None


@pytest.mark.parametrize(
    ("changed", "late"),
    [({"side": Side.SELL}, timedelta(0)), ({"part": 2}, timedelta(0)), ({}, FRESH_FOR + timedelta(seconds=1))],
)
def test_sells_later_parts_and_later_tries_are_read(
    heard: SignalFacts, changed: dict[str, Any], late: timedelta
) -> None:
    fresh = FreshSignals()
    fresh.note([replace(heard, **changed)])
    assert fresh.take([1], now=BEGINNING + late) is None


def test_the_oldest_of_too_many_are_read(heard: SignalFacts) -> None:
    fresh = FreshSignals()
    fresh.note([replace(heard, signal_id=number) for number in range(REMEMBERED_MAX + 1)])
    assert fresh.take([0], now=BEGINNING) is None
    assert fresh.take([1], now=BEGINNING) is not None
