"""The audit tells of everything that does not agree, and of nothing that is only too young."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from copytrading.tracking.differences import GRACE, Copy, Kept, Ours, differences
from execution.ports import TradeStatus, VenueTrade
from ledger.units import ONE, Micros
from tests.doors import BEGINNING

NOW = BEGINNING + timedelta(minutes=30)
HASH = "0x" + "aa" * 32

SHOWN = VenueTrade(
    venue_trade_id="t1",
    order_hash=HASH,
    status=TradeStatus.CONFIRMED,
    size_micros=Micros(60 * ONE),
    price_micros=Micros(500_000),
    cost_micros=Micros(30 * ONE),
    fee_micros=Micros(0),
    matched_at=BEGINNING,
)
KEPT = Kept(
    status=TradeStatus.CONFIRMED,
    size_micros=60 * ONE,
    price_micros=500_000,
    matched_at=BEGINNING,
    changed_at=BEGINNING,
    trade_id=7,
)
COPY = Copy(trade_id=7, executed=True, booked_micros=60 * ONE, confirmed_micros=60 * ONE)
OURS = Ours(trades={("t1", HASH): KEPT}, copies={HASH: COPY})
EMPTY = Ours(trades={}, copies={})
SENT = replace(OURS, trades={}, copies={HASH: replace(COPY, executed=False, booked_micros=0, confirmed_micros=0)})
FAILED, MINED = TradeStatus.FAILED, TradeStatus.MINED


def kept(**changed: object) -> Ours:
    return replace(OURS, trades={("t1", HASH): replace(KEPT, **changed)})  # type: ignore[arg-type]


def told(shown: list[VenueTrade], ours: Ours, *, since: datetime = BEGINNING) -> list[str]:
    return [each.subject for each in differences(shown, ours, since=since, now=NOW)]


@pytest.mark.parametrize(
    ("shown", "ours", "expected"),
    [
        ([SHOWN], OURS, []),
        ([], EMPTY, []),
        ([SHOWN], EMPTY, ["trade t1: of an order that nobody here sent"]),
        ([SHOWN], SENT, ["trade t1: not known here"]),
        ([replace(SHOWN, status=FAILED)], SENT, []),
        ([replace(SHOWN, status=FAILED)], OURS, ["trade t1: FAILED there, CONFIRMED here"]),
        ([SHOWN], kept(status=FAILED), ["trade t1: CONFIRMED there, FAILED here"]),
        ([SHOWN], kept(status=MINED), ["trade t1: CONFIRMED there, MINED here"]),
        ([SHOWN], kept(status=MINED, changed_at=NOW), []),  # it is being told at this moment
        ([replace(SHOWN, status=MINED)], kept(status=TradeStatus.MATCHED), []),
        ([SHOWN], kept(size_micros=ONE), ["trade t1: another size"]),
        ([SHOWN], kept(price_micros=510_000), ["trade t1: another price"]),
        ([], OURS, ["trade t1: not shown by the venue"]),
        ([], kept(status=FAILED), []),
    ],
)
def test_what_differs_is_named(shown: list[VenueTrade], ours: Ours, expected: list[str]) -> None:
    assert told(shown, ours) == expected


@pytest.mark.parametrize(
    "copy",
    [
        replace(COPY, booked_micros=50 * ONE),
        replace(COPY, confirmed_micros=0, booked_micros=0),
        replace(COPY, executed=False, booked_micros=ONE),
        replace(COPY, executed=False, tracked=True, booked_micros=0),
        replace(COPY, executed=False, tracked=True, booked_micros=50 * ONE),
    ],
    ids=["other size", "executed without a trade", "booked and not executed", "not booked", "not all booked"],
)
def test_what_is_booked_must_be_what_is_confirmed(copy: Copy) -> None:
    assert told([SHOWN], replace(OURS, copies={HASH: copy})) == ["booked differs from its confirmed trades"]


def test_a_copy_that_is_not_answered_yet_may_have_confirmed_trades() -> None:
    waiting = replace(COPY, executed=False, booked_micros=0)
    assert told([SHOWN], replace(OURS, copies={HASH: waiting})) == []


@pytest.mark.parametrize(("age", "expected"), [(GRACE - timedelta(seconds=1), 0), (GRACE, 1)])
def test_books_that_move_while_they_are_read_are_told_of_only_when_they_stay_so(age: timedelta, expected: int) -> None:
    moving = replace(COPY, booked_micros=50 * ONE, told_at=NOW - age)
    assert len(told([SHOWN], replace(OURS, copies={HASH: moving}))) == expected


@pytest.mark.parametrize(("age", "expected"), [(GRACE - timedelta(seconds=1), 0), (GRACE, 1)])
def test_what_is_young_is_still_on_its_way(age: timedelta, expected: int) -> None:
    assert len(told([replace(SHOWN, matched_at=NOW - age)], EMPTY)) == expected


def test_what_was_matched_before_the_window_need_not_be_shown() -> None:
    assert told([], OURS, since=BEGINNING + timedelta(seconds=1)) == []


def test_a_difference_says_how_much_and_whose_it_is() -> None:
    (found,) = differences([], OURS, since=BEGINNING, now=NOW)
    assert (found.trade_id, found.refusal.value, found.refusal.limit) == (7, 0, 60 * ONE)
