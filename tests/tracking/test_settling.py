"""What an order became, from its trades: nothing is booked that is not confirmed, and nothing confirmed is left out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.tracking.settling import OPEN, NothingFilled, Part, Settled, Settlement, confirmed, may_follow, settle
from execution.ports import TradeStatus
from guardrails.intents import Reason
from ledger.units import ONE

MATCHED, MINED, RETRYING = TradeStatus.MATCHED, TradeStatus.MINED, TradeStatus.RETRYING
CONFIRMED, FAILED = TradeStatus.CONFIRMED, TradeStatus.FAILED
LOST, KILLED = NothingFilled(Reason.SETTLEMENT_FAILED), NothingFilled(Reason.NO_FILL)


def part(status: TradeStatus, shares: int = 60, *, price: int = 500_000, fee: int = 0) -> Part:
    size = shares * ONE
    return Part(status=status, size_micros=size, cost_micros=size * price // ONE, fee_micros=fee, tx_hash="0xaa")


def shares(settlement: Settlement) -> Settlement | int:
    return settlement.fill.size_micros // ONE if isinstance(settlement, Settled) else settlement


@pytest.mark.parametrize(
    ("parts", "matched", "ended", "expected"),
    [
        ([], 0, False, OPEN),
        ([], 100, False, OPEN),
        ([], 100, True, OPEN),  # the venue says matched and shows no trade: it has not written it yet
        ([], 0, True, KILLED),
        ([part(MATCHED)], 60, True, OPEN),
        ([part(MINED)], 60, True, OPEN),
        ([part(RETRYING)], 60, True, OPEN),
        ([part(CONFIRMED)], 60, False, 60),
        ([part(CONFIRMED)], 100, True, OPEN),  # 40 more are to come
        ([part(CONFIRMED)], 0, False, OPEN),  # nobody has said that this is all
        ([part(CONFIRMED)], 0, True, 60),
        ([part(FAILED)], 60, False, LOST),
        ([part(FAILED)], 0, True, LOST),
        ([part(CONFIRMED), part(FAILED, 40)], 100, False, 60),
        ([part(CONFIRMED), part(MINED, 40)], 100, False, OPEN),
        ([part(FAILED), part(FAILED, 40)], 100, False, LOST),
        ([part(CONFIRMED), part(CONFIRMED, 40)], 60, False, 100),  # trades decide, not the answer
    ],
)
def test_an_order_is_settled_when_all_that_was_matched_is_final(
    parts: list[Part], matched: int, ended: bool, expected: object
) -> None:
    assert shares(settle(parts, matched_micros=matched * ONE, ended=ended)) == expected


def test_confirmed_parts_are_one_fill_with_the_exact_cost_and_the_average_price() -> None:
    fill = confirmed([part(CONFIRMED, 60, fee=7), part(CONFIRMED, 40, price=600_000, fee=5), part(FAILED, 9)])
    assert fill is not None
    assert (fill.size_micros, fill.cost_micros, fill.fee_micros) == (100 * ONE, 54 * ONE, 12)
    assert (fill.price_micros, fill.tx_hash) == (540_000, "0xaa")


def test_less_than_a_hundredth_of_a_share_does_not_keep_an_order_open() -> None:
    parts = [part(CONFIRMED)]
    assert isinstance(settle(parts, matched_micros=60 * ONE + 9_999, ended=False), Settled)
    assert settle(parts, matched_micros=60 * ONE + 10_000, ended=False) == OPEN


@pytest.mark.parametrize(
    ("parts", "matched", "ended", "expected"),
    [
        ([part(CONFIRMED), part(MATCHED, 40)], 100, True, 60),
        ([part(CONFIRMED), part(RETRYING, 40)], 100, False, 60),
        ([part(CONFIRMED), part(MINED, 40)], 0, True, 60),
        ([part(CONFIRMED), part(MINED, 40)], 0, False, OPEN),  # more of it may still rest
        ([part(CONFIRMED), part(MATCHED, 30)], 100, True, OPEN),  # ten more were matched, and are believed
        ([part(MATCHED, 100)], 100, True, OPEN),  # time alone fails nothing
        ([part(FAILED), part(MATCHED, 40)], 100, True, OPEN),
        ([], 100, True, OPEN),
    ],
)
def test_after_its_bound_what_is_confirmed_does_not_wait_for_the_rest(
    parts: list[Part], matched: int, ended: bool, expected: object
) -> None:
    assert shares(settle(parts, matched_micros=matched * ONE, ended=ended, overdue=True)) == expected


def test_what_is_left_open_and_what_failed_are_told_apart() -> None:
    parts = [part(CONFIRMED), part(FAILED, 10), part(MATCHED, 30)]
    settled = settle(parts, matched_micros=100 * ONE, ended=True, overdue=True)
    assert isinstance(settled, Settled)
    assert (settled.failed_micros, settled.unsettled_micros) == (10 * ONE, 30 * ONE)


def test_what_failed_of_a_settled_order_is_told() -> None:
    settled = settle([part(CONFIRMED), part(FAILED, 40)], matched_micros=100 * ONE, ended=True)
    assert isinstance(settled, Settled) and settled.failed_micros == 40 * ONE


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        (MATCHED, MINED, True),
        (MATCHED, MATCHED, False),
        (MATCHED, RETRYING, True),
        (MINED, RETRYING, True),
        (RETRYING, MINED, True),
        (MINED, MATCHED, False),
        (MINED, CONFIRMED, True),
        (MATCHED, FAILED, True),
        (CONFIRMED, FAILED, True),  # a reorg
        (FAILED, CONFIRMED, False),
        (CONFIRMED, MINED, False),
        (FAILED, MATCHED, False),
    ],
)
def test_a_trades_status_only_moves_on(before: TradeStatus, after: TradeStatus, allowed: bool) -> None:
    assert may_follow(before, after) is allowed


PARTS = st.builds(
    Part,
    status=st.sampled_from(TradeStatus),
    size_micros=st.integers(1, 10**12),
    cost_micros=st.integers(0, 10**12),
    fee_micros=st.integers(0, 10**9),
)


@given(parts=st.lists(PARTS, max_size=6), matched=st.integers(0, 10**13), ended=st.booleans(), overdue=st.booleans())
def test_money_moves_by_exactly_what_is_confirmed_or_not_at_all(
    parts: list[Part], matched: int, ended: bool, overdue: bool
) -> None:
    outcome = settle(parts, matched_micros=matched, ended=ended, overdue=overdue)
    real = [each for each in parts if each.status is CONFIRMED]
    if isinstance(outcome, Settled):
        assert outcome.fill.size_micros == sum(each.size_micros for each in real)
        assert outcome.fill.cost_micros == sum(each.cost_micros for each in real)
        assert outcome.fill.fee_micros == sum(each.fee_micros for each in real)
        assert 0 < outcome.fill.price_micros < ONE
    if any(not each.status.is_final for each in parts):
        assert outcome == OPEN or (overdue and isinstance(outcome, Settled))
    if isinstance(outcome, NothingFilled):
        assert all(each.status is FAILED for each in parts)


@given(steps=st.lists(st.sampled_from(TradeStatus), max_size=12))
def test_a_trade_never_comes_back_from_failed(steps: list[TradeStatus]) -> None:
    status, failed = MATCHED, False
    for step in steps:
        if may_follow(status, step):
            status = step
        failed = failed or status is FAILED
        assert not failed or status is FAILED
