import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest

from copytrading.signals import (
    ACTIVITY_ORDERS_MATCHED,
    ACTIVITY_TRADES,
    LeaderAction,
    Unreadable,
)
from copytrading.sources.activity import ActivityDoors, ActivitySource
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.line import ActivitySettings
from copytrading.sources.live import Ear
from copytrading.sources.stats import SourceStats
from execution.sockets import WebSockets
from ledger.system import SeededRandomness
from tests.sources.stream import (
    LENA,
    NOW_MS,
    STRANGER,
    HandClock,
    Stream,
    Sunk,
    frame,
    running,
    settle,
    streaming,
)

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


class Hearing:
    """A source that hears for Lena's followers, and everything around it."""

    def __init__(self, stream: Stream, **settings: Any) -> None:
        self.stream, self.sink, self.clock, self.leaders = stream, Sunk(), HandClock(), HeardLeaders()
        self.leaders.replace({LENA: SINCE})
        self.trades, self.matched = SourceStats(ACTIVITY_TRADES), SourceStats(ACTIVITY_ORDERS_MATCHED)
        ear = Ear(
            clock=self.clock,
            randomness=SeededRandomness(1),
            sink=self.sink,
            leaders=self.leaders,
            stats=self.trades,
        )
        doors = ActivityDoors(sockets=WebSockets(), matched=self.matched)
        self.source = ActivitySource(doors, ear, ActivitySettings(url=stream.url, **settings))

    @property
    def actions(self) -> list[LeaderAction]:
        """What was offered."""
        return [reading for _walk, reading in self.sink.offered if isinstance(reading, LeaderAction)]

    @property
    def walks(self) -> list[str]:
        """The walk of each row that was offered."""
        return [walk for walk, _reading in self.sink.offered]

    async def heard(self, number: int) -> None:
        """Wait until so many rows were offered."""
        await self.sink.until(lambda: len(self.sink.offered) >= number)

    async def all_read(self, to: int = -1) -> None:
        """Everything sent so far has been read: a row of Lena's comes after it, and is taken away again."""
        self._marks = getattr(self, "_marks", 0) + 1
        mark = f"0x{self._marks:064x}"
        await self.stream.send(frame(LENA, transactionHash=mark), to=to)
        await self.sink.until(lambda: any(getattr(each, "tx_hash", "") == mark for _w, each in self.sink.offered))
        self.sink.offered = [each for each in self.sink.offered if getattr(each[1], "tx_hash", "") != mark]

    async def goes_by(self, seconds: float, until: Any) -> None:
        """Move the clock until something holds, at most so long; the loop's turns carry the sockets."""
        for _step in range(int(seconds * 2)):
            if until():
                return
            await self.clock.advance(0.5)
            for _turn in range(30):
                await settle()
        assert until()


@asynccontextmanager
async def hearing(**settings: Any) -> AsyncIterator[Hearing]:
    async with streaming() as stream:
        made = Hearing(stream, **settings)
        async with running(made.source.run):
            await stream.subscribed(1)
            yield made


async def test_it_subscribes_to_both_types_of_the_whole_feed() -> None:
    async with hearing() as h:
        (said,) = h.stream.said[0]
    kinds = [(each["topic"], each["type"]) for each in json.loads(said)["subscriptions"]]
    assert json.loads(said)["action"] == "subscribe"
    assert kinds == [("activity", "trades"), ("activity", "orders_matched")]
    assert "filters" not in said


async def test_a_followed_wallets_rows_are_offered_under_the_label_of_their_type() -> None:
    async with hearing() as h:
        await h.stream.send(frame(LENA.upper().replace("X", "x")), frame(LENA, kind="orders_matched"))
        await h.heard(2)
    assert [action.source for action in h.actions] == [ACTIVITY_TRADES, ACTIVITY_ORDERS_MATCHED]
    assert {action.wallet for action in h.actions} == {LENA}
    assert len(set(h.walks)) == 1


async def test_a_strangers_rows_are_counted_and_dropped() -> None:
    async with hearing() as h:
        await h.stream.send(*[frame(STRANGER, sent_ms=n) for n in range(30)])
        await h.stream.send(*[frame(STRANGER, kind="orders_matched", sent_ms=n) for n in range(5)])
        await h.stream.send(frame(STRANGER, name=LENA))
        await h.all_read()
    assert h.actions == []
    assert (h.trades.counts["foreign"], h.matched.counts["foreign"]) == (31, 5)
    assert (h.trades.counts["received"], h.matched.counts["received"]) == (32, 5)


async def test_without_the_filter_every_frame_is_measured_and_only_followed_wallets_go_on() -> None:
    async with hearing(filter_by_address=False) as h:
        await h.stream.send(*[frame(STRANGER, sent_ms=n) for n in range(30)], *[frame(STRANGER, sent_ms=0)] * 3)
        await h.stream.send(*[frame(STRANGER, price="x", sent_ms=n) for n in range(20)])
        await h.all_read()
    assert h.actions == []
    counts = h.trades.counts
    assert [counts[kind] for kind in ("foreign", "duplicate", "undecodable")] == [30, 3, 20]


async def test_the_same_frame_twice_is_a_duplicate_and_another_envelope_time_is_another_fill() -> None:
    async with hearing() as h:
        await h.stream.send(frame(LENA), frame(LENA), frame(LENA, sent_ms=NOW_MS + 1))
        await h.all_read()
    assert len(h.actions) == 2
    assert h.trades.counts["duplicate"] == 1


async def test_a_frame_shown_again_by_the_next_connection_is_counted_and_belongs_to_the_next_walk() -> None:
    async with hearing() as h:
        await h.stream.send(frame(LENA))
        await h.heard(1)
        await h.stream.connections[0].close()
        await h.goes_by(10, lambda: len(h.stream.connections) == 2 and bool(h.stream.said[1]))
        await h.stream.send(frame(LENA), frame(LENA))
        await h.all_read()
    assert len(h.actions) == 2 and len(set(h.walks)) == 2
    assert h.trades.counts["duplicate"] == 2
    assert sorted(h.sink.ended) == sorted(set(h.walks))


async def test_a_type_nobody_knows_is_heard_in_a_walk_of_its_own() -> None:
    async with hearing() as h:
        await h.stream.send(frame(LENA), frame(LENA, kind="trades_v2"))
        await h.heard(2)
    assert len(set(h.walks)) == 2
    assert sorted(h.sink.ended) == sorted(set(h.walks))


async def test_what_cannot_be_read_of_a_followed_wallet_is_told() -> None:
    async with hearing() as h:
        await h.stream.send(frame(LENA, price="NaN"), frame(LENA)[:-30])
        await h.all_read()
    assert [type(reading) for _walk, reading in h.sink.offered] == [Unreadable]
    assert h.trades.counts["undecodable"] == 2


@pytest.mark.parametrize("text", ["", "PONG", "[]", '{"message":"hello"}', '{"type":"x","payload":{}}', "{"])
async def test_what_is_no_trade_is_nothing(text: str) -> None:
    async with hearing() as h:
        await h.stream.send(text)
        await h.all_read()
    assert (h.actions, h.trades.counts["received"], len(h.stream.connections)) == ([], 1, 1)


async def test_it_pings_every_five_seconds() -> None:
    async with hearing() as h:
        for _second in range(21):
            await h.all_read()
            await h.clock.advance(1)
        await h.stream.until(lambda: h.stream.said[0].count("PING") >= 4)
    assert h.stream.said[0].count("PING") == 4
    assert len(h.stream.connections) == 1


async def test_fifteen_seconds_without_data_are_answered_by_another_connection() -> None:
    async with hearing() as h:
        await h.all_read()
        await h.clock.advance(14)
        await h.stream.send("", "PONG")
        assert len(h.stream.connections) == 1
        await h.goes_by(5, lambda: len(h.stream.connections) == 2 and bool(h.stream.said[1]))
        await h.all_read()
    assert h.sink.ended == ["activity:1", "activity:2"]


async def test_a_refused_subscription_is_said_and_tried_again(capfd: pytest.CaptureFixture[str]) -> None:
    async with hearing() as h:
        await h.stream.send('{"body":{"message":"unknown topic"},"statusCode":401}')
        await h.goes_by(10, lambda: len(h.stream.connections) == 2 and bool(h.stream.said[1]))
    assert "401 unknown topic" in capfd.readouterr().err


async def test_tries_that_fail_come_further_and_further_apart_up_to_the_cap() -> None:
    async with hearing(backoff_max_s=8.0) as h:
        times: list[float] = []
        for number in range(1, 12):
            await h.stream.connections[-1].close()
            await h.goes_by(20, lambda n=number: len(h.stream.connections) > n and bool(h.stream.said[n]))
            times.append(h.clock.monotonic_ms() / 1_000)
    waits = [after - before for before, after in pairwise(times)]
    assert max(waits) <= 9.5 and max(waits[:2]) < 3 < max(waits)


async def test_only_fresh_data_are_a_sign_of_life() -> None:
    async with hearing() as h:
        await h.stream.send(frame(LENA, timestamp=NOW_MS // 1_000 - 3_600))
        await h.heard(1)
        assert h.trades.fresh_ms(h.clock.monotonic_ms()) is None
        assert (h.source.lag_ms(h.clock.monotonic_ms()) or 0) >= 3_600_000
        await h.stream.send(frame(STRANGER))
        await h.all_read()
        await h.clock.advance(3)
    assert h.trades.fresh_ms(h.clock.monotonic_ms()) == 3_000
    assert h.matched.fresh_ms(h.clock.monotonic_ms()) is None


async def test_a_strangers_frames_keep_the_source_alive() -> None:
    async with hearing() as h:
        await h.stream.send(*[frame(STRANGER, sent_ms=n, timestamp=1_700_000_000) for n in range(50)])
        await h.all_read()
        await h.clock.advance(2)
        await h.stream.send(frame(STRANGER, kind="orders_matched"))
        await h.all_read()
    assert h.matched.fresh_ms(h.clock.monotonic_ms()) == 0


async def test_an_hour_old_feed_is_offered_and_another_connection_is_tried_beside_it() -> None:
    old = frame(LENA, timestamp=NOW_MS // 1_000 - 3_600)
    async with hearing(stale_s=20.0) as h:
        sent = 0
        while len(h.stream.connections) < 2:
            sent += 1
            assert sent < 60
            await h.stream.send(old.replace(str(NOW_MS), str(NOW_MS + sent)), to=0)
            await h.heard(sent)
            await h.clock.advance(1)
        await h.stream.subscribed(2)
        await h.stream.send(old, to=1)
        await h.heard(sent + 1)
        await h.goes_by(4, lambda: h.stream.connections[0].close_code is not None)
    assert sent >= 20 and len(h.actions) == sent + 1


async def test_before_a_connection_is_old_the_next_one_is_heard() -> None:
    async with hearing(renew_least_s=10.0, renew_most_s=12.0) as h:
        for _second in range(14):
            await h.all_read(to=0)
            await h.clock.advance(1)
        await h.stream.subscribed(2)
        assert h.stream.connections[0].close_code is None
        await h.stream.send(frame(LENA), to=0)
        await h.stream.send(frame(LENA), to=1)
        await h.heard(2)
        await h.stream.send(frame(LENA, sent_ms=NOW_MS + 1), to=0)
        await h.heard(3)
        await h.goes_by(4, lambda: h.stream.connections[0].close_code is not None)
        await h.all_read()
    assert sorted(h.walks) == ["activity:1", "activity:1", "activity:2"]
    assert h.sink.ended == ["activity:1", "activity:2"]


async def test_a_next_connection_that_stays_mute_replaces_nobody() -> None:
    async with hearing(renew_least_s=5.0, renew_most_s=6.0, handover_s=3.0) as h:
        for _second in range(12):
            await h.all_read(to=0)
            await h.clock.advance(1)
        await h.stream.until(lambda: len(h.stream.connections) > 1)
        await h.all_read(to=0)
        assert h.stream.connections[0].close_code is None


async def test_without_leaders_nothing_is_subscribed_and_the_last_one_gone_ends_it() -> None:
    async with streaming() as stream:
        h = Hearing(stream)
        h.leaders.replace({})
        async with running(h.source.run):
            await settle()
            assert stream.connections == []
            h.leaders.replace({LENA: SINCE})
            await stream.subscribed(1)
            h.leaders.replace({})
            await stream.until(lambda: stream.connections[0].close_code is not None)
            h.leaders.replace({STRANGER: SINCE})
            await stream.subscribed(2)
            await stream.send(frame(LENA), frame(STRANGER))
            await h.heard(1)
    assert [action.wallet for action in h.actions] == [STRANGER]


async def test_who_is_followed_from_now_on_is_heard_on_the_open_connection() -> None:
    async with hearing() as h:
        await h.stream.send(*[frame(STRANGER, sent_ms=n) for n in range(20)])
        await h.all_read()
        h.leaders.replace({LENA: SINCE, STRANGER: SINCE})
        await h.stream.send(frame(STRANGER))
        await h.heard(1)
    assert len(h.stream.connections) == 1


async def test_a_server_that_is_away_is_no_reason_to_fail() -> None:
    async with streaming() as stream:
        h = Hearing(stream)
    async with running(h.source.run):
        await h.clock.advance(30)
    assert h.sink.offered == []


async def test_a_bug_in_the_sink_ends_the_source() -> None:
    async def broken(*_arguments: object, **_named: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with hearing() as h:
            h.sink.offer = broken  # type: ignore[method-assign]
            await h.stream.send(frame(LENA))
            await h.stream.until(lambda: h.stream.connections[0].close_code is not None)
