"""The CLOB's market channel: what it tells, what is subscribed, and what the rows say afterwards."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.db import OperationalError

from copytrading.signals import CHAIN_LOGS
from copytrading.sources.market_events import MarketEvents, MarketEventsDoors, MarketEventsSettings
from copytrading.sources.market_frames import NewMarket, Resolved, TickChanged, Unclear, read_events
from copytrading.sources.market_news import RecordedNews
from copytrading.sources.stats import SourceStats
from execution.models import Market
from execution.preflight import MarketTerms
from execution.sockets import WebSockets
from execution.terms import USUAL, KnownTerms
from ledger.system import SeededRandomness
from ledger.units import Micros
from tests.doors import InlineDatabase, VirtualClock, outside_loop
from tests.sources.stream import CONDITION, HandClock, Stream, running, settle, streaming
from tests.world import CONDITION as PLAYED
from tests.world import TOKEN, World

UP, DOWN = 11, 12


def tick(size: Any = "0.001", **more: Any) -> dict[str, Any]:
    return {
        "event_type": "tick_size_change",
        "market": CONDITION,
        "asset_id": str(UP),
        "old_tick_size": "0.01",
        "new_tick_size": size,
        "timestamp": "1795262400000",
        **more,
    }


def resolved(**more: Any) -> dict[str, Any]:
    return {"event_type": "market_resolved", "market": CONDITION, "winning_asset_id": str(DOWN), **more}


NEW = {"event_type": "new_market", "market": CONDITION, "assets_ids": [str(UP), "x", 7], "question": "Q?", "slug": "q"}
TICKED = TickChanged(condition_id=CONDITION, token_id=UP, tick_micros=Micros(1_000))


@pytest.mark.parametrize(
    ("value", "events"),
    [
        (tick(), [TICKED]),
        (tick(market="0x" + "C0" * 32), [TICKED]),
        (tick("0.0025"), [TickChanged(condition_id=CONDITION, token_id=UP, tick_micros=Micros(2_500))]),
        ([{"event_type": "book"}, tick(), 5, resolved()], [TICKED, Resolved(condition_id=CONDITION, winning_token=12)]),
        (resolved(winning_asset_id=""), [Resolved(condition_id=CONDITION, winning_token=None)]),
        (NEW, [NewMarket(condition_id=CONDITION, token_ids=(UP,), title="Q?", slug="q")]),
        ({"event_type": "book", "tick_size": "0.01", "market": CONDITION}, []),
        ({"event_type": ["tick_size_change"]}, []),
        ("tick_size_change", []),
    ],
)
def test_the_events_of_a_frame_are_told(value: Any, events: list[Any]) -> None:
    assert list(read_events(json.dumps(value).encode())) == events


def test_an_escaped_name_is_read_all_the_same() -> None:
    assert read_events(json.dumps(tick()).replace("tick_", "tick\\u005f").encode()) == (TICKED,)


@pytest.mark.parametrize(
    "value",
    [
        tick("0.02"),
        tick("0.0010000001"),
        tick("1e400"),
        tick(None),
        tick(asset_id="-1"),
        tick(asset_id=None),
        tick(market="x"),
    ],
)
def test_an_event_that_cannot_be_trusted_is_unclear(value: Any) -> None:
    (event,) = read_events(json.dumps(value).encode())
    assert isinstance(event, Unclear)


@pytest.mark.parametrize("raw", [b"PONG", b"", b"{", b"[]", b"\xff"])
def test_what_tells_nothing_is_not_decoded(raw: bytes) -> None:
    assert read_events(raw) == ()


class Playing:
    """`TokensInPlay` that a test replaces."""

    def __init__(self, tokens: Iterable[int]) -> None:
        self.tokens, self.version, self._bell = frozenset(tokens), 0, asyncio.Event()

    def replace(self, tokens: Iterable[int]) -> None:
        self.tokens, self.version = frozenset(tokens), self.version + 1
        self._bell.set()

    async def changed(self, version: int) -> None:
        while self.version == version:
            self._bell.clear()
            await self._bell.wait()


class Desk:
    """The channel, and the news as they are told."""

    def __init__(self, stream: Stream, tokens: Iterable[int], **settings: Any) -> None:
        self.stream, self.clock, self.tokens = stream, HandClock(), Playing(tokens)
        self.stats, self.news, self._bell = SourceStats(CHAIN_LOGS), [], asyncio.Event()
        doors = MarketEventsDoors(
            sockets=WebSockets(),
            clock=self.clock,
            randomness=SeededRandomness(1),
            tokens=self.tokens,
            news=self,
            stats=self.stats,
        )
        self.source = MarketEvents(doors, MarketEventsSettings(url=stream.url, **settings))

    news: list[Any]

    async def tick_changed(self, condition_id: str, token_id: int, *, tick_micros: int) -> None:
        self.told(("tick", condition_id, token_id, tick_micros))

    async def resolved(self, condition_id: str, winning_token: int | None) -> None:
        self.told(("resolved", condition_id, winning_token))

    async def new_market(self, market: NewMarket) -> None:
        self.told(("new", market.condition_id))

    def told(self, news: Any) -> None:
        self.news.append(news)
        self._bell.set()

    async def heard(self, number: int) -> None:
        async with asyncio.timeout(10):
            while len(self.news) < number:
                self._bell.clear()
                await self._bell.wait()

    def subscribed(self, connection: int) -> set[int]:
        """What a connection is subscribed to, by what it has said."""
        found: set[int] = set()
        for text in self.stream.said[connection]:
            if text == "PING":
                continue
            said = json.loads(text)
            tokens = {int(each) for each in said["assets_ids"]}
            found = found - tokens if said.get("operation") == "unsubscribe" else found | tokens
        return found

    async def goes_by(self, seconds: float, until: Callable[[], bool]) -> None:
        for _step in range(int(seconds * 2)):
            if until():
                return
            await self.clock.advance(0.5)
            for _turn in range(30):
                await settle()
        assert until()


@asynccontextmanager
async def hearing(tokens: Iterable[int] = (UP, DOWN), **settings: Any) -> AsyncIterator[Desk]:
    async with streaming() as stream:
        desk = Desk(stream, tokens, **settings)
        async with running(desk.source.run):
            if desk.tokens.tokens:
                await stream.subscribed(1)
            yield desk


async def test_it_subscribes_with_the_features_that_tell_of_markets() -> None:
    async with hearing() as desk:
        (said,) = desk.stream.said[0]
    assert json.loads(said) == {"assets_ids": ["11", "12"], "type": "market", "custom_feature_enabled": True}


async def test_each_event_is_told() -> None:
    async with hearing() as desk:
        await desk.stream.send("PONG", json.dumps([tick()]), json.dumps(resolved()), json.dumps(NEW))
        await desk.heard(3)
    assert desk.news == [("tick", CONDITION, UP, 1_000), ("resolved", CONDITION, DOWN), ("new", CONDITION)]


async def test_an_unclear_event_is_counted_and_told_to_nobody() -> None:
    async with hearing() as desk:
        await desk.stream.send(json.dumps(tick("0.02")), json.dumps(resolved()))
        await desk.heard(1)
    assert len(desk.news) == 1 and desk.stats.counts["undecodable"] == 1


async def test_only_the_difference_is_said_when_tokens_change() -> None:
    async with hearing() as desk:
        desk.tokens.replace([DOWN, 13])
        await desk.stream.until(lambda: len(desk.stream.said[0]) == 3)
    assert [json.loads(text) for text in desk.stream.said[0][1:]] == [
        {"operation": "unsubscribe", "assets_ids": ["11"]},
        {"operation": "subscribe", "assets_ids": ["13"]},
    ]


async def test_tokens_are_spread_over_connections_and_fill_the_room_of_those_that_are_gone() -> None:
    async with hearing(range(1, 8), assets_max=3) as desk:
        await desk.stream.subscribed(3)
        shares = [desk.subscribed(number) for number in range(3)]
        assert sorted(len(share) for share in shares) == [1, 3, 3] and set.union(*shares) == set(range(1, 8))
        desk.tokens.replace([1, 2, 5, 6, 8, 9])
        gone = next(n for n, share in enumerate(shares) if share == {7})
        await desk.stream.until(
            lambda: (
                desk.stream.connections[gone].close_code is not None
                and set.union(*(desk.subscribed(n) for n in range(3) if n != gone)) == {1, 2, 5, 6, 8, 9}
            )
        )
    assert len(desk.stream.connections) == 3


async def test_without_tokens_there_is_no_connection() -> None:
    async with hearing(()) as desk:
        await settle()
        assert desk.stream.connections == []
        desk.tokens.replace([UP])
        await desk.stream.subscribed(1)
        desk.tokens.replace([])
        await desk.stream.until(lambda: desk.stream.connections[0].close_code is not None)


async def test_it_pings_every_ten_seconds_and_gives_up_after_thirty_of_silence() -> None:
    async with hearing() as desk:
        await desk.goes_by(12, lambda: "PING" in desk.stream.said[0])
        assert desk.clock.monotonic_ms() >= 10_000
        await desk.goes_by(25, lambda: len(desk.stream.connections) == 2 and bool(desk.stream.said[1]))
    assert 30_000 <= desk.clock.monotonic_ms() <= 34_000
    assert desk.subscribed(1) == {UP, DOWN}


async def test_answers_to_pings_keep_it() -> None:
    async with hearing() as desk:
        for _second in range(40):
            await desk.stream.send("PONG")
            for _turn in range(5):
                await settle()
            await desk.clock.advance(1)
    assert len(desk.stream.connections) == 1


async def test_a_closed_connection_comes_back_with_what_is_wanted_then() -> None:
    async with hearing() as desk:
        await desk.stream.connections[0].close()
        desk.tokens.replace([DOWN, 13])
        await desk.goes_by(10, lambda: len(desk.stream.connections) == 2 and bool(desk.stream.said[1]))
    assert desk.subscribed(1) == {DOWN, 13}


async def test_a_bug_in_the_news_ends_the_source() -> None:
    with pytest.raises(ZeroDivisionError):
        async with hearing() as desk:
            desk.told = lambda _news: 1 / 0  # type: ignore[method-assign, assignment, return-value]
            await desk.stream.send(json.dumps(resolved()))
            await desk.stream.until(lambda: desk.stream.connections[0].close_code is not None)


class Recorder:
    """`RecordedNews` on the test's database, and who was asked to refresh."""

    def __init__(self, database: InlineDatabase | None = None) -> None:
        self.terms, self.refreshed = KnownTerms(), []
        self.clock = VirtualClock()
        self.news = RecordedNews(database or InlineDatabase(), self.clock, self.terms, refresh=self.refresh)

    refreshed: list[str]

    async def refresh(self, condition_id: str) -> None:
        self.refreshed.append(condition_id)


def market() -> Market:
    return Market.objects.create(condition_id=CONDITION, first_token_id=UP, second_token_id=DOWN)


@pytest.mark.django_db
async def test_a_changed_tick_is_in_the_row_and_in_the_known_terms_of_both_tokens() -> None:
    row, recorder = outside_loop(market), Recorder()
    recorder.terms.note(UP, MarketTerms(min_size_micros=Micros(1)))
    for _time in range(2):
        await recorder.news.tick_changed(CONDITION, UP, tick_micros=1_000)
    outside_loop(row.refresh_from_db)
    assert row.tick_micros == 1_000
    assert recorder.terms.of(UP) == MarketTerms(tick_micros=Micros(1_000), min_size_micros=Micros(1))
    assert recorder.terms.of(DOWN) is USUAL
    assert recorder.refreshed == [CONDITION]


@pytest.mark.django_db
@pytest.mark.parametrize(("winner", "worth"), [(DOWN, (0, 1_000_000)), (UP, (1_000_000, 0)), (None, (None, None))])
async def test_a_resolved_market_is_closed_and_its_tokens_are_worth_what_they_pay(
    winner: int | None, worth: Any
) -> None:
    row, recorder = outside_loop(market), Recorder()
    recorder.terms.note(UP, MarketTerms(min_size_micros=Micros(1)))
    await recorder.news.resolved(CONDITION, winner)
    outside_loop(row.refresh_from_db)
    assert (row.closed, row.accepting_orders) == (True, False)
    assert (row.first_price_micros, row.second_price_micros) == worth
    assert recorder.terms.of(UP).closed


@pytest.mark.django_db
async def test_news_of_a_market_nobody_here_knows_change_nothing() -> None:
    recorder = Recorder()
    await recorder.news.tick_changed(CONDITION, UP, tick_micros=1_000)
    await recorder.news.resolved(CONDITION, UP)
    await recorder.news.new_market(NewMarket(condition_id=CONDITION, token_ids=(), title="", slug=""))
    assert not outside_loop(Market.objects.exists)
    assert recorder.refreshed == []


class Away(InlineDatabase):
    """A database that is away the first times."""

    def __init__(self, times: int) -> None:
        self.times = times

    async def run(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if self.times:
            self.times -= 1
            raise OperationalError
        return await super().run(work, *args, **kwargs)


@pytest.mark.django_db
@pytest.mark.parametrize(("times", "written"), [(2, 1_000), (3, None)])
async def test_news_wait_a_little_for_the_database(times: int, written: int | None) -> None:
    row, recorder = outside_loop(market), Recorder(Away(times))
    await recorder.news.tick_changed(CONDITION, UP, tick_micros=1_000)
    outside_loop(row.refresh_from_db)
    assert row.tick_micros == written


@pytest.mark.django_db
def test_an_order_planned_after_a_tick_change_is_on_the_new_tick(world: World) -> None:
    world.follower()
    world.copy(world.row(price="0.503", tx=1))
    news = RecordedNews(InlineDatabase(), world.clock, KnownTerms())
    world.run(lambda: news.tick_changed(PLAYED, TOKEN, tick_micros=1_000))
    world.clock.advance(2)
    before, after = world.copy(world.row(price="0.503", tx=2))
    assert (before.limit_micros, after.limit_micros) == (510_000, 513_000)
