"""Books of the channel held against fetched ones, and what is done when the channel tells nothing."""

import asyncio
from collections.abc import Collection
from typing import Any

from copytrading.sources.book_watch import BookWatch, BookWatchDoors
from execution.books import Book
from execution.hosts import HostDown
from execution.quotes.fetched import Fetched
from tests.execution.test_book_frames import AT, change, ladder, whole
from tests.execution.test_live_books import UP, Desk, counted
from tests.sources.stream import running, settle


class Channel:
    """Remembers what it was asked for."""

    def __init__(self) -> None:
        self.subscribed: Collection[int] = {UP}
        self.asked: list[Any] = []

    def again(self, tokens: Collection[int]) -> None:
        self.asked.append(("again", *tokens))

    def renew(self, token_id: int) -> None:
        self.asked.append(("renew", token_id))

    def hears(self, token_id: int) -> bool:
        return token_id in self.subscribed


class Watcher(Desk):
    """Live books with the watch over them; what the venue answers is put in `book`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.channel = Channel()
        self.venue.book = self.fetched  # type: ignore[method-assign]
        self.book: Book | None = ladder({"0.49": "5"}, {"0.51": "5"}).book()
        doors = BookWatchDoors(books=self.books, channel=self.channel, clock=self.clock)
        self.watch = BookWatch(doors, compare_s=30)

    async def fetched(self, token_id: int) -> Fetched | None:
        self.venue.asked.append(token_id)
        await self.venue.open.wait()
        if self.venue.trouble is not None:
            raise self.venue.trouble
        return None if self.book is None else Fetched(book=self._as(token_id), stamp_ms=self.venue.stamp_ms)

    def _as(self, token_id: int) -> Book:
        assert self.book is not None
        return Book(token_id=token_id, bids=self.book.bids, asks=self.book.asks, version="fetched")

    async def heard(self) -> None:
        self.hear(whole({"0.49": "5"}, {"0.51": "5"}))
        assert await self.quote() is not None

    @property
    def streams(self) -> bool:
        return UP in self.streamed.tokens


async def test_a_book_in_use_is_compared_every_half_minute() -> None:
    desk = Watcher()
    await desk.heard()
    async with running(desk.watch.run):
        await settle()
        asked = []
        for seconds in (28, 20, 30):
            await desk.clock.advance(seconds)
            asked.append(len(desk.venue.asked))
    assert asked == [0, 1, 2]
    assert desk.streams and desk.channel.asked == []


async def test_a_book_that_nobody_asked_for_is_not_compared() -> None:
    desk = Watcher()
    desk.hear(whole({"0.49": "5"}, {"0.51": "5"}))
    await desk.watch.run_once()
    assert desk.venue.asked == []


async def test_another_book_is_dropped_and_subscribed_anew() -> None:
    desk = Watcher()
    desk.book = ladder({"0.49": "5"}, {"0.51": "4"}).book()
    await desk.heard()
    async with running(desk.watch.run):
        await settle()
        await desk.clock.advance(33)
        assert not desk.streams and desk.channel.asked == [("again", UP)]
        quote = await desk.quote()
        assert quote is not None and quote.source == "book"


async def test_a_change_that_comes_while_it_settles_is_no_difference() -> None:
    desk = Watcher()
    desk.book = ladder({"0.49": "5"}, {"0.51": "4"}).book()
    await desk.heard()
    comparing = asyncio.create_task(desk.watch.compare(UP))
    await settle()
    desk.hear(change(("SELL", "0.51", "4"), at=AT + 9))
    await desk.clock.advance(1)
    assert await comparing and desk.streams


async def test_a_stale_answer_and_none_prove_nothing() -> None:
    desk = Watcher()
    desk.book = ladder({"0.49": "5"}, {"0.51": "4"}).book()
    await desk.heard()
    desk.venue.stamp_ms = AT - 1_001
    assert await desk.watch.compare(UP)
    desk.venue.trouble = HostDown("429")
    assert await desk.watch.compare(UP)
    assert desk.streams


async def test_quotes_share_the_request_of_a_comparison() -> None:
    desk = Watcher()
    desk.venue.stamp_ms = AT + 6_000
    await desk.heard()
    desk.venue.open.clear()
    await desk.clock.advance(5)
    comparing = asyncio.create_task(desk.watch.compare(UP))
    await settle()
    await desk.clock.advance(0.1)  # The streamed book has grown too old.
    waiting = [asyncio.create_task(desk.version()) for _ in range(10)]
    await settle()
    assert desk.venue.asked == [UP]
    desk.venue.open.set()
    await settle()
    assert {each.result() for each in waiting} == {"fetched"}
    await desk.clock.advance(1)
    assert await comparing and desk.venue.asked == [UP]


async def test_a_comparison_waits_for_the_request_under_way_and_then_asks_anew() -> None:
    desk = Watcher()
    desk.venue.open.clear()
    waiting = asyncio.create_task(desk.quote())
    await settle()
    desk.hear(whole({"0.49": "5"}, {"0.51": "5"}))
    comparing = asyncio.create_task(desk.watch.compare(UP))
    await settle()
    assert desk.venue.asked == [UP]
    desk.venue.open.set()
    await settle()
    assert await waiting is not None and desk.venue.asked == [UP, UP]
    await desk.clock.advance(1)
    assert await comparing


async def test_a_comparison_alone_changes_no_quote_and_counts_as_none() -> None:
    desk, misses = Watcher(), counted("quote_misses", outcome="fetched")
    await desk.heard()
    comparing = asyncio.create_task(desk.watch.compare(UP))
    await settle()
    await desk.clock.advance(1)
    assert await comparing and (await desk.version() or "").startswith("stream")
    assert counted("quote_misses", outcome="fetched") == misses


async def test_a_subscription_without_an_answer_is_made_anew_and_then_its_connection() -> None:
    desk = Watcher()
    async with running(desk.watch.run):
        await desk.quote()
        await settle()
        await desk.clock.advance(7)
        assert desk.channel.asked == [("again", UP)]
        await desk.quote()
        await desk.clock.advance(6)
        assert desk.channel.asked == [("again", UP), ("renew", UP)]
        await desk.clock.advance(20)
        assert len(desk.channel.asked) == 2


async def test_where_the_venue_has_no_book_the_channel_is_not_blamed() -> None:
    desk = Watcher()
    desk.book = None
    async with running(desk.watch.run):
        await desk.quote()
        await settle()
        await desk.clock.advance(15)
    assert desk.channel.asked == [("again", UP)]


async def test_what_is_not_subscribed_is_not_looked_after() -> None:
    desk = Watcher()
    desk.channel.subscribed = ()
    async with running(desk.watch.run):
        await desk.quote()
        await desk.clock.advance(15)
    assert desk.channel.asked == []
