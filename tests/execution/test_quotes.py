"""Sources of books that are made or recorded."""

import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from execution.books import Book, BookError, BookShape, Level, snapshot_from_line
from execution.ports import Quote
from execution.quotes import AroundLeader, FixedBooks, KnownQuotes, RecordedBooks, made, read_snapshots, recorded
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING, VirtualClock

HALF = Micros(500_000)
UP = 71


def book(version: str = "1", token_id: int = UP) -> Book:
    ask = Level(Micros(510_000), Micros(100 * ONE))
    return Book(token_id=token_id, bids=(), asks=(ask,), version=version)


def around(clock: VirtualClock) -> AroundLeader:
    shape = BookShape(spread_bps=100, depth_micros=Micros(1_000 * ONE), levels=3)
    return AroundLeader(clock, lambda _token: Micros(10_000), shape=shape)


def version_of(quote: Quote | None) -> str | None:
    return quote.book.version if quote else None


async def test_book_around_the_leader_is_remembered_until_the_next_signal() -> None:
    source = around(VirtualClock())
    assert source.last(UP) is None

    first = await source.quote(UP, around_micros=HALF)
    assert first is not None
    assert first.book.best_against(Side.BUY) == 510_000
    assert (first.source, first.as_of) == ("around-leader", BEGINNING)
    assert source.last(UP) is first

    second = await source.quote(UP, around_micros=Micros(600_000))
    assert version_of(second) != version_of(first)
    assert source.last(UP) is second


async def test_remembered_books_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(made, "TOKENS_MAX", 2)
    source = around(VirtualClock())

    for token_id in (1, 2, 1, 3):
        await source.quote(token_id, around_micros=HALF)

    assert [token_id for token_id in (1, 2, 3) if source.last(token_id)] == [1, 3]


async def test_fixed_books_answer_what_was_put_last() -> None:
    clock = VirtualClock()
    source = FixedBooks(clock)
    source.put(book("1"))
    clock.advance(1)
    source.put(book("2"))

    quote = await source.quote(UP, around_micros=HALF)

    assert quote == Quote(book=book("2"), source="fixed", as_of=BEGINNING + timedelta(seconds=1))
    source.remove(UP)
    assert await source.quote(UP, around_micros=HALF) is None


async def test_recorded_books_follow_the_clock(shared_data: Path) -> None:
    path = shared_data / "books" / "l2_snapshots_two_btc_15m_markets_20260928.jsonl.gz"
    snapshots = read_snapshots(path)
    first = snapshots[0]
    clock = VirtualClock()
    source = RecordedBooks(clock, snapshots, tokens={(first.market_id, "UP"): UP, (first.market_id, "DOWN"): 72})

    assert len(snapshots) == 4_190
    before = await source.quote(UP, around_micros=HALF)
    assert before is not None
    assert (before.book.best_against(Side.BUY), before.book.best_against(Side.SELL)) == (500_000, 490_000)
    assert before.as_of == BEGINNING
    clock.advance(1.5)
    after = source.last(UP)
    assert version_of(after) == f"recorded-{first.at_ms + 1_077}"
    clock.advance(86_400)
    assert source.last(UP) is not None
    assert source.last(99) is None


def test_recorded_token_has_no_book_before_its_first_snapshot() -> None:
    clock = VirtualClock()
    lines = [_snapshot_line(ts=1_000, side="UP"), _snapshot_line(ts=3_000, side="DOWN")]
    snapshots = [snapshot_from_line(line) for line in lines]
    source = RecordedBooks(clock, snapshots, tokens={("m", "UP"): 1, ("m", "DOWN"): 2})

    assert (version_of(source.last(1)), source.last(2)) == ("recorded-1000", None)
    clock.advance(2)
    assert version_of(source.last(2)) == "recorded-3000"


def test_an_unreadable_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    path.write_text(_snapshot_line(ts=1) + "\n" + _snapshot_line(ts="soon") + "\n")

    with pytest.raises(BookError, match=r"books\.jsonl is no readable recording of books: line 2: The book's ts is no"):
        read_snapshots(path)


def test_a_truncated_a_broken_and_a_missing_file_are_refused_with_a_sentence(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(_snapshot_line(ts=n) for n in range(1, 500)).encode())
    broken = tmp_path / "broken.jsonl.gz"
    for content in (whole[: len(whole) // 2], whole[:20] + b"\xff" * 20 + whole[40:], b"plain"):
        broken.write_bytes(content)
        with pytest.raises(BookError, match=r"broken\.jsonl\.gz is no readable recording of books"):
            read_snapshots(broken)
    with pytest.raises(BookError, match=r"is no readable recording of books: .*No such file"):
        read_snapshots(tmp_path / "missing.jsonl")


def test_a_recording_with_too_many_lines_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "SNAPSHOTS_MAX", 2)
    path = tmp_path / "long.jsonl"
    path.write_text("\n".join(_snapshot_line(ts=n) for n in (1, 2, 3)))

    with pytest.raises(BookError, match="more than 2 lines"):
        read_snapshots(path)


def test_every_source_can_be_asked_again() -> None:
    clock = VirtualClock()
    sources: list[KnownQuotes] = [around(clock), FixedBooks(clock), RecordedBooks(clock, [], tokens={})]

    assert [source.last(UP) for source in sources] == [None, None, None]


def _snapshot_line(**changes: Any) -> str:
    line = {"market_id": "m", "side": "UP", "bid_px": [0.5], "bid_sz": [1], "ask_px": [0.51], "ask_sz": [1]}
    return json.dumps(line | changes)


async def test_a_book_around_a_leader_is_found_again_by_its_version() -> None:
    quotes = around(VirtualClock())
    first = await quotes.quote(7, around_micros=Micros(500_000))
    second = await quotes.quote(7, around_micros=Micros(300_000))
    assert first and quotes.last(7, version=first.book.version) is first
    assert quotes.last(7) is second


async def test_a_book_around_a_leader_is_kept_for_the_orders_priced_on_it_and_then_forgotten() -> None:
    clock = VirtualClock()
    quotes = around(clock)
    first = await quotes.quote(7, around_micros=Micros(500_000))
    assert first
    clock.advance(made.VERSIONS_KEPT_MS / 1_000)
    second = await quotes.quote(7, around_micros=Micros(300_000))
    assert quotes.last(7, version=first.book.version) is first
    clock.advance(1)
    await quotes.quote(8, around_micros=Micros(300_000))
    assert quotes.last(7, version=first.book.version) is second
