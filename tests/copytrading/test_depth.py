"""What is left of a book while orders are planned on it."""

import pytest

from copytrading import depth
from copytrading.depth import DepthLeft
from execution.books import Book, Level
from ledger.units import Micros, Side


def book(version: str = "1", token_id: int = 7) -> Book:
    asks = tuple(Level(Micros(price), Micros(10)) for price in (500_000, 510_000))
    return Book(token_id=token_id, bids=asks[:1], asks=asks, version=version)


def left(found: DepthLeft, of: Book, *, mode: str = "PAPER", side: Side = Side.BUY) -> list[int]:
    return [level.size_micros for level in found.of(mode, of, side=side)]


def test_what_was_taken_is_gone_for_the_same_side_of_the_same_book_only() -> None:
    found = DepthLeft()
    found.take("PAPER", book(), side=Side.BUY, size_micros=4)
    found.take("PAPER", book(), side=Side.BUY, size_micros=7)
    assert left(found, book()) == [9]
    assert left(found, book(), side=Side.SELL) == [10]
    assert left(found, book("2")) == left(found, book(token_id=8)) == [10, 10]


def test_pretend_money_takes_nothing_from_real_orders() -> None:
    found = DepthLeft()
    found.take("PAPER", book(), side=Side.BUY, size_micros=20)
    assert left(found, book()) == []
    assert left(found, book(), mode="EXCHANGE") == [10, 10]


def test_without_a_book_there_is_nothing() -> None:
    assert DepthLeft().of("PAPER", None, side=Side.BUY) == ()


def test_books_that_were_not_used_for_longest_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depth, "BOOKS_MAX", 2)
    found = DepthLeft()
    for version in ("1", "2", "1", "3"):
        found.take("PAPER", book(version), side=Side.BUY, size_micros=5)
    assert [left(found, book(version)) for version in ("1", "2", "3")] == [[10], [10, 10], [5, 10]]
