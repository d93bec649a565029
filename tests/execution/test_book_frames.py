"""Frames of the market channel as books and changes, and the ladder that they build."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.book_frames import Changed, LevelTotal, Unreadable, Whole, read_books
from execution.books import Book, Level
from execution.quotes.ladder import Ladder
from ledger.units import Micros, Side
from tests.doors import BEGINNING

UP, DOWN = 11, 12
AT = 1_795_262_400_000


def whole(bids: dict[str, str], asks: dict[str, str], *, at: int = AT, token: int = UP) -> dict[str, Any]:
    return {
        "event_type": "book",
        "market": "0x" + "c0" * 32,
        "asset_id": str(token),
        "timestamp": str(at),
        "hash": f"h{at}",
        "bids": [{"price": price, "size": size} for price, size in bids.items()],
        "asks": [{"price": price, "size": size} for price, size in asks.items()],
    }


def change(*levels: tuple[str, str, str], at: int = AT + 1, token: int = UP, best: tuple[str, str] = ("", "")) -> Any:
    said = [
        {
            "asset_id": str(token),
            "side": side,
            "price": price,
            "size": size,
            "hash": "h",
            "best_bid": best[0],
            "best_ask": best[1],
        }
        for side, price, size in levels
    ]
    return {"event_type": "price_change", "market": "0x", "timestamp": str(at), "price_changes": said}


def frame(value: Any) -> bytes:
    return json.dumps(value).encode()


def test_a_whole_book_has_its_best_levels_first() -> None:
    (part,) = read_books(frame(whole({"0.01": "5", "0.49": "7.5"}, {"0.99": "1", "0.51": "2"})))
    assert isinstance(part, Whole)
    assert (part.book.bids[0], part.stamp_ms) == (Level(Micros(490_000), Micros(7_500_000)), AT)
    assert part.book.asks[0].price_micros == 510_000


def test_changes_are_told_for_each_token_with_the_best_prices_afterwards() -> None:
    both = change(("BUY", "0.5", "0"), ("SELL", "0.52", "3"), best=("0.49", "1"))
    both["price_changes"] += change(("BUY", "0.48", "1"), token=DOWN)["price_changes"]
    up, down = read_books(frame([both, {"event_type": "last_trade_price"}]))
    assert up == Changed(
        token_id=UP,
        stamp_ms=AT + 1,
        levels=(
            LevelTotal(Side.BUY, Micros(500_000), Micros(0)),
            LevelTotal(Side.SELL, Micros(520_000), Micros(3_000_000)),
        ),
        best_bid_micros=Micros(490_000),
        best_ask_micros=None,
    )
    assert isinstance(down, Changed) and (down.token_id, down.best_bid_micros) == (DOWN, None)


@pytest.mark.parametrize(
    "value", ["PONG", {"event_type": "tick_size_change"}, {"event_type": "last_trade_price"}, [], 5]
)
def test_what_tells_of_no_book_is_passed_over(value: Any) -> None:
    assert read_books(frame(value)) == ()


@pytest.mark.parametrize(
    ("value", "token"),
    [
        (whole({"0.5": "x"}, {}), UP),
        (whole({"0.5": "1"}, {"0.4": "1"}), UP),
        (whole({"0.5": "1"}, {}) | {"timestamp": 5}, UP),
        (change(("BUY", "1.5", "1")), UP),
        (change(("BUY", "0.5", "-1")), UP),
        (change(("HOLD", "0.5", "1")), UP),
        (change(("BUY", "0.5", "1")) | {"timestamp": "soon"}, UP),
        (change(("BUY", "0.5", "1")) | {"price_changes": {}}, None),
        (change(("BUY", "0.5", "1"), token=-1), None),
    ],
)
def test_what_cannot_be_trusted_names_its_token_where_it_does(value: Any, token: int | None) -> None:
    (part,) = read_books(frame(value))
    assert isinstance(part, Unreadable) and part.token_id == token


def ladder(bids: dict[str, str], asks: dict[str, str], *, at: int = AT) -> Ladder:
    (part,) = read_books(frame(whole(bids, asks, at=at)))
    assert isinstance(part, Whole)
    return Ladder(part, version="1", heard_ms=0, as_of=BEGINNING)


def told(book: Ladder, value: Any) -> bool:
    (part,) = read_books(frame(value))
    if isinstance(part, Whole):
        book.put(part, version="w", heard_ms=2, as_of=BEGINNING)
        return True
    assert isinstance(part, Changed)
    return book.apply(part, version="2", heard_ms=1, as_of=BEGINNING)


def shown(book: Book | None) -> Any:
    assert book is not None
    return [
        [(level.price_micros // 10_000, level.size_micros // 1_000_000) for level in side]
        for side in (book.bids, book.asks)
    ]


def test_a_size_is_the_levels_new_total_and_none_ends_it() -> None:
    found = ladder({"0.49": "5"}, {"0.51": "5", "0.52": "9"})
    assert told(found, change(("SELL", "0.51", "0"), ("BUY", "0.50", "1"), ("BUY", "0.49", "7"), best=("0.5", "0.52")))
    book = found.book()
    assert shown(book) == [[(50, 1), (49, 7)], [(52, 9)]]
    assert book is not None and book.version == "2"


def test_a_best_price_that_does_not_fit_says_that_something_was_missed() -> None:
    found = ladder({"0.49": "5"}, {"0.51": "5"})
    assert not told(found, change(("BUY", "0.40", "1"), best=("0.48", "0.51")))


def test_a_change_from_before_the_book_changes_nothing() -> None:
    found = ladder({"0.49": "5"}, {"0.51": "5"}, at=AT + 50)
    assert told(found, change(("SELL", "0.51", "0"), at=AT + 49, best=("0.49", "0.60")))
    assert shown(found.book()) == [[(49, 5)], [(51, 5)]]


def test_of_two_changes_that_swapped_places_the_later_one_counts() -> None:
    found = ladder({"0.49": "5"}, {"0.51": "5"})
    told(found, change(("SELL", "0.51", "2"), at=AT + 20))
    told(found, change(("SELL", "0.51", "4"), ("SELL", "0.53", "1"), at=AT + 10))
    assert shown(found.book()) == [[(49, 5)], [(51, 2), (53, 1)]]


def test_sides_that_cross_are_no_book() -> None:
    found = ladder({"0.49": "5"}, {"0.51": "5"})
    told(found, change(("BUY", "0.51", "2")))
    assert found.book() is None


def test_a_fetched_book_may_be_early_or_late_but_not_another() -> None:
    found = ladder({"0.49": "5"}, {"0.51": "5"})
    watch = found.watch()
    told(found, change(("SELL", "0.51", "3"), at=AT + 1))
    told(found, whole({"0.49": "5", "0.48": "2"}, {"0.52": "4"}, at=AT + 2))
    found.unwatch(watch)
    told(found, change(("SELL", "0.52", "1"), at=AT + 3))
    early, between, late, other, shallow = (
        ladder({"0.49": "5"}, {"0.51": "5"}),
        ladder({"0.49": "5"}, {"0.51": "3"}),
        ladder({"0.49": "5", "0.48": "2"}, {"0.52": "4"}),
        ladder({"0.49": "5"}, {"0.51": "2"}),
        ladder({}, {"0.51": "5"}),
    )
    books = [each.book() for each in (early, between, late, other, shallow)]
    assert [watch.differing(book) for book in books if book is not None] == [0, 0, 0, 1, 1]


totals = st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 99), st.integers(0, 9)), max_size=20)


@given(totals)
def test_in_whatever_order_changes_come_the_newest_of_each_level_counts(changes: list[tuple[str, int, int]]) -> None:
    told_in_order, reversed_order = ladder({}, {}), ladder({}, {})
    frames = [
        change((side, f"0.{cents:02d}", str(size)), at=AT + number)
        for number, (side, cents, size) in enumerate(changes, start=1)
    ]
    for each in frames:
        told(told_in_order, each)
    for each in reversed(frames):
        told(reversed_order, each)
    one, other = told_in_order.book(), reversed_order.book()
    assert (one is None) == (other is None)
    assert one is None or shown(one) == shown(other)
