"""Who keeps books shares the connection of the market channel: what is heard, lost, and subscribed to anew."""

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

from copytrading.sources.market_events import MarketEvents
from tests.sources.stream import running, streaming
from tests.sources.test_market_events import DOWN, UP, Desk, tick


class Ear:
    """Keeps no books: remembers frames and what was lost, and finds what it is told to wrong."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.lost_tokens: list[set[int]] = []
        self.wrong: tuple[int, ...] = ()

    def heard(self, frame: bytes) -> tuple[int, ...]:
        self.frames.append(frame)
        wrong, self.wrong = self.wrong, ()
        return wrong

    def lost(self, tokens: Iterable[int]) -> None:
        self.lost_tokens.append(set(tokens))


@asynccontextmanager
async def listening_to_books() -> AsyncIterator[tuple[Desk, Ear]]:
    async with streaming() as stream:
        desk, ear = Desk(stream, (UP, DOWN)), Ear()
        desk.source = MarketEvents(replace(desk.source._doors, books=ear), desk.source._settings)
        async with running(desk.source.run):
            await stream.subscribed(1)
            yield desk, ear


AGAIN = [{"operation": word, "assets_ids": [str(UP)]} for word in ("unsubscribe", "subscribe")]


async def test_whoever_keeps_books_hears_every_frame_on_the_same_connection() -> None:
    async with listening_to_books() as (desk, ear):
        await desk.stream.send('{"event_type":"book"}', json.dumps(tick()))
        await desk.heard(1)
        assert len(ear.frames) == 2 and len(desk.stream.connections) == 1


async def test_a_book_that_proved_wrong_is_unsubscribed_before_it_is_subscribed_anew() -> None:
    async with listening_to_books() as (desk, ear):
        ear.wrong = (UP, 99)
        await desk.stream.send("{}")
        await desk.stream.until(lambda: len(desk.stream.said[0]) == 3)
        desk.source.again([99])
        desk.source.again([UP])
        await desk.stream.until(lambda: len(desk.stream.said[0]) == 5)
    assert [json.loads(text) for text in desk.stream.said[0][1:]] == AGAIN * 2


async def test_what_is_no_longer_subscribed_or_whose_connection_ended_is_lost() -> None:
    async with listening_to_books() as (desk, ear):
        desk.tokens.replace([DOWN])
        await desk.stream.until(lambda: len(desk.stream.said[0]) == 2)
        await desk.stream.connections[0].close()
        await desk.goes_by(10, lambda: len(desk.stream.connections) == 2 and bool(desk.stream.said[1]))
        assert ear.lost_tokens == [{UP}, {DOWN}]


async def test_a_connection_that_is_given_up_is_replaced() -> None:
    async with listening_to_books() as (desk, _ear):
        assert desk.source.hears(UP) and not desk.source.hears(99)
        desk.source.renew(UP)
        await desk.goes_by(10, lambda: len(desk.stream.connections) == 2 and bool(desk.stream.said[1]))
    assert desk.subscribed(1) == {UP, DOWN}
