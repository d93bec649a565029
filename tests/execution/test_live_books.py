"""The venue's books in memory: never too old, one request for all who wait, else the leader's price."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from execution.books import Book, Level
from execution.hosts import HostDown
from execution.ports import Quote
from execution.quotes import LiveBooks, LiveSettings, StreamedBooks
from execution.quotes.fetched import Fetched
from ledger.units import ONE, Micros
from tests.execution.test_book_frames import AT, change, whole
from tests.sources.stream import HandClock, settle

UP, DOWN = 11, 12
HALF = Micros(500_000)


class Venue:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.paused = False
        self.trouble: Exception | None = None
        self.empty = False
        self.stamp_ms = AT
        self.open = asyncio.Event()
        self.open.set()

    async def book(self, token_id: int) -> Fetched | None:
        self.asked.append(token_id)
        number = len(self.asked)
        await self.open.wait()
        if self.trouble is not None:
            raise self.trouble
        if self.empty:
            return None
        ask = Level(Micros(510_000), Micros(100 * ONE))
        book = Book(token_id=token_id, bids=(), asks=(ask,), version=f"fetched {number}")
        return Fetched(book=book, stamp_ms=self.stamp_ms)


class Desk:
    """Live books with both doors in hand."""

    def __init__(self, **settings: Any) -> None:
        self.clock, self.venue = HandClock(), Venue()
        self.streamed = StreamedBooks(self.clock, books_max=settings.get("books_max", 100))
        self.books = LiveBooks(self.venue, self.streamed, self.clock, settings=LiveSettings(**settings))

    async def quote(self, token: int = UP) -> Quote | None:
        return await self.books.quote(token, around_micros=HALF)

    async def version(self, token: int = UP) -> str | None:
        quote = await self.quote(token)
        return quote.book.version if quote else None

    def hear(self, *frames: Any) -> tuple[int, ...]:
        return tuple(token for each in frames for token in self.streamed.heard(json.dumps(each).encode()))

    def fallback(self, age_s: float = 0) -> Quote | None:
        at = self.clock.now() - timedelta(seconds=age_s)
        return self.books.without_book(UP, price_micros=Micros(503_000), priced_at=at, tick_micros=Micros(10_000))


BOOK = whole({"0.49": "5"}, {"0.51": "5"})


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"slipstream_{name}_total", labels) or 0.0


async def test_all_who_wait_share_one_request() -> None:
    desk = Desk()
    desk.venue.open.clear()
    waiting = [asyncio.create_task(desk.version()) for _ in range(100)]
    await settle()
    desk.venue.open.set()
    assert set(await asyncio.gather(*waiting)) == {"fetched 1"}
    assert desk.venue.asked == [UP]


async def test_a_fetched_book_counts_from_its_request() -> None:
    desk = Desk(ttl_ms=1_000)
    desk.venue.open.clear()
    waiting = asyncio.create_task(desk.version())
    await settle()
    await desk.clock.advance(0.5)
    desk.venue.open.set()
    assert await waiting == "fetched 1"
    await desk.clock.advance(0.5)
    assert await desk.version() == "fetched 1"
    await desk.clock.advance(0.001)
    assert await desk.version() == "fetched 2"


@pytest.mark.parametrize("ttl_ms", [5_000, 60_000])
async def test_no_book_is_older_than_five_seconds_whatever_is_set(ttl_ms: int) -> None:
    desk = Desk(ttl_ms=ttl_ms)
    assert await desk.version() == "fetched 1"
    await desk.clock.advance(5)
    assert await desk.version() == "fetched 1"
    await desk.clock.advance(0.001)
    assert desk.books.last(UP) is None
    assert await desk.version() == "fetched 2"


async def test_a_batch_asks_for_all_its_books_at_once() -> None:
    desk = Desk()
    desk.venue.open.clear()
    ready = asyncio.create_task(desk.books.ready({UP, DOWN}))
    await settle()
    assert sorted(desk.venue.asked) == [UP, DOWN]
    desk.venue.open.set()
    await ready
    assert {await desk.version(UP), await desk.version(DOWN)} == {"fetched 1", "fetched 2"}


async def test_what_does_not_come_in_time_is_waited_for_no_longer_and_used_when_it_comes() -> None:
    desk = Desk(wait_ms=1_000)
    desk.venue.open.clear()
    waiting = asyncio.create_task(desk.version())
    await settle()
    await desk.clock.advance(1)
    assert await waiting is None
    assert await desk.version() is None, "the next one of the batch waits no second time"
    desk.venue.open.set()
    await settle()
    assert await desk.version() == "fetched 1"
    assert desk.venue.asked == [UP]


@pytest.mark.parametrize("trouble", ["down", "none"])
async def test_trouble_and_absence_are_not_kept(trouble: str) -> None:
    desk = Desk()
    desk.venue.trouble = HostDown("it answered 503") if trouble == "down" else None
    desk.venue.empty = trouble == "none"
    assert await desk.version() is None
    desk.venue.trouble, desk.venue.empty = None, False
    await desk.clock.advance(0.5)
    assert await desk.version() == "fetched 2"


async def test_a_host_that_is_left_alone_is_not_waited_for() -> None:
    desk = Desk()
    desk.venue.paused = True
    assert await desk.version() is None
    assert desk.venue.asked == []


async def test_a_bug_behind_the_door_is_raised() -> None:
    desk = Desk()
    desk.venue.trouble = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await desk.quote()


async def test_a_streamed_book_needs_no_request_while_its_token_is_heard_of() -> None:
    desk = Desk()
    desk.hear(BOOK)
    for second in range(1, 10):
        await desk.clock.advance(1)
        desk.hear(change(("SELL", "0.51", str(second)), at=AT + second))
    quote = await desk.quote()
    assert quote is not None and quote.source == "stream"
    assert quote.book.asks == (Level(Micros(510_000), Micros(9 * ONE)),)
    assert desk.venue.asked == []


async def test_a_channel_that_fell_silent_stops_counting_by_itself() -> None:
    desk = Desk()
    desk.venue.stamp_ms = AT + 6_000
    desk.hear(BOOK)
    await desk.clock.advance(5)
    assert (await desk.version() or "").startswith("stream")
    await desk.clock.advance(0.001)
    quote = await desk.quote()
    assert quote is not None and (quote.source, desk.venue.asked) == ("book", [UP])


async def test_a_lost_connection_takes_its_books_along() -> None:
    desk = Desk()
    desk.hear(BOOK, whole({"0.49": "5"}, {}, token=DOWN))
    desk.streamed.lost([UP])
    assert await desk.version() == "fetched 1"
    assert (await desk.version(DOWN) or "").startswith("stream")


async def test_a_book_that_proved_wrong_is_dropped_and_named() -> None:
    desk, before = Desk(), counted("book_divergences", found_by="best price")
    assert desk.hear(BOOK) == ()
    assert desk.hear(change(("BUY", "0.40", "1"), best=("0.48", "0.51"))) == (UP,)
    assert await desk.version() == "fetched 1"
    assert counted("book_divergences", found_by="best price") == before + 1


async def test_a_frame_that_cannot_be_read_takes_along_what_it_may_have_changed() -> None:
    desk = Desk()
    desk.hear(BOOK, whole({}, {"0.6": "1"}, token=DOWN))
    assert desk.hear(change(("BUY", "0.5", "1"), token=-1)) == (UP, DOWN)
    assert list(desk.streamed.tokens) == []


async def test_an_answer_out_of_somebodys_cache_is_not_taken() -> None:
    desk = Desk()
    desk.hear(whole({"0.49": "5"}, {"0.51": "5"}, at=AT + 2_000))
    await desk.clock.advance(6)
    assert await desk.version() is None
    desk.venue.stamp_ms = AT + 2_000
    await desk.clock.advance(1)
    assert await desk.version() == "fetched 2"


async def test_the_newer_of_two_books_counts() -> None:
    desk = Desk()
    assert await desk.version() == "fetched 1"
    await desk.clock.advance(0.5)
    desk.hear(BOOK)
    assert (await desk.version() or "").startswith("stream")


async def test_memory_is_bounded_by_number_and_by_age() -> None:
    desk, room = Desk(books_max=2), counted("quotes_evicted", source="book", why="room")
    for token in (1, 2, 3):
        await desk.quote(token)
        desk.hear(whole({"0.4": "1"}, {}, token=100 + token))
    assert [bool(desk.books.last(token)) for token in (1, 2, 3)] == [False, True, True]
    assert sorted(desk.streamed.tokens) == [102, 103]
    assert counted("quotes_evicted", source="book", why="room") == room + 1
    await desk.clock.advance(601)
    desk.books.forget_old()
    desk.streamed.forget_old()
    assert list(desk.streamed.tokens) == [] and desk.books.last(3) is None


async def test_what_is_answered_from_memory_is_counted_with_its_age() -> None:
    hits, misses = counted("quote_hits", source="book"), counted("quote_misses", outcome="fetched")
    desk = Desk()
    await desk.books.ready([UP])
    for _time in range(3):
        await desk.quote()
    assert counted("quote_misses", outcome="fetched") == misses + 1
    assert counted("quote_hits", source="book") == hits + 2
    assert REGISTRY.get_sample_value("slipstream_quote_age_milliseconds_count", {"source": "book"})


async def test_without_a_book_the_leaders_price_stands_in_while_it_is_fresh() -> None:
    desk = Desk(fallback_ms=10_000)
    quote = desk.fallback(age_s=10)
    assert quote is not None and quote.source == "fallback"
    assert [quote.book.asks[0].price_micros, quote.book.bids[0].price_micros] == [510_000, 500_000]
    assert len(quote.book.asks) == len(quote.book.bids) == 1
    assert desk.fallback(age_s=10.1) is None
    assert Desk(fallback_ms=0).fallback() is None


async def test_a_stand_in_is_found_again_by_the_order_that_was_priced_on_it() -> None:
    desk = Desk()
    quote = desk.fallback()
    assert quote is not None and desk.books.last(UP, version=quote.book.version) is quote
    assert desk.books.last(UP) is None


async def test_forced_to_the_leaders_price_it_asks_for_no_book() -> None:
    desk = Desk(forced=True)
    desk.hear(BOOK)
    await desk.books.ready([UP])
    assert await desk.quote() is None
    assert desk.venue.asked == [] and desk.fallback() is not None
