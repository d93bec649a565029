"""When a stop is reached: profit from what the copies did, measured from where copying last began."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.stops import Measured, StopTerms, measure, profit_of, stop_reached
from guardrails.intents import Reason
from ledger.units import ONE, Micros

PRICES = {1: Micros(600_000), 2: Micros(0)}


@pytest.mark.parametrize(
    ("money", "shares", "profit"),
    [
        (0, [], 0),
        (-50, [(1, 100)], 10),
        (-53, [(1, 100)], 7),
        (-10, [], -10),
        (5, [(1, -10)], -1),  # another leader's shares, sold here and worth 6 there
        (-80, [(1, 100), (2, 100)], -20),
        (-1, [(3, 1)], None),
    ],
)
def test_profit_is_money_back_and_worth_less_money_spent(
    money: int, shares: list[tuple[int, int]], profit: int | None
) -> None:
    held = [(token, size * ONE) for token, size in shares]
    assert profit_of(money * ONE, held, PRICES) == (None if profit is None else profit * ONE)


def test_worth_is_rounded_down_for_each_token() -> None:
    assert profit_of(0, [(1, 1), (1, -1)], {1: Micros(500_000)}) == -1


TERMS = StopTerms(take_profit_micros=100, stop_loss_micros=50, max_drawdown_micros=60)


@pytest.mark.parametrize(
    ("profit", "peak", "reached"),
    [
        (0, 0, None),
        (99, 99, None),
        (100, 100, (Reason.TAKE_PROFIT, 100, 100)),
        (-49, 0, None),
        (-50, 0, (Reason.STOP_LOSS, 50, 50)),
        (21, 80, None),
        (20, 80, (Reason.MAX_DRAWDOWN, 60, 60)),
        (-50, 90, (Reason.STOP_LOSS, 50, 50)),
    ],
)
def test_a_stop_is_reached_at_its_limit(profit: int, peak: int, reached: tuple[Reason, int, int] | None) -> None:
    found = stop_reached(TERMS, Measured(profit_micros=profit, peak_micros=peak), baseline_micros=0)
    assert (found and (found.reason, found.value, found.limit)) == reached


def test_no_stop_is_never_reached() -> None:
    assert stop_reached(StopTerms(), Measured(profit_micros=-(10**12), peak_micros=10**12), baseline_micros=0) is None


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_the_peak_never_falls_and_is_never_under_the_profit(profit: int, baseline: int, peak: int) -> None:
    measured = measure(profit, baseline_micros=baseline, peak_micros=peak)
    assert measured.peak_micros >= max(profit, baseline, peak)


@given(st.integers(-(10**9), 10**9))
def test_copying_that_begins_again_is_not_stopped_by_what_was_before(profit: int) -> None:
    measured = measure(profit, baseline_micros=profit, peak_micros=profit)
    assert stop_reached(TERMS, measured, baseline_micros=profit) is None
