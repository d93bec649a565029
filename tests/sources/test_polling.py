"""The poller against a Data API with faults: each leader trade once, and no cursor ahead of what was recorded."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CopyConfig, Leader, LeaderPosition, SignalCursor
from copytrading.signals import DATA_API, ActionKind, GroupKey, LeaderAction, RepeatedRow, group_key
from copytrading.sources.base import Reading
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.live import Ear
from copytrading.sources.looks import PollingDoors, Replay
from copytrading.sources.polling import PollingSettings, PollingSource
from copytrading.sources.polls import PollPace
from copytrading.sources.stats import SourceStats
from execution.data_api import DataApi
from guardrails.models import GuardrailEvent
from ledger.system import SeededRandomness
from ledger.units import ONE
from tests.doors import BEGINNING, InlineDatabase, VirtualClock, outside_loop
from tests.factories import wallet
from tests.sources.data_api import CONDITION, TOKEN, DataApiDouble, refusing, trade

LENA = wallet("Lena")
NOW = int(BEGINNING.timestamp())


@dataclass(slots=True)
class WalkedSink:
    """Keeps for each group the largest total of a walk, as the intake does."""

    totals: dict[GroupKey, int] = field(default_factory=dict)
    offers: list[Sequence[Reading]] = field(default_factory=list)
    walks: list[str] = field(default_factory=list)
    open: dict[str, dict[GroupKey, int]] = field(default_factory=dict)
    fails: bool = False
    offered: asyncio.Event = field(default_factory=asyncio.Event)

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        assert complete
        if self.fails:
            raise RuntimeError("the database is gone")
        self.offers.append(readings)
        self.offered.set()
        sums = self.open.setdefault(walk, {})
        for each in readings:
            if isinstance(each, LeaderAction):
                key = group_key(each)
                sums[key] = sums.get(key, 0) + each.size_micros
                self.totals[key] = max(self.totals.get(key, 0), sums[key])

    async def end_walk(self, walk: str) -> None:
        del self.open[walk]
        self.walks.append(walk)

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        raise AssertionError

    def shares(self) -> list[int]:
        return sorted(size // ONE for size in self.totals.values())


@dataclass(slots=True)
class Bench:
    """A poller of Lena, heard since the beginning of the test, on virtual time."""

    double: DataApiDouble
    api: DataApi
    clock: VirtualClock = field(default_factory=VirtualClock)
    sink: WalkedSink = field(default_factory=WalkedSink)
    leaders: HeardLeaders = field(default_factory=HeardLeaders)
    stats: SourceStats = field(default_factory=lambda: SourceStats(DATA_API))

    def source(self, **replay: Any) -> PollingSource:
        ear = Ear(
            clock=self.clock, randomness=SeededRandomness(1), sink=self.sink, leaders=self.leaders, stats=self.stats
        )
        settings = PollingSettings(
            normal=PollPace(active_s=5, quiet_max_s=60),
            fast=PollPace(active_s=1, quiet_max_s=10),
            replay=Replay(**replay),
        )
        return PollingSource(PollingDoors(api=self.api, database=InlineDatabase()), ear, settings)

    def follow(self, *wallets: str, since: int = NOW) -> None:
        self.leaders.replace({each: BEGINNING + timedelta(seconds=since - NOW) for each in wallets})

    def happens(self, *rows: dict[str, Any]) -> None:
        self.double.rows += rows

    async def polls(self, source: PollingSource, times: int = 1) -> None:
        for _ in range(times):
            self.clock.advance(60)
            await source.run_once()

    def cursor(self) -> int | None:
        row = outside_loop(SignalCursor.objects.filter(source=DATA_API, key=LENA).first)
        return None if row is None else int(row.position) - NOW


@pytest.fixture
async def bench(lena: Leader, fay_config: CopyConfig) -> AsyncIterator[Bench]:
    clock = VirtualClock()
    double = DataApiDouble()
    serving: AbstractAsyncContextManager[DataApi] = double.serving(clock)
    async with serving as api:
        found = Bench(double, api, clock)
        found.follow(LENA)
        yield found


def events() -> list[tuple[str, int | None]]:
    return [(row.reason, row.value) for row in outside_loop(lambda: list(GuardrailEvent.objects.order_by("pk")))]


async def test_each_trade_is_offered_once_and_the_cursor_stands_at_the_newest(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW + 5, tx=1), trade(LENA, NOW + 7, tx=2))
    await bench.polls(bench.source(), times=3)
    assert bench.sink.shares() == [1_000, 1_000]
    assert len(bench.sink.offers) == 1
    assert bench.cursor() == 7
    assert not bench.sink.open
    assert len(set(bench.sink.walks)) == len(bench.sink.walks)


async def test_the_question_asks_for_everything_and_passes_every_cache(bench: Bench) -> None:
    await bench.polls(bench.source(), times=2)
    first, second = bench.double.queries()
    assert (first["user"], first["limit"], first["start"]) == (LENA, "1000", str(NOW))
    assert first["_"] != second["_"]
    assert "type" not in first


async def test_trades_are_asked_for_with_the_fills_of_resting_orders(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW + 5))
    await bench.polls(bench.source(trades_only=True))
    (query,) = bench.double.queries("trades")
    assert query["taker_only"] == "false"
    assert bench.sink.shares() == [1_000]


async def test_equal_rows_of_one_answer_are_separate_fills(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW + 5), trade(LENA, NOW + 5))
    await bench.polls(bench.source(), times=2)
    assert bench.sink.shares() == [2_000]


async def test_a_group_that_grew_is_offered_whole(bench: Bench) -> None:
    source = bench.source()
    bench.happens(trade(LENA, NOW + 5))
    await bench.polls(source)
    bench.happens(trade(LENA, NOW + 5))
    await bench.polls(source)
    assert bench.sink.shares() == [2_000]
    assert bench.stats.counts["duplicate"] == 0


async def test_a_late_row_behind_the_cursor_is_found(bench: Bench) -> None:
    source = bench.source()
    bench.happens(trade(LENA, NOW + 55, tx=1))
    await bench.polls(source)
    bench.happens(trade(LENA, NOW + 10, tx=2))
    await bench.polls(source)
    assert bench.sink.shares() == [1_000, 1_000]


async def test_a_new_leader_is_never_copied_from_history(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW - 1, tx=1), trade(LENA, NOW, tx=2))
    await bench.polls(bench.source())
    assert bench.double.queries()[0]["start"] == str(NOW)
    assert len(bench.sink.totals) == 1


async def test_everything_a_leader_can_do_comes_through(bench: Bench) -> None:
    redeem = {**trade(LENA, NOW + 5, tx=2), "type": "REDEEM", "side": "", "price": 0}
    reward = {**trade(LENA, NOW + 6, tx=3), "type": "REWARD", "condition_id": "", "token_id": ""}
    bench.happens(trade(LENA, NOW + 4), redeem, reward)
    source = bench.source()
    await bench.polls(source, times=2)
    (offered,) = bench.sink.offers
    kinds = [each.kind if isinstance(each, LeaderAction) else type(each).__name__ for each in offered]
    assert kinds == [ActionKind.TRADE, ActionKind.REDEEM, "OtherAction"]


async def test_rows_of_somebody_else_and_unreadable_ones_are_counted_once(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW + 5, price="nonsense"), trade(LENA, NOW + 6, tx=2))
    bench.double.always = lambda _request, page: {
        **page, "data": [*page["data"], trade(wallet("Luca"), NOW + 5, tx=3)]
    }  # fmt: skip
    await bench.polls(bench.source(), times=2)
    assert (bench.stats.counts["undecodable"], bench.stats.counts["foreign"]) == (1, 2)
    assert bench.sink.shares() == [1_000]


async def test_the_cursor_stays_when_its_rows_were_not_recorded(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW + 5))
    bench.sink.fails = True
    with pytest.raises(RuntimeError):
        await bench.polls(bench.source())
    assert bench.cursor() == 0
    bench.sink.fails = False
    await bench.polls(bench.source())
    assert (bench.sink.shares(), bench.cursor()) == ([1_000], 5)


async def test_a_long_history_is_read_by_time_and_no_page_cuts_a_transaction(bench: Bench) -> None:
    bench.double.page_max = 7
    for second in range(20):
        bench.happens(trade(LENA, NOW + second, tx=second), trade(LENA, NOW + second, tx=second))
    await bench.polls(bench.source())
    assert bench.sink.shares() == [2_000] * 20
    assert all("offset" not in query for query in bench.double.queries())
    assert bench.cursor() == 19


async def test_a_second_with_more_rows_than_a_page_is_read_by_cursor(bench: Bench) -> None:
    bench.double.page_max = 3
    bench.happens(*(trade(LENA, NOW + 5, tx=number) for number in range(8)), trade(LENA, NOW + 4, tx=99))
    await bench.polls(bench.source())
    assert bench.sink.shares() == [1_000] * 9


async def test_a_repeated_page_ends_the_walk_and_leaves_the_cursor(bench: Bench) -> None:
    bench.double.page_max = 3
    bench.happens(*(trade(LENA, NOW + number, tx=number) for number in range(9)))
    first: dict[str, Any] = {}
    bench.double.always = lambda _request, page: first.setdefault("page", page)
    source = bench.source()
    await bench.polls(source)
    assert bench.cursor() == 0
    assert source.outcomes["cut"] == 1
    assert sum(isinstance(each, RepeatedRow) for each in bench.sink.offers[0]) == 3
    assert bench.sink.shares() == [1_000] * 2
    bench.double.always = None
    await bench.polls(source)
    assert (bench.sink.shares(), bench.cursor()) == ([1_000] * 9, 8)


async def test_what_a_clamped_interface_never_shows_is_given_up_with_an_event(bench: Bench) -> None:
    bench.double.page_max = 3
    bench.happens(*(trade(LENA, NOW + number, tx=number) for number in range(9)))
    first: dict[str, Any] = {}
    bench.double.always = lambda _request, page: first.setdefault("page", page)
    await bench.polls(bench.source(), times=5)
    assert events() == [("HISTORY_MISSED", None)]
    assert bench.cursor() == 8


async def test_an_older_answer_moves_nothing_and_counts_as_no_sign_of_life(bench: Bench) -> None:
    source = bench.source()
    bench.happens(trade(LENA, NOW + 50, tx=1), trade(LENA, NOW + 58, tx=2))
    await bench.polls(source)
    fresh_ms = bench.stats.fresh_ms(bench.clock.monotonic_ms())
    bench.double.faults.append(lambda _request, page: {**page, "data": page["data"][1:]})
    await bench.polls(source)
    assert source.outcomes["stale"] == 1
    assert bench.cursor() == 58
    assert fresh_ms is not None
    assert bench.stats.fresh_ms(bench.clock.monotonic_ms()) == fresh_ms + 60_000


@pytest.mark.parametrize("status", [429, 500, 503, 425])
async def test_an_error_is_asked_again_and_nothing_is_lost(bench: Bench, status: int) -> None:
    bench.happens(trade(LENA, NOW + 5))
    bench.double.faults += [refusing(status)] * 2
    await bench.polls(bench.source())
    assert (bench.sink.shares(), bench.cursor()) == ([1_000], 5)


async def test_a_long_outage_only_delays(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW + 5))
    bench.double.always = refusing(503)
    source = bench.source()
    await bench.polls(source, times=2)
    assert (source.outcomes["failed"], bench.cursor()) == (2, 0)
    bench.double.always = None
    await bench.polls(source)
    assert (bench.sink.shares(), bench.cursor()) == ([1_000], 5)


async def test_a_restart_replays_from_the_cursor(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW + 5, tx=1))
    await bench.polls(bench.source())
    bench.happens(trade(LENA, NOW + 600, tx=2))
    bench.clock.advance(3_600)
    await bench.polls(bench.source())
    assert bench.sink.shares() == [1_000, 1_000]
    assert bench.cursor() == 600
    assert events() == []


async def test_what_is_older_than_is_replayed_is_counted_and_raised_once(bench: Bench, lena: Leader) -> None:
    outside_loop(
        LeaderPosition.objects.create, leader=lena, token_id=TOKEN, condition_id=CONDITION, size_micros=ONE, known=True
    )
    await bench.polls(bench.source())
    bench.happens(*(trade(LENA, NOW + 100 + number, tx=number) for number in range(3)))
    bench.happens(trade(LENA, NOW + 9_000, tx=9))
    bench.clock.advance(10_000)
    source = bench.source(age_max_s=3_600)
    await bench.polls(source, times=2)
    assert events() == [("HISTORY_MISSED", 3)]
    assert bench.stats.counts["missed"] == 3
    assert bench.sink.shares() == [1_000]
    assert not outside_loop(LeaderPosition.objects.get).known


async def test_a_leader_who_slept_is_no_incident(bench: Bench) -> None:
    await bench.polls(bench.source())
    bench.clock.advance(100_000)
    source = bench.source()
    await bench.polls(source, times=2)
    assert events() == []
    assert source.outcomes["whole"] == 2


async def test_more_than_is_replayed_keeps_the_newest_and_counts_the_rest(bench: Bench) -> None:
    bench.double.page_max = 4
    await bench.polls(bench.source())
    bench.happens(*(trade(LENA, NOW + 100 + number, tx=number) for number in range(12)))
    await bench.polls(bench.source(rows_max=5), times=2)
    assert len(bench.sink.totals) == 5
    assert events() == [("HISTORY_MISSED", 7)]
    assert bench.cursor() == 111


async def test_a_leader_nobody_follows_loses_the_cursor_and_begins_anew_later(bench: Bench) -> None:
    source = bench.source()
    await bench.polls(source)
    outside_loop(CopyConfig.objects.update, active=False)
    bench.follow()
    await bench.polls(source)
    assert bench.cursor() is None
    bench.happens(trade(LENA, NOW + 130, tx=1))
    outside_loop(CopyConfig.objects.update, active=True)
    bench.follow(LENA, since=NOW + 150)
    await bench.polls(source)
    assert (bench.cursor(), bench.sink.totals) == (150, {})


async def test_whom_another_source_heard_is_looked_at_at_once(bench: Bench) -> None:
    source = bench.source()
    await bench.polls(source, times=20)
    bench.clock.advance(30)
    assert await source.run_once() == 0
    source.heard(LENA)
    assert await source.run_once() == 1


async def test_it_polls_by_itself_and_stops_when_told(bench: Bench) -> None:
    bench.happens(trade(LENA, NOW, tx=1))
    stop = asyncio.Event()
    running = asyncio.create_task(bench.source().run(stop))
    async with asyncio.timeout(20):
        await bench.sink.offered.wait()
    stop.set()
    await running
    assert bench.sink.shares() == [1_000]
