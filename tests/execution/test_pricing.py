"""The limit price stays on the safe side; a market that ran away is refused."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from execution.orders import PRICE_DECIMALS, check_price
from execution.pricing import deviation_refusal, limit_price
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import BPS, ONE, Side

ticks = st.sampled_from(sorted(PRICE_DECIMALS))
prices = st.integers(1, ONE - 1)
slippages = st.integers(0, 3_000)


@pytest.mark.parametrize(
    ("price", "side", "slippage_bps", "tick", "limit"),
    [
        (500_000, Side.BUY, 200, 10_000, 510_000),  # example 1
        (500_000, Side.SELL, 200, 10_000, 490_000),
        (439_999, Side.BUY, 200, 10_000, 440_000),
        (439_999, Side.SELL, 200, 10_000, 440_000),
        (100_000, Side.BUY, 200, 10_000, 100_000),
        (100_000, Side.SELL, 200, 10_000, 100_000),
        (100_000, Side.BUY, 200, 1_000, 102_000),
        (990_000, Side.BUY, 200, 10_000, 990_000),  # lowered to 1 - tick
        (995_000, Side.BUY, 0, 10_000, 990_000),
        (5_000, Side.BUY, 200, 10_000, None),  # below one tick
        (10_000, Side.SELL, 9_000, 10_000, 10_000),  # raised to one tick
        (500_000, Side.SELL, 20_000, 10_000, 10_000),
        (995_000, Side.SELL, 0, 10_000, None),  # above 1 - tick
        (0, Side.BUY, 200, 10_000, None),
    ],
)
def test_limit_price(price: int, side: Side, slippage_bps: int, tick: int, limit: int | None) -> None:
    assert limit_price(price, side, slippage_bps=slippage_bps, tick_micros=tick) == limit


@given(price=prices, slippage_bps=slippages, tick=ticks)
def test_limit_is_takeable_and_never_beyond_the_slippage(price: int, slippage_bps: int, tick: int) -> None:
    highest = limit_price(price, Side.BUY, slippage_bps=slippage_bps, tick_micros=tick)
    lowest = limit_price(price, Side.SELL, slippage_bps=slippage_bps, tick_micros=tick)

    if highest is not None:
        check_price(highest, tick)
        assert highest * BPS <= price * (BPS + slippage_bps)
    if lowest is not None:
        check_price(lowest, tick)
        assert lowest * BPS >= price * (BPS - slippage_bps)


@given(price=prices, best_steps=st.integers(1, 9_999), slippage_bps=slippages, tick=ticks, side=st.sampled_from(Side))
def test_a_best_price_on_the_tick_is_refused_exactly_when_the_limit_would_not_reach_it(
    price: int, best_steps: int, slippage_bps: int, tick: int, side: Side
) -> None:
    best = best_steps % (ONE // tick) * tick
    assume(best > 0)

    limit = limit_price(price, side, slippage_bps=slippage_bps, tick_micros=tick)
    refusal = deviation_refusal(best, price, side=side, slippage_bps=slippage_bps)

    reached = limit is not None and (best <= limit if side is Side.BUY else best >= limit)
    assert (refusal is None) == reached


@pytest.mark.parametrize(
    ("best", "leader", "side", "expected"),
    [
        (530_000, 500_000, Side.BUY, Refusal(Reason.PRICE_DEVIATION, 600, 200, Unit.BPS)),  # example 17
        (470_000, 500_000, Side.SELL, Refusal(Reason.PRICE_DEVIATION, 600, 200, Unit.BPS)),
        (510_000, 500_000, Side.BUY, None),
        (510_001, 500_000, Side.BUY, Refusal(Reason.PRICE_DEVIATION, 201, 200, Unit.BPS)),
        (300_000, 500_000, Side.BUY, None),
        (900_000, 500_000, Side.SELL, None),
        (None, 500_000, Side.BUY, Refusal(Reason.NO_LIQUIDITY)),
        (510_000, 0, Side.BUY, Refusal(Reason.PRICE_OUT_OF_RANGE, 0, 0, Unit.PRICE)),
        (510_000, 1_000_000, Side.SELL, Refusal(Reason.PRICE_OUT_OF_RANGE, 1_000_000, 1_000_000, Unit.PRICE)),
    ],
)
def test_deviation(best: int | None, leader: int, side: Side, expected: Refusal | None) -> None:
    assert deviation_refusal(best, leader, side=side, slippage_bps=200) == expected
