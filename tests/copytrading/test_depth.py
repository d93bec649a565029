"""What is left of a book while orders are planned on it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading import depth
from copytrading.depth import DepthLeft
from execution.books import Book, Level
from ledger.units import Micros, Side

REAL = "EXCHANGE"


def book(version: str = "1", token_id: int = 7, *, sizes: tuple[int, int] = (10, 10)) -> Book:
    prices = (500_000, 510_000)
    asks = tuple(Level(Micros(price), Micros(size)) for price, size in zip(prices, sizes, strict=True) if size)
    return Book(token_id=token_id, bids=asks[:1], asks=asks, version=version)


def left(found: DepthLeft, of: Book, *, mode: str = "PAPER", side: Side = Side.BUY, now_ms: float = 0) -> list[int]:
    return [level.size_micros for level in found.of(mode, of, side=side, now_ms=now_ms)]


def take(found: DepthLeft, of: Book, size: int, *, mode: str = "PAPER", now_ms: float = 0) -> None:
    found.take(mode, of, side=Side.BUY, size_micros=size, now_ms=now_ms)


def test_what_was_taken_is_gone_for_the_same_side_of_the_same_book_only() -> None:
    found = DepthLeft()
    take(found, book(), 4)
    take(found, book(), 7)
    assert left(found, book()) == [9]
    assert left(found, book(), side=Side.SELL) == [10]
    assert left(found, book("2")) == left(found, book(token_id=8)) == [10, 10]


def test_pretend_money_takes_nothing_from_real_orders() -> None:
    found = DepthLeft()
    take(found, book(), 20)
    assert left(found, book()) == []
    assert left(found, book(), mode=REAL) == [10, 10]


def test_without_a_book_there_is_nothing() -> None:
    assert DepthLeft().of("PAPER", None, side=Side.BUY, now_ms=0) == ()


def test_books_that_were_not_used_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "BOOKS_MAX", 2)
    found = DepthLeft()
    for version in ("1", "2", "1", "3"):
        take(found, book(version), 5)
    assert [left(found, book(version)) for version in ("1", "2", "3")] == [[10], [10, 10], [5, 10]]


def test_books_of_which_nothing_was_taken_for_long_are_forgotten() -> None:
    found = DepthLeft()
    take(found, book("1"), 5)
    take(found, book("2"), 5, now_ms=depth.KEPT_MS)
    assert left(found, book("1")) == [5, 10]
    take(found, book("2"), 1, now_ms=depth.KEPT_MS + 1)
    assert (left(found, book("1")), left(found, book("2"))) == ([10, 10], [4, 10])


def test_a_change_elsewhere_in_the_book_gives_real_orders_nothing_back() -> None:
    found = DepthLeft()
    take(found, book(), 14, mode=REAL)
    assert left(found, book("2"), mode=REAL) == [6]
    assert left(found, book("3", sizes=(10, 30)), mode=REAL) == [26]
    take(found, book("3", sizes=(10, 30)), 6, mode=REAL)
    assert left(found, book("4", sizes=(10, 30)), mode=REAL) == [20]


def test_what_a_level_lost_is_what_was_taken_of_it() -> None:
    found = DepthLeft()
    take(found, book(), 8, mode=REAL)
    assert left(found, book("2", sizes=(7, 10)), mode=REAL) == [2, 10]
    assert left(found, book("3", sizes=(2, 10)), mode=REAL) == [2, 10]
    assert left(found, book("4", sizes=(9, 10)), mode=REAL) == [9, 10]


def test_a_level_that_went_and_came_again_is_new() -> None:
    found = DepthLeft()
    take(found, book(), 10, mode=REAL)
    assert left(found, book("2", sizes=(0, 10)), mode=REAL) == [10]
    assert left(found, book("3"), mode=REAL) == [10, 10]


def test_an_order_that_never_arrived_gives_its_part_back() -> None:
    found = DepthLeft()
    take(found, book(), 10, mode=REAL, now_ms=1_000)
    assert left(found, book("2"), mode=REAL, now_ms=1_000 + depth.CARRIED_MS) == [10]
    assert left(found, book("3"), mode=REAL, now_ms=1_001 + depth.CARRIED_MS) == [10, 10]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30), st.integers(0, 30)), max_size=8))
def test_never_more_is_left_than_the_book_shows(steps: list[tuple[int, int, int]]) -> None:
    found = DepthLeft()
    for number, (size, *sizes) in enumerate(steps):
        shown = book(str(number), sizes=(sizes[0], sizes[1]))
        assert sum(left(found, shown, mode=REAL)) <= sum(sizes)
        take(found, shown, size, mode=REAL)
        assert sum(left(found, shown, mode=REAL)) <= max(0, sum(sizes) - size)
