"""What the venue would refuse anyway."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.preflight import MarketTerms, market_refusal, minimum_size, size_refusal
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import ONE, SHARE_STEP, Side, cost_down


@pytest.mark.parametrize(
    ("side", "limit", "min_size", "smallest"),
    [
        (Side.BUY, 510_000, 5 * ONE, 5 * ONE),
        (Side.BUY, 100_000, 5 * ONE, 10 * ONE),
        (Side.BUY, 30_000, 5 * ONE, 33_340_000),  # 33.33 shares at 0.03 are 0.9999 pUSD
        (Side.BUY, 510_000, 0, 1_970_000),
        (Side.BUY, 30_003, 0, 33_340_000),  # 33.33 shares cost a part of a micro less than 1 pUSD
        (Side.SELL, 30_000, 5 * ONE, 5 * ONE),
        (Side.SELL, 30_000, 5_001, SHARE_STEP),
    ],
)
def test_minimum_size(side: Side, limit: int, min_size: int, smallest: int) -> None:
    assert minimum_size(side, limit, min_size_micros=min_size) == smallest


@given(limit=st.integers(100, ONE - 100), min_size=st.integers(0, 100 * ONE))
def test_the_minimum_is_enough_and_one_step_less_is_not(limit: int, min_size: int) -> None:
    smallest = minimum_size(Side.BUY, limit, min_size_micros=min_size)

    assert smallest % SHARE_STEP == 0
    assert smallest >= min_size
    assert cost_down(smallest, limit) >= ONE
    less = smallest - SHARE_STEP
    assert less < min_size or less * limit < ONE * ONE


def test_a_size_below_the_minimum_is_refused_with_both_sizes() -> None:  # example 11
    refusal = size_refusal(Side.BUY, 3 * ONE, limit_micros=510_000, min_size_micros=5 * ONE)

    assert refusal == Refusal(Reason.BELOW_MINIMUM, 3 * ONE, 5 * ONE, Unit.SHARES)
    assert str(refusal) == "BELOW_MINIMUM (value 3, limit 5)"


def test_a_size_at_the_minimum_is_not_refused() -> None:
    assert size_refusal(Side.BUY, 5 * ONE, limit_micros=510_000, min_size_micros=5 * ONE) is None


@pytest.mark.parametrize(
    ("closed", "accepting_orders", "refused"), [(False, True, False), (True, True, True), (False, False, True)]
)
def test_a_market_that_is_over_or_takes_no_orders_is_refused(
    closed: bool, accepting_orders: bool, refused: bool
) -> None:
    expected = Refusal(Reason.MARKET_CLOSED) if refused else None

    assert market_refusal(closed=closed, accepting_orders=accepting_orders) == expected


def test_usual_terms_are_those_of_the_venue() -> None:
    terms = MarketTerms()

    assert (terms.tick_micros, terms.min_size_micros, terms.accepting_orders) == (10_000, 5 * ONE, True)
    assert terms.fee.rate_bps == 0
