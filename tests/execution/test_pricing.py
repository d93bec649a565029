"""The limit price stays on the safe side; a market that ran away is refused."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from execution.books import Book, Level, match
from execution.fees import NO_FEE, FeeTerms
from execution.orders import PRICE_DECIMALS, check_price
from execution.pricing import auto_limit, deviation_refusal, fee_refusal, limit_price
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import BPS, ONE, Micros, Side

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


def levels(*pairs: tuple[int, int]) -> tuple[Level, ...]:
    """Levels of (cents, shares)."""
    return tuple(Level(Micros(cents * 10_000), Micros(shares * ONE)) for cents, shares in pairs)


BIDS, ASKS = levels((49, 10), (47, 10), (40, 100)), levels((50, 10), (51, 10), (60, 100))
BOOK = Book(token_id=7, bids=BIDS, asks=ASKS, version="b")
WIDE = Book(token_id=7, bids=levels((40, 1)), asks=levels((50, 10)), version="w")
ONE_SIDED = Book(token_id=7, bids=(), asks=ASKS, version="o")


@pytest.mark.parametrize(
    ("book", "side", "shares", "bound", "limit"),
    [
        (BOOK, Side.BUY, 10, 600_000, 510_000),  # reaches 0.50, and one tick more
        (BOOK, Side.BUY, 11, 600_000, 520_000),
        (BOOK, Side.BUY, 20, 600_000, 520_000),
        (BOOK, Side.BUY, 20, 510_000, 510_000),  # never beyond the bound
        (BOOK, Side.BUY, 21, 650_000, 610_000),
        (BOOK, Side.BUY, 1_000, 650_000, 650_000),  # the book does not hold so much
        (WIDE, Side.BUY, 10, 700_000, 550_000),  # half a spread of ten cents
        (ONE_SIDED, Side.BUY, 10, 600_000, 510_000),
        (BOOK, Side.BUY, 1, 990_000, 990_000),  # a share must cost a dollar, and the bound allows no more
        (BOOK, Side.SELL, 10, 300_000, 480_000),
        (BOOK, Side.SELL, 20, 300_000, 460_000),
        (BOOK, Side.SELL, 20, 470_000, 470_000),
        (BOOK, Side.SELL, 1_000, 300_000, 300_000),
        (WIDE, Side.SELL, 1, 300_000, 350_000),
    ],
)
def test_auto_goes_as_far_as_spread_and_depth_ask_for(
    book: Book, side: Side, shares: int, bound: int, limit: int
) -> None:
    against = book.side_against(side)
    size = shares * ONE
    assert auto_limit(book, against, side=side, size_micros=size, bound_micros=bound, tick_micros=10_000) == limit


def test_a_small_auto_buy_goes_so_far_as_the_venue_takes_it() -> None:
    cheap = Book(token_id=7, bids=levels((10, 50)), asks=levels((11, 50)), version="c")
    found = auto_limit(cheap, cheap.asks, side=Side.BUY, size_micros=5 * ONE, bound_micros=300_000, tick_micros=10_000)
    assert found == 200_000


sides_of_levels = st.lists(
    st.tuples(st.integers(1, 99), st.integers(1, 50)), max_size=6, unique_by=lambda pair: pair[0]
)


@given(asks=sides_of_levels, shares=st.integers(1, 200), bound=st.integers(1, 99))
def test_auto_never_passes_the_bound_and_fills_what_the_bound_would_fill(
    asks: list[tuple[int, int]], shares: int, bound: int
) -> None:
    side = levels(*sorted(asks))
    book, size, most = Book(token_id=7, bids=(), asks=side, version="b"), shares * ONE, bound * 10_000
    limit = auto_limit(book, side, side=Side.BUY, size_micros=size, bound_micros=most, tick_micros=10_000)
    assert limit <= most and limit % 10_000 == 0
    filled = [match(side, Side.BUY, size_micros=size, limit_micros=each).size_micros for each in (limit, most)]
    assert filled[0] == filled[1]


@pytest.mark.parametrize(
    ("price", "leader", "terms", "bound", "expected"),
    [
        (500_000, 500_000, FeeTerms(rate_bps=700), 350, None),
        (500_000, 500_000, FeeTerms(rate_bps=700), 349, Refusal(Reason.FEE_TOO_HIGH, 350, 349, Unit.BPS)),
        (510_000, 500_000, FeeTerms(rate_bps=500), 249, Refusal(Reason.FEE_TOO_HIGH, 250, 249, Unit.BPS)),
        (100_000, 100_000, FeeTerms(rate_bps=700), 629, Refusal(Reason.FEE_TOO_HIGH, 630, 629, Unit.BPS)),
        (500_000, 500_000, FeeTerms(rate_bps=2_500, exponent=2), 312, Refusal(Reason.FEE_TOO_HIGH, 313, 312, Unit.BPS)),
        (10_000, 10_000, NO_FEE, 0, None),
    ],
)
def test_a_fee_is_held_against_the_leaders_price(
    price: int, leader: int, terms: FeeTerms, bound: int, expected: Refusal | None
) -> None:
    assert fee_refusal(price, leader, terms=terms, fee_bps_max=bound) == expected
