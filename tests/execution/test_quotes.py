"""Sources of books, and the cache before the slow ones."""

import asyncio
import gc
import gzip
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from execution import quotes
from execution.books import Book, BookError, BookShape, Level, snapshot_from_line
from execution.ports import Quote
from execution.quotes import AroundLeader, CachedQuotes, FixedBooks, KnownQuotes, RecordedBooks, read_snapshots
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING, VirtualClock

HALF = Micros(500_000)
UP = 71


def book(version: str = "1", token_id: int = UP) -> Book:
    ask = Level(Micros(510_000), Micros(100 * ONE))
    return Book(token_id=token_id, bids=(), asks=(ask,), version=version)


class SlowSource:
    """Answers after half a second of the clock, with a new version each time, or as told."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.asked = 0
        self.trouble: Exception | None = None
        self.empty = False

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:
        self.asked += 1
        version = str(self.asked)
        await self.clock.sleep(0.5)
        if self.trouble:
            raise self.trouble
        return None if self.empty else Quote(book=book(version, token_id), source="slow", as_of=self.clock.now())

    def last(self, token_id: int, *, version: str = "") -> Quote | None:
        return Quote(book=book("newest", token_id), source="slow", as_of=self.clock.now())


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
    monkeypatch.setattr(quotes, "TOKENS_MAX", 2)
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
    monkeypatch.setattr(quotes, "SNAPSHOTS_MAX", 2)
    path = tmp_path / "long.jsonl"
    path.write_text("\n".join(_snapshot_line(ts=n) for n in (1, 2, 3)))

    with pytest.raises(BookError, match="more than 2 lines"):
        read_snapshots(path)


def cached(max_age_ms: int = 1_000) -> tuple[CachedQuotes, SlowSource, VirtualClock]:
    clock = VirtualClock()
    source = SlowSource(clock)
    return CachedQuotes(source, clock, max_age_ms=max_age_ms), source, clock


async def test_all_who_ask_meanwhile_share_one_request() -> None:
    cache, source, _clock = cached()

    answers = await asyncio.gather(*(cache.quote(UP, around_micros=HALF) for _ in range(50)))

    assert source.asked == 1
    assert {version_of(answer) for answer in answers} == {"1"}


async def test_a_kept_book_is_renewed_when_it_is_too_old_counted_from_its_request() -> None:
    cache, source, clock = cached(max_age_ms=1_000)
    await cache.quote(UP, around_micros=HALF)

    clock.advance(0.5)
    assert version_of(await cache.quote(UP, around_micros=HALF)) == "1"
    clock.advance(0.001)
    assert version_of(await cache.quote(UP, around_micros=HALF)) == "2"
    assert source.asked == 2


async def test_one_caller_who_gives_up_does_not_take_the_others_answer() -> None:
    cache, _source, _clock = cached()
    impatient = asyncio.create_task(cache.quote(UP, around_micros=HALF))
    patient = asyncio.create_task(cache.quote(UP, around_micros=HALF))
    await asyncio.sleep(0)

    impatient.cancel()

    assert version_of(await patient) == "1"
    assert impatient.cancelled()


async def test_trouble_reaches_everyone_who_shared_the_request_and_is_not_kept() -> None:
    cache, source, _clock = cached()
    source.trouble = ConnectionError("down")

    answers = await asyncio.gather(*(cache.quote(UP, around_micros=HALF) for _ in range(3)), return_exceptions=True)
    assert answers == [source.trouble] * 3

    source.trouble = None
    assert version_of(await cache.quote(UP, around_micros=HALF)) == "2"


async def test_trouble_that_nobody_waits_for_any_more_disturbs_nobody() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: complaints.append(context))
    cache, source, _clock = cached()
    source.trouble = ConnectionError("down")
    lonely = asyncio.create_task(cache.quote(UP, around_micros=HALF))
    await asyncio.sleep(0)
    lonely.cancel()

    for _turn in range(5):
        await asyncio.sleep(0)
    del lonely
    gc.collect()

    assert complaints == []
    source.trouble = None
    assert version_of(await cache.quote(UP, around_micros=HALF)) == "2"


async def test_the_absence_of_a_book_is_not_kept() -> None:
    cache, source, _clock = cached()
    source.empty = True
    assert await cache.quote(UP, around_micros=HALF) is None

    source.empty = False

    assert version_of(await cache.quote(UP, around_micros=HALF)) == "2"


async def test_kept_books_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotes, "TOKENS_MAX", 2)
    cache, source, _clock = cached(max_age_ms=1_000_000)

    for token_id in (1, 2, 3, 1):
        await cache.quote(token_id, around_micros=HALF)

    assert source.asked == 4


async def test_the_last_book_comes_from_the_source_and_not_from_what_is_kept() -> None:
    cache, _source, _clock = cached()
    await cache.quote(UP, around_micros=HALF)

    assert version_of(cache.last(UP)) == "newest"


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
