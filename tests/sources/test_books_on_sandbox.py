"""Live books on the sandbox's CLOB and market channel, with each of their doors' faults."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from copytrading.signals import CHAIN_LOGS
from copytrading.sources import book_watch
from copytrading.sources.book_watch import BookWatch, BookWatchDoors
from copytrading.sources.market_events import MarketEvents, MarketEventsDoors, MarketEventsSettings
from copytrading.sources.market_frames import NewMarket
from copytrading.sources.stats import SourceStats
from execution.books import Level
from execution.hosts import Host
from execution.http import SharedHttp
from execution.limits import Allowance, HostLimits, LimitSettings
from execution.ports import Quote
from execution.quotes import ClobBooks, LiveBooks, LiveSettings, StreamedBooks
from execution.sandbox.board import BookView
from execution.sandbox.sandbox import Sandbox
from execution.sockets import WebSockets
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE, Micros, Side
from tests.sandbox.stage import stage
from tests.sources.stream import running
from tests.sources.test_market_events import Playing

WAIT_S = 10
CROWD = "0x" + "9d" * 20


class Nobody:
    """`MarketNews` for those who only want books."""

    async def tick_changed(self, condition_id: str, token_id: int, *, tick_micros: int) -> None: ...

    async def resolved(self, condition_id: str, winning_token: int | None) -> None: ...

    async def new_market(self, market: NewMarket) -> None: ...


class CountedHttp(SharedHttp):
    """Counts what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    async def get(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
        self.asked += 1
        return await super().get(*args, **kwargs)  # type: ignore[arg-type]


@dataclass(slots=True)
class Market:
    """A sandbox, and live books that hear and ask it."""

    box: Sandbox
    books: LiveBooks
    channel: MarketEvents
    watch: BookWatch
    http: CountedHttp
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def token(self) -> int:
        return self.box.markets[0].token_ids[0]

    @property
    def view(self) -> BookView:
        view = self.box.board.view(self.token)
        assert view is not None
        return view

    async def quote(self) -> Quote | None:
        return await self.books.quote(self.token, around_micros=Micros(500_000))

    async def trade(self, shares: int = 3) -> None:
        await self.box.trade(CROWD, "BUY", self.token, shares_micros=shares * ONE)

    async def until(self, what: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not what():
                await self.clock.sleep(0.02)

    async def streamed(self) -> None:
        await self.until(lambda: self.token in self.books.streamed.tokens)

    def is_the_venues(self, quote: Quote | None) -> bool:
        assert quote is not None
        asks = tuple(Level(Micros(each.price_micros), Micros(each.shares_micros)) for each in self.view.asks)
        return quote.book.asks == asks and quote.book.best_against(Side.SELL) == self.view.bids[0].price_micros


@asynccontextmanager
async def market(*, hears: bool = True, silent_s: float = 30, **settings: int) -> AsyncIterator[Market]:
    async with stage() as found:
        clock, http, chance = SystemClock(), CountedHttp(), SeededRandomness(1)
        limits = HostLimits(
            clock,
            chance,
            host="clob",
            settings=LimitSettings(allowances=(Allowance(kind="book", requests=1_500),)),
        )
        asked = ClobBooks(Host(http, limits, base_url=found.box.urls.clob, tries=1), limits)
        streamed = StreamedBooks(clock, books_max=100)
        books = LiveBooks(asked, streamed, clock, settings=LiveSettings(**settings))
        doors = MarketEventsDoors(
            sockets=WebSockets(),
            clock=clock,
            randomness=chance,
            tokens=Playing(found.box.markets[0].token_ids if hears else ()),
            news=Nobody(),
            stats=SourceStats(CHAIN_LOGS),
            books=streamed,
        )
        terms = MarketEventsSettings(
            url=found.box.urls.market, ping_s=min(10.0, silent_s / 3), silent_s=silent_s, backoff_s=0.1
        )
        channel = MarketEvents(doors, terms)
        watch = BookWatch(BookWatchDoors(books=books, channel=channel, clock=clock), compare_s=30)
        try:
            async with running(channel.run):
                yield Market(found.box, books, channel, watch, http)
        finally:
            await books.close()
            await http.close()


async def test_a_book_is_fetched_with_the_best_levels_of_the_venues_last() -> None:
    async with market(hears=False) as found:
        quote = await found.quote()
        assert found.is_the_venues(quote)
        assert quote is not None and quote.source == "book"


async def test_a_hundred_who_wait_ask_once() -> None:
    async with market(hears=False) as found:
        await found.box.faults.apply("clob:delay=100ms")
        quotes = await asyncio.gather(*(found.quote() for _ in range(100)))
        assert len({quote.book.version for quote in quotes if quote}) == 1
        assert found.http.asked == 1


async def test_the_channel_keeps_a_book_level_by_level_without_a_request() -> None:
    async with market() as found:
        await found.streamed()
        for shares in (1, 50, 400):
            await found.trade(shares)
            found.box.board.wander(found.box.markets[0], 1)
        await found.trade()
        await found.until(lambda: found.is_the_venues(found.books.last(found.token)))
        quote = await found.quote()
        assert quote is not None and quote.source == "stream" and found.http.asked == 0


async def test_a_comparison_finds_the_book_of_a_healthy_channel_right() -> None:
    async with market() as found:
        await found.streamed()
        await found.trade()
        await found.quote()
        assert await found.watch.compare(found.token)
        assert found.token in found.books.streamed.tokens and found.http.asked == 1


@pytest.mark.parametrize("fault", ["market:freeze", "market:silence"])
async def test_a_channel_that_froze_with_its_socket_open_is_found_by_a_comparison(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book_watch, "SETTLE_S", 0.1)
    async with market() as found:
        await found.streamed()
        await found.box.faults.apply(fault)
        await found.trade()
        assert not await found.watch.compare(found.token)
        assert found.token not in found.books.streamed.tokens
        found.box.faults.lift()
        found.channel.again([found.token])
        await found.streamed()
        assert found.is_the_venues(await found.quote())


async def test_a_half_open_connection_is_given_up_and_its_books_with_it() -> None:
    async with market(silent_s=0.6) as found:
        await found.streamed()
        await found.box.faults.apply("market:half-open")
        await found.until(lambda: not found.books.streamed.tokens)
        found.box.faults.lift()
        await found.streamed()
        await found.trade()
        await found.until(lambda: found.is_the_venues(found.books.last(found.token)))


@pytest.mark.parametrize(
    "fault", ["market:drop=30%", "market:duplicate", "market:reorder=50%", "market:delay=30%,50ms"]
)
async def test_whatever_happens_to_frames_a_wrong_book_is_found(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_watch, "SETTLE_S", 0.1)
    async with market() as found:
        await found.streamed()
        await found.box.faults.apply(fault)
        for shares in (1, 50, 400, 2, 700, 9):
            await found.trade(shares)
            found.box.board.wander(found.box.markets[0], 1)
        found.box.faults.lift()
        await found.trade()
        # Frames that were held back come within a second.
        await found.clock.sleep(1.1)
        await found.watch.compare(found.token)
        last = found.books.last(found.token)
        assert last is None or found.is_the_venues(last)


async def test_a_stale_cache_before_the_venue_is_told_from_the_book() -> None:
    async with market() as found:
        await found.streamed()
        await found.box.faults.apply("clob:stale")
        await found.clock.sleep(1.2)
        await found.trade(400)
        await found.until(lambda: found.is_the_venues(found.books.last(found.token)))
        assert await found.watch.compare(found.token)
        assert found.is_the_venues(await found.quote())


@pytest.mark.parametrize("fault", ["clob:429", "clob:5xx", "clob:disconnect", "clob:half-open"])
async def test_while_the_host_fails_nobody_waits_longer_than_is_set(fault: str) -> None:
    async with market(hears=False, wait_ms=300) as found:
        await found.box.faults.apply(fault)
        async with asyncio.timeout(3):
            assert await found.quote() is None
            await found.clock.sleep(0.6)
            assert await found.quote() is None
        assert found.http.asked <= 2
        found.box.faults.lift()


async def test_a_token_without_a_book_has_none() -> None:
    async with market(hears=False) as found:
        assert await found.books.quote(12345, around_micros=Micros(500_000)) is None
