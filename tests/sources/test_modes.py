"""The watch over the activity stream: what it tells, and whom."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.db import OperationalError

from copytrading.hybrid import HybridTerms, Races
from copytrading.metrics import STREAM_DEGRADED
from copytrading.modes import RacingSink, StreamWatch, Watched
from copytrading.signals import ACTIVITY_TRADES, CHAIN_LOGS
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.stats import SourceStats
from guardrails.models import GuardrailEvent
from tests.doors import BEGINNING, InlineDatabase, VirtualClock, outside_loop
from tests.sources.test_hybrid import fill

pytestmark = pytest.mark.django_db

TERMS = HybridTerms(silent_ms=20_000, lag_max_ms=6_000, mute_ms=60_000)


class Away(InlineDatabase):
    """A database that is away as often as told."""

    def __init__(self) -> None:
        self.times = 0

    async def run(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        if self.times:
            self.times -= 1
            raise OperationalError
        return await super().run(work, *args, **kwargs)


class Desk:
    """A watch over a stream that does as it is told; also the feed and the poller."""

    def __init__(self) -> None:
        self.clock, self.leaders, self.database = VirtualClock(), HeardLeaders(), Away()
        self.leaders.replace({"0x" + "1e" * 20: BEGINNING})
        self.socket, self.chain = SourceStats(ACTIVITY_TRADES), SourceStats(CHAIN_LOGS)
        self.races, self.paces, self.lag = Races(lag_max_ms=TERMS.lag_max_ms), [], None
        watched = Watched(leaders=self.leaders, feed=self, socket=[self.socket], others=[self.chain], races=self.races)
        self.watch = StreamWatch(self.database, self.clock, watched, terms=TERMS, poller=self)

    paces: list[bool]
    lag: float | None

    def lag_ms(self, now_ms: float) -> float | None:
        return self.lag

    def pace(self, *, fast: bool) -> None:
        self.paces.append(fast)

    async def passes(self, seconds: int, *, socket: bool = True) -> None:
        for _second in range(seconds):
            if socket:
                self.socket.alive(self.clock.monotonic_ms())
            self.chain.alive(self.clock.monotonic_ms())
            await self.watch.run_once()
            self.clock.advance(1)


def events() -> list[tuple[Any, ...]]:
    rows = GuardrailEvent.objects.order_by("pk").values_list("reason", "value", "limit", "unit", "subject")
    return list(outside_loop(list, rows))


async def test_silence_is_told_once_and_polls_go_faster_until_it_has_been_well_for_a_while() -> None:
    desk = Desk()
    await desk.passes(5)
    await desk.passes(30, socket=False)
    assert desk.paces == [True]
    assert STREAM_DEGRADED._value.get() == 1
    await desk.passes(35)
    assert desk.paces == [True, False]
    assert STREAM_DEGRADED._value.get() == 0
    assert events() == [
        ("STREAM_DEGRADED", 20, 20, "seconds", "no fresh data"),
        ("STREAM_RECOVERED", None, None, "", "activity stream"),
    ]


async def test_an_old_feed_is_told_with_its_age() -> None:
    desk = Desk()
    desk.lag = 7_900.0
    await desk.passes(3)
    assert events() == [("STREAM_DEGRADED", 7, 6, "seconds", "its data are old")]


async def test_trades_that_the_chain_shows_long_before_the_stream_are_told() -> None:
    desk = Desk()
    await desk.passes(1)
    sink = RacingSink(_Nowhere(), desk.clock, desk.races)
    now = desk.clock.now()
    await sink.offer("w", [replace(fill(CHAIN_LOGS, tx=n), traded_at=now) for n in range(2)], complete=True)
    await desk.passes(7)
    assert events() == []
    await desk.passes(1)
    assert events() == [("STREAM_DEGRADED", 2, 2, "count", "others show trades first")]


async def test_a_change_waits_for_the_database() -> None:
    desk = Desk()
    desk.lag = 7_900.0
    desk.database.times = 3
    await desk.passes(3)
    assert events() == []
    await desk.passes(2)
    assert len(events()) == 1


async def test_without_leaders_nothing_is_told() -> None:
    desk = Desk()
    desk.leaders.replace({})
    await desk.passes(200, socket=False)
    assert (events(), desk.paces) == ([], [])


async def test_it_looks_every_second_until_stopped() -> None:
    desk, stop = Desk(), asyncio.Event()
    running = asyncio.create_task(desk.watch.run(stop))
    for _turn in range(50):
        await asyncio.sleep(0)
    stop.set()
    await running
    assert desk.clock.monotonic_ms() >= 3_000
    assert desk.watch.state.listening_ms == 0


class _Nowhere:
    async def offer(self, walk: str, readings: Any, *, complete: bool) -> None: ...

    async def end_walk(self, walk: str) -> None: ...

    async def withdraw(self, source: str, tx_hashes: Any) -> None: ...
