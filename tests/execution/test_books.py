"""Books: how an order meets one, how one is read exactly, how one is made up."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.books import (
    LEVELS_MAX,
    Book,
    BookError,
    BookShape,
    Level,
    Match,
    book_around,
    book_from_rest,
    consume,
    match,
    snapshot_from_line,
)
from execution.orders import PRICE_DECIMALS
from ledger.units import ONE, Micros, Side

NOTHING = Match(size_micros=Micros(0), cost_micros=Micros(0), price_micros=Micros(0))
REST: dict[str, Any] = {
    "asset_id": "7132",
    "timestamp": "1791220000123",
    "hash": "abc",
    "bids": [{"price": "0.01", "size": "100"}, {"price": "0.51", "size": "40"}],
    "asks": [{"price": "0.99", "size": "9"}, {"price": "0.53", "size": "25.5"}],
}
LINE: dict[str, Any] = {
    "market_id": "0xfb",
    "ts": 1_790_585_112_649,
    "side": "DOWN",
    "bid_px": [0.5, 0.49],
    "bid_sz": [205.0, 75.0],
    "ask_px": [0.51],
    "ask_sz": [514.99],
}


def levels(*pairs: tuple[int, int]) -> tuple[Level, ...]:
    return tuple(Level(Micros(price), Micros(size)) for price, size in pairs)


def found(size: int, cost: int, price: int) -> Match:
    return Match(size_micros=Micros(size), cost_micros=Micros(cost), price_micros=Micros(price))


ASKS = levels((510_000, 60 * ONE), (520_000, 100 * ONE), (600_000, 100 * ONE))
BIDS = levels((500_000, 60 * ONE), (490_000, 100 * ONE))


@pytest.mark.parametrize(
    ("side", "book", "size", "limit", "expected"),
    [
        (Side.BUY, ASKS, 50 * ONE, 510_000, found(50 * ONE, 25_500_000, 510_000)),
        (Side.BUY, ASKS, 100 * ONE, 510_000, found(60 * ONE, 30_600_000, 510_000)),
        (Side.BUY, ASKS, 100 * ONE, 520_000, found(100 * ONE, 51_400_000, 514_000)),
        (Side.BUY, ASKS, 100 * ONE, 500_000, NOTHING),
        (Side.BUY, (), 100 * ONE, 510_000, NOTHING),
        (Side.SELL, BIDS, 100 * ONE, 490_000, found(100 * ONE, 49_600_000, 496_000)),
        (Side.SELL, BIDS, 100 * ONE, 500_000, found(60 * ONE, 30 * ONE, 500_000)),
        (Side.SELL, BIDS, 100 * ONE, 510_000, NOTHING),
        # One micro of a share at 0.51: the buyer pays the micro, the seller gets none.
        (Side.BUY, levels((510_000, 1)), ONE, 510_000, found(1, 1, 510_000)),
        (Side.SELL, levels((510_000, 1)), ONE, 510_000, found(1, 0, 510_000)),
    ],
)
def test_match(side: Side, book: tuple[Level, ...], size: int, limit: int, expected: Match) -> None:
    assert match(book, side, size_micros=size, limit_micros=limit) == expected


any_levels = st.lists(
    st.builds(Level, st.integers(1, ONE - 1).map(Micros), st.integers(1, 10**10).map(Micros)),
    max_size=8,
    unique_by=lambda level: level.price_micros,
)


@given(any_levels, st.integers(1, 10**6), st.integers(1, ONE - 1), st.sampled_from(Side))
def test_a_match_never_passes_size_or_limit_and_rounding_never_helps_the_follower(
    offered: list[Level], cents: int, limit: int, side: Side
) -> None:
    best_first = sorted(offered, key=lambda level: level.price_micros, reverse=side is Side.SELL)
    size = cents * 10_000

    taken = match(best_first, side, size_micros=size, limit_micros=limit)

    assert 0 <= taken.size_micros <= size
    if not taken.size_micros:
        assert taken == NOTHING
    elif side is Side.BUY:
        assert taken.price_micros <= limit
        assert taken.cost_micros <= -(-taken.size_micros * limit // ONE)
        assert taken.cost_micros * ONE <= taken.size_micros * taken.price_micros + ONE
    else:
        assert taken.price_micros >= limit
        assert taken.cost_micros >= taken.size_micros * limit // ONE


@given(any_levels, st.integers(1, 10**6), st.integers(1, 10**6))
def test_two_orders_in_turn_take_what_one_order_of_both_would(offered: list[Level], first: int, second: int) -> None:
    asks = sorted(offered, key=lambda level: level.price_micros)
    both = match(asks, Side.BUY, size_micros=first + second, limit_micros=ONE)

    left = consume(asks, match(asks, Side.BUY, size_micros=first, limit_micros=ONE).size_micros)
    taken_second = match(left, Side.BUY, size_micros=second, limit_micros=ONE)

    total = sum(level.size_micros for level in asks)
    assert all(level.size_micros > 0 for level in left)
    assert sum(level.size_micros for level in left) == max(total - first, 0)
    assert min(first, total) + taken_second.size_micros == both.size_micros


def test_side_against_and_best_price() -> None:
    book = Book(token_id=1, bids=BIDS, asks=(), version="1")

    assert book.side_against(Side.SELL) == BIDS
    assert book.best_against(Side.SELL) == 500_000
    assert book.best_against(Side.BUY) is None


def test_rest_book_is_read_exactly_and_turned_best_first() -> None:
    assert book_from_rest(json.dumps(REST)) == Book(
        token_id=7132,
        bids=levels((510_000, 40 * ONE), (10_000, 100 * ONE)),
        asks=levels((530_000, 25_500_000), (990_000, 9 * ONE)),
        version="1791220000123-abc",
    )


def test_the_recorded_rest_book_is_read(shared_data: Path) -> None:
    book = book_from_rest((shared_data / "books" / "clob_book.json").read_text())

    assert (book.best_against(Side.SELL), book.best_against(Side.BUY)) == (20_000, 22_000)
    assert book.asks[-1] == Level(Micros(999_000), Micros(10_236_316_330_000))


def test_numbers_keep_their_text_and_never_pass_through_floating_point() -> None:
    text = json.dumps(REST).replace('"25.5"', "10.475000000000001")

    assert book_from_rest(text).asks[0].size_micros == 10_475_000


def test_snapshot_line_is_read() -> None:
    snapshot = snapshot_from_line(json.dumps(LINE))

    assert (snapshot.market_id, snapshot.outcome, snapshot.at_ms) == ("0xfb", "DOWN", 1_790_585_112_649)
    assert snapshot.bids == levels((500_000, 205 * ONE), (490_000, 75 * ONE))
    assert snapshot.asks == levels((510_000, 514_990_000))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"asks": [{"price": "1", "size": "9"}]}, r"has price 1, outside \(0, 1\)"),
        ({"asks": [{"price": "0", "size": "9"}]}, r"has price 0, outside \(0, 1\)"),
        ({"asks": [{"price": "0.5"}]}, "lacks its price or its size"),
        ({"asks": ["0.5"]}, "lacks its price or its size"),
        ({"asks": [{"price": True, "size": "9"}]}, "lacks its price or its size"),
        ({"asks": [{"price": "0.6", "size": "0"}]}, "has size 0, which is not positive"),
        ({"asks": [{"price": "0.6", "size": "-4"}]}, "has size -4, which is not positive"),
        ({"asks": [{"price": "0.6", "size": "1e30"}]}, "unreadable: .* is absurdly large"),
        ({"asks": [{"price": "NaN", "size": "9"}]}, "unreadable: NaN is not a finite number"),
        ({"asks": [{"price": "half", "size": "9"}]}, "unreadable: 'half' is not a number"),
        ({"asks": [{"price": float("nan"), "size": "9"}]}, "unreadable: NaN is not a finite number"),
        ({"asks": [{"price": "0.6", "size": "9"}] * 2}, "names a price twice"),
        ({"asks": [{"price": "0.51", "size": "9"}]}, "best bid is not below its best ask"),
        ({"asks": None}, f"asks is no list of at most {LEVELS_MAX} levels"),
        ({"asks": [0] * (LEVELS_MAX + 1)}, f"asks is no list of at most {LEVELS_MAX} levels"),
        ({"asset_id": "0x12"}, "asset_id is no whole number"),
        ({"asset_id": str(1 << 256)}, "asset_id is no uint256"),
        ({"hash": None}, "hash is missing or no text"),
    ],
)
def test_a_bad_rest_book_is_refused_with_a_sentence(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BookError, match=sentence):
        book_from_rest(json.dumps(REST | changes))


# The last two would overrun the C stack, or Python's own limit, if they were parsed.
@pytest.mark.parametrize("text", ["", "[]", "{", '"book"', "null", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_no_json_object_is_no_book(text: str) -> None:
    with pytest.raises(BookError, match="is no JSON"):
        book_from_rest(text)


def test_a_snapshot_whose_prices_and_sizes_differ_in_number_is_refused() -> None:
    with pytest.raises(BookError, match="The book has 2 bid prices and 1 sizes"):
        snapshot_from_line(json.dumps(LINE | {"bid_sz": [205.0]}))


def shape(spread_bps: int = 100, count: int = 3) -> BookShape:
    return BookShape(spread_bps=spread_bps, depth_micros=Micros(1_000 * ONE), levels=count)


def prices(side: tuple[Level, ...]) -> list[int]:
    return [level.price_micros for level in side]


@pytest.mark.parametrize(
    ("price", "tick", "spread_bps", "bids", "asks"),
    [
        (500_000, 10_000, 100, [490_000, 480_000, 470_000], [510_000, 520_000, 530_000]),
        (500_000, 10_000, 0, [500_000, 490_000, 480_000], [500_000, 510_000, 520_000]),
        (500_000, 1_000, 100, [497_000, 496_000, 495_000], [503_000, 504_000, 505_000]),
        (439_999, 10_000, 0, [430_000, 420_000, 410_000], [440_000, 450_000, 460_000]),
        (980_000, 10_000, 0, [980_000, 970_000, 960_000], [980_000, 990_000]),
        (990_000, 10_000, 100, [980_000, 970_000, 960_000], [990_000]),
        (10_000, 10_000, 100, [10_000], [20_000, 30_000, 40_000]),
        (995_000, 10_000, 0, [990_000, 980_000, 970_000], []),
        (5_000, 10_000, 0, [], [10_000, 20_000, 30_000]),
    ],
)
def test_book_around_a_price(price: int, tick: int, spread_bps: int, bids: list[int], asks: list[int]) -> None:
    book = book_around(7, price, tick_micros=tick, shape=shape(spread_bps), version="v")

    assert (prices(book.bids), prices(book.asks)) == (bids, asks)
    assert {level.size_micros for level in (*book.bids, *book.asks)} == {1_000 * ONE}
    assert (book.token_id, book.version) == (7, "v")


@given(st.integers(1, ONE - 1), st.sampled_from(sorted(PRICE_DECIMALS)), st.integers(0, 2_000), st.integers(0, 5))
def test_a_made_up_book_is_on_the_tick_in_range_and_never_better_than_the_leader(
    price: int, tick: int, spread_bps: int, count: int
) -> None:
    book = book_around(7, price, tick_micros=tick, shape=shape(spread_bps, count), version="v")

    for ask in prices(book.asks):
        assert price <= ask <= ONE - tick
    for bid in prices(book.bids):
        assert tick <= bid <= price
    assert all(level % tick == 0 for level in prices(book.bids) + prices(book.asks))
    assert max(len(book.asks), len(book.bids)) <= count
