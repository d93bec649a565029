"""Shedding load: the steps, when they are taken and taken back, and what the engine does at each."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.metrics import SHEDDING_LEVEL
from copytrading.models import Signal
from copytrading.queries import Shard
from copytrading.shedder import Shedder, ShedSettings
from copytrading.shedding import Level, Load, ShedBounds, Window, next_load
from copytrading.signalqueue import SignalQueue, SignalQueueSettings
from guardrails.models import GuardrailEvent
from guardrails.stores.memory import memory_stores
from tests.doors import InlineDatabase, VirtualClock
from tests.factories import SignalFactory

BOUNDS = ShedBounds(depth_max=100, lag_ms_max=1_000, healthy_windows=3)
CALM, DEEP, LATE = Window(depth=50, lag_ms=499), Window(depth=101, lag_ms=0), Window(depth=1, lag_ms=1_000)
BETWEEN = Window(depth=100, lag_ms=0)


def levels(*windows: Window, bounds: ShedBounds = BOUNDS) -> list[int]:
    """The level after each window."""
    load, found = Load(), []
    for window in windows:
        load = next_load(load, window, bounds)
        found.append(int(load.level))
    return found


@pytest.mark.parametrize(
    ("windows", "told"),
    [
        ([CALM, BETWEEN], [0, 0]),
        ([DEEP], [1]),
        ([LATE], [1]),
        ([DEEP, LATE, DEEP, DEEP], [1, 2, 3, 3]),
        ([DEEP, CALM, CALM, CALM, CALM], [1, 1, 1, 0, 0]),
        ([DEEP, CALM, CALM, BETWEEN, CALM, CALM, CALM], [1, 1, 1, 1, 1, 1, 0]),
        ([DEEP, DEEP, *[CALM] * 6], [1, 2, 2, 2, 1, 1, 1, 0]),
        ([DEEP, CALM, CALM, DEEP], [1, 1, 1, 2]),
    ],
)
def test_level_after_each_window(windows: list[Window], told: list[int]) -> None:
    assert levels(*windows) == told


@pytest.mark.parametrize(("bound", "window"), [("depth_max", DEEP), ("lag_ms_max", LATE)])
def test_bound_of_zero_bounds_nothing(bound: str, window: Window) -> None:
    kept = {"depth_max": 100, "lag_ms_max": 1_000, "healthy_windows": 3, bound: 0}
    assert levels(window, bounds=ShedBounds(**kept)) == [0]


@given(st.lists(st.sampled_from([CALM, DEEP, LATE, BETWEEN])))
def test_one_window_is_one_step_at_most_and_calm_always_ends_it(windows: list[Window]) -> None:
    told = [0, *levels(*windows, *[CALM] * 9)]
    assert all(abs(later - earlier) <= 1 for earlier, later in pairwise(told))
    assert told[-1] == 0


class Heard:
    """What the engine was told."""

    def __init__(self) -> None:
        self.fan_out: list[int | None] = []
        self.mempool: list[bool] = []

    def limit_fan_out(self, copies: int | None) -> None:
        self.fan_out.append(copies)


class Watched:
    """A shedder on the database, and the queue it tells."""

    def __init__(self) -> None:
        self.clock, self.heard = VirtualClock(), Heard()
        database, stores = InlineDatabase(), memory_stores(self.clock, queue_max=9, reclaim_ms=1_000)
        settings = SignalQueueSettings(queue_max=9, reclaim_ms=1_000)
        self.queue = SignalQueue(stores.queue, database, self.clock, shard=Shard(), settings=settings)
        shed = ShedSettings(
            bounds=ShedBounds(depth_max=2, lag_ms_max=10_000, healthy_windows=2),
            fan_out=50,
            entry_age=timedelta(seconds=20),
        )
        self.shedder = Shedder(database, self.clock, shard=Shard(), settings=shed, queue=self.queue)
        self.shedder.fan_outs = [self.heard]
        self.shedder.mempool = self.heard.mempool.append

    def signals(self, count: int, *, age_s: int = 1, **more: Any) -> None:
        detected_at = self.clock.now() - timedelta(seconds=age_s)
        SignalFactory.create_batch(count, done_at=None, detected_at=detected_at, **more)

    def windows(self, count: int) -> None:
        async def look() -> None:
            for _ in range(count):
                await self.shedder.run_once()

        asyncio.run(look())


@pytest.fixture
def watched(db: None) -> Iterator[Watched]:
    yield Watched()
    SHEDDING_LEVEL.set(0)


def test_each_step_is_applied_and_taken_back(watched: Watched) -> None:
    watched.signals(3)
    watched.windows(3)
    assert (watched.heard.fan_out, watched.heard.mempool) == ([50, 50, 50], [False])
    assert watched.queue.entries_since == watched.clock.now() - timedelta(seconds=20)
    assert SHEDDING_LEVEL._value.get() == 3
    Signal.objects.update(done_at=watched.clock.now())
    watched.windows(6)
    assert (watched.heard.fan_out[-1], watched.heard.mempool) == (None, [False, True])
    assert (watched.queue.entries_since, SHEDDING_LEVEL._value.get()) == (None, 0)


def test_beginning_and_end_are_one_event_each(watched: Watched) -> None:
    watched.signals(3)
    watched.windows(5)
    Signal.objects.update(done_at=watched.clock.now())
    watched.windows(7)
    told = GuardrailEvent.objects.order_by("pk").values_list("reason", "value", "limit", "unit")
    assert list(told) == [("LOAD_SHED", 3, 2, "count"), ("LOAD_NORMAL", 0, 2, "count")]


def test_lag_is_the_age_at_which_the_oldest_twentieth_begins(watched: Watched) -> None:
    watched.signals(1, age_s=15)
    watched.windows(1)
    told = GuardrailEvent.objects.values_list("reason", "value", "limit", "unit")
    assert list(told) == [("LOAD_SHED", 15, 10, "seconds")]


def test_what_is_put_off_does_not_keep_the_load_up(watched: Watched) -> None:
    watched.signals(5, age_s=30)
    watched.windows(3)
    assert watched.shedder.load.level is Level.NO_OLD_ENTRIES
    watched.windows(2)
    assert watched.shedder.load.level is Level.NO_MEMPOOL


def test_old_exits_keep_counting(watched: Watched) -> None:
    watched.signals(5, age_s=30, side="SELL")
    watched.windows(8)
    assert watched.shedder.load.level is Level.NO_OLD_ENTRIES
