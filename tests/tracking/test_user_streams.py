"""Connections of active accounts: opened, minded, made again, and closed; what they tell is written down."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest

from copytrading.accounts.doubts import Doubt
from copytrading.models import CopyTrade
from copytrading.queries import Shard
from copytrading.tracking.user_streams import (
    CLOSES,
    DOUBTED_AFTER,
    REFUSES,
    SILENT_S,
    StreamDoors,
    StreamSettings,
    UserStreams,
)
from execution.clob.credentials import Access, ApiCredentials
from execution.hosts import HostDown
from execution.models import VenueFill
from execution.ports import Unknown, VenueTrade
from execution.sockets import SocketDown
from ledger.system import SeededRandomness
from ledger.units import ONE
from tests.doors import outside_loop
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.tracking.trades import trade

pytestmark = pytest.mark.django_db

ACCESS = Access(
    credentials=ApiCredentials(address="0x" + "ab" * 20, api_key="key", secret="c2VjcmV0", passphrase="pass"),
    wallet="0x" + "ab" * 20,
    signer="0x" + "ab" * 20,
    signature_type=0,
)


class Line:
    """One connection: frames are put, and come out; what was sent is remembered."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.closed = False
        self.frames: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, text: str) -> None:
        self.sent.append(text)

    async def receive(self) -> bytes:
        frame = await self.frames.get()
        if frame is None:
            raise SocketDown("receive: ended")
        return frame

    async def close(self) -> None:
        self.closed = True


class Switchboard:
    """`Sockets` whose connections a test holds the other end of; `ends` those that end at once."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.refuses = self.ends = False

    async def open(self, url: str, *, timeout_s: float, ping_s: float | None = None) -> Line:
        if self.refuses:
            raise SocketDown("open: ConnectionRefusedError")
        line = Line()
        self.lines.append(line)
        if self.ends:
            line.frames.put_nowait(None)
        return line


class Book:
    async def of(self, follower_id: int) -> Access | None:
        return ACCESS


class Reader:
    """Reads a row as the trade that a test named by its id."""

    def __init__(self) -> None:
        self.trades: dict[str, VenueTrade] = {}
        self.fails = 0

    async def own_parts(self, rows: Sequence[Mapping[str, object]], access: Access) -> tuple[VenueTrade, ...]:
        if self.fails:
            self.fails -= 1
            raise HostDown("the fee is not known yet")
        return tuple(self.trades[str(row["id"])] for row in rows)


class Hearing:
    """The service on the world's engine, with both ends in hand."""

    def __init__(self, exchange: ExchangeWorld, *, most: int = 9, shard: Shard | None = None) -> None:
        self.exchange, self.board, self.reader = exchange, Switchboard(), Reader()
        self.doubts: list[tuple[int, Doubt]] = []
        doors = StreamDoors(
            database=exchange.engine.database,
            clock=exchange.clock,
            randomness=SeededRandomness(1),
            sockets=self.board,
            access=Book(),
            trades=self.reader,
            fills=exchange.engine.rescue.fills,
            doubt=lambda follower, doubt: self.doubts.append((follower, doubt)),
        )
        settings = StreamSettings(url="ws://venue", active_for=timedelta(minutes=10), connections_max=most)
        self.service = UserStreams(doors, settings, shard=shard or Shard())

    def run(self, story: Callable[[], Any]) -> None:
        """Play a story beside the connections, and close them."""

        async def play() -> None:
            try:
                await self.service.run_once()
                await story()
            finally:
                await self.service._end(list(self.service.connections))

        self.exchange.run(play)

    def tell(self, row: CopyTrade, status: str = "CONFIRMED", *, line: int = -1) -> None:
        """The venue tells of a trade of a copy's order."""
        name = f"{status}:{row.pk}"
        self.reader.trades[name] = trade(row, status=status)
        frame = json.dumps([{"event_type": "trade", "id": name}])
        self.board.lines[line].frames.put_nowait(frame.encode())

    async def until(self, condition: Callable[[], bool]) -> None:
        for _turn in range(5_000):
            if condition():
                return
            await asyncio.sleep(0)
        raise AssertionError("it did not come to that")


@pytest.fixture
def hearing(exchange: ExchangeWorld) -> Hearing:
    exchange.follower()
    exchange.copy(exchange.row())
    return Hearing(exchange)


def test_an_active_account_has_a_connection_that_says_who_it_is(hearing: Hearing) -> None:
    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines and hearing.board.lines[0].sent))

    hearing.run(story)
    (line,) = hearing.board.lines
    said = json.loads(line.sent[0])
    assert (said["type"], said["auth"]["apiKey"], line.closed) == ("user", "key", True)


def test_a_trade_that_is_heard_settles_its_copy(exchange: ExchangeWorld, hearing: Hearing) -> None:
    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.tell(row, "MATCHED")
        hearing.tell(row)
        await hearing.until(lambda: hearing.exchange.engine.tallies.copies["EXECUTED"] == 1)

    (row,) = exchange.trades()
    hearing.run(story)
    (row,) = exchange.trades()
    assert (row.status, row.fill_size_micros) == ("EXECUTED", 100 * ONE)


def test_a_connection_that_ends_is_made_again(exchange: ExchangeWorld, hearing: Hearing) -> None:
    (row,) = exchange.trades()

    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.board.lines[0].frames.put_nowait(None)
        await hearing.until(lambda: len(hearing.board.lines) == 2)
        hearing.tell(row)
        await hearing.until(lambda: hearing.exchange.engine.tallies.copies["EXECUTED"] == 1)

    hearing.run(story)
    assert (statuses(exchange), hearing.board.lines[0].closed) == (["EXECUTED"], True)


def test_a_connection_is_pinged_and_given_up_when_nothing_is_answered(hearing: Hearing) -> None:
    began = hearing.exchange.clock.now()

    async def story() -> None:
        await hearing.until(lambda: len(hearing.board.lines) == 2)

    hearing.run(story)
    assert hearing.board.lines[0].sent[1:3] == ["PING", "PING"]
    assert hearing.exchange.clock.now() - began >= timedelta(seconds=SILENT_S)


def test_answers_to_pings_keep_a_connection(hearing: Hearing) -> None:
    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        line = hearing.board.lines[0]
        for _ping in range(8):
            sent = len(line.sent)
            await hearing.until(lambda sent=sent: len(line.sent) > sent)  # type: ignore[misc]
            line.frames.put_nowait(b"PONG")

    hearing.run(story)
    assert len(hearing.board.lines) == 1


def test_a_venue_that_closes_at_once_again_and_again_raises_a_doubt_about_the_account(hearing: Hearing) -> None:
    hearing.board.ends = True

    async def story() -> None:
        await hearing.until(lambda: bool(hearing.doubts))

    hearing.run(story)
    assert len(hearing.board.lines) == DOUBTED_AFTER
    assert hearing.doubts == [(CopyTrade.objects.get().follower_id, CLOSES)]


def test_the_doubt_comes_back_while_the_venue_goes_on_closing_as_seldom_as_it_is_tried(hearing: Hearing) -> None:
    hearing.board.ends = True
    began = hearing.exchange.clock.now()

    async def story() -> None:
        await hearing.until(lambda: hearing.exchange.clock.now() > began + timedelta(minutes=30))

    hearing.run(story)
    assert 2 <= len(hearing.doubts) <= 60
    assert len(hearing.board.lines) // DOUBTED_AFTER == len(hearing.doubts)


def test_a_refusal_in_words_raises_the_doubt_at_once(hearing: Hearing) -> None:
    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.board.lines[0].frames.put_nowait(b'{"error": "Unauthorized/Invalid api key"}')
        await hearing.until(lambda: bool(hearing.doubts))

    hearing.run(story)
    assert hearing.doubts[0][1] == REFUSES


def test_an_event_of_a_new_kind_whose_token_holds_401_says_nothing_against_the_account(
    exchange: ExchangeWorld, hearing: Hearing
) -> None:
    (row,) = exchange.trades()
    event = {"event_type": "balance", "asset_id": "7132104567925221401", "timestamp": "1791220000000"}

    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.board.lines[0].frames.put_nowait(json.dumps(event).encode())
        hearing.tell(row)
        await hearing.until(lambda: hearing.exchange.engine.tallies.copies["EXECUTED"] == 1)

    hearing.run(story)
    assert (hearing.doubts, len(hearing.board.lines)) == ([], 1)


def test_a_server_that_is_away_says_nothing_against_the_account(hearing: Hearing) -> None:
    hearing.board.refuses = True
    began = hearing.exchange.clock.now()

    async def story() -> None:
        await hearing.until(lambda: hearing.exchange.clock.now() > began + timedelta(minutes=5))

    hearing.run(story)
    assert hearing.doubts == []


def test_a_trade_that_cannot_be_read_yet_is_read_again(exchange: ExchangeWorld, hearing: Hearing) -> None:
    (row,) = exchange.trades()
    hearing.reader.fails = 2

    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.tell(row)
        await hearing.until(lambda: hearing.exchange.engine.tallies.copies["EXECUTED"] == 1)

    hearing.run(story)
    assert statuses(exchange) == ["EXECUTED"]


def test_an_order_that_is_over_is_asked_about_at_once(exchange: ExchangeWorld, hearing: Hearing) -> None:
    (row,) = exchange.trades()
    CopyTrade.objects.update(next_retry_at=exchange.clock.now() + timedelta(hours=1))
    frame = {"event_type": "order", "id": row.order_hash, "type": "CANCELLATION", "status": "CANCELED"}

    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.board.lines[0].frames.put_nowait(json.dumps(frame).encode())
        for _turn in range(200):
            await asyncio.sleep(0)

    hearing.run(story)
    row.refresh_from_db()
    assert row.next_retry_at is not None and row.next_retry_at <= exchange.clock.now()


def test_a_trade_of_an_order_whose_answer_was_lost_has_it_asked_about_at_once(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.exchange.answer = Unknown(detail="lost")
    (row,) = exchange.copy(exchange.row())
    CopyTrade.objects.update(next_retry_at=exchange.clock.now() + timedelta(hours=1))
    hearing = Hearing(exchange)

    def asked_at() -> Any:
        return outside_loop(lambda: CopyTrade.objects.get().next_retry_at)

    async def story() -> None:
        await hearing.until(lambda: bool(hearing.board.lines))
        hearing.tell(row, "MATCHED")
        await hearing.until(lambda: asked_at() <= exchange.clock.now())

    hearing.run(story)
    assert (statuses(exchange), VenueFill.objects.count()) == (["UNKNOWN"], 1)
    exchange.rescue()
    assert statuses(exchange) == ["MATCHED"]


def test_connections_are_bounded_and_those_of_quiet_accounts_are_closed(exchange: ExchangeWorld) -> None:
    for name in ("Fay", "Fred", "Gina"):
        exchange.follower(name)
    rows = exchange.copy(exchange.row())
    hearing = Hearing(exchange, most=2)

    async def story() -> None:
        await hearing.until(lambda: len(hearing.board.lines) == 2)
        for row in rows:
            await hearing.exchange.engine.rescue.fills.note([trade(row, name=f"t{row.pk}")])
        exchange.clock.advance(601)
        await hearing.service.run_once()

    hearing.run(story)
    assert (len(hearing.board.lines), [line.closed for line in hearing.board.lines]) == (2, [True, True])
    assert hearing.service.connections == frozenset()
