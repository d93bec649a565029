"""One address never asks more than it may, alone or with other shards, and leaves a troubled host alone."""

import asyncio
from datetime import timedelta

import pytest

from execution.limits import Allowance, HostLimits, LimitSettings, Spacing, retry_after_s
from guardrails.stores.base import CounterStore, StoreDown
from guardrails.stores.memory import memory_stores
from ledger.system import SeededRandomness
from tests.doors import BEGINNING, VirtualClock

NOW_S = BEGINNING.timestamp()


class BrokenCounters:
    """`CounterStore` that is down."""

    async def add(self, name: str, amount: int, window_ms: int) -> int:
        raise StoreDown

    async def read(self, name: str) -> int:
        raise StoreDown


def limits(
    clock: VirtualClock, *, requests: int = 400, shards: int = 1, counters: CounterStore | None = None
) -> HostLimits:
    settings = LimitSettings(allowances=(Allowance(kind="activity", requests=requests),), shards=shards)
    return HostLimits(clock, SeededRandomness(1), host="data-api", settings=settings, counters=counters)


async def moments(clock: VirtualClock, asker: HostLimits, number: int) -> list[float]:
    found = []
    for _ in range(number):
        await asker.turn("activity")
        found.append(clock.monotonic_ms() / 1_000)
    return found


def most_in(moments: list[float], window_s: float) -> int:
    return max(sum(begin <= each < begin + window_s for each in moments) for begin in moments)


@pytest.mark.parametrize("requests", [1, 5, 200, 400])
def test_no_window_holds_more_than_the_spacing_grants(requests: int) -> None:
    usable = requests * 0.8
    spacing = Spacing(requests=usable * 0.9, window_s=10, burst=max(1.0, usable / 10))
    now, found = 0.0, []
    for _ in range(3 * requests):
        now += spacing.reserve(now)
        found.append(now / 1_000)
    assert most_in(found, 10) <= max(1, requests)


async def test_a_process_keeps_to_its_share_of_the_limit() -> None:
    clock = VirtualClock()
    found = await moments(clock, limits(clock), 1_000)
    assert most_in(found, 10) <= 320
    assert found[-1] < 1_000 / 32 * 1.2


async def test_without_a_store_shards_divide_the_limit() -> None:
    clock = VirtualClock()
    found = await moments(clock, limits(clock, shards=4), 300)
    assert most_in(found, 10) <= 80


async def test_shards_that_share_a_store_use_the_whole_limit_together() -> None:
    clock = VirtualClock()
    counters = memory_stores(clock, queue_max=1, reclaim_ms=1).counters
    shards = [limits(clock, shards=4, counters=counters) for _ in range(4)]
    found = await asyncio.gather(*(moments(clock, shard, 200) for shard in shards))
    together = sorted(each for own in found for each in own)
    assert most_in(together, 10) <= 400
    assert together[-1] - together[0] < 800 / 32 * 1.5


async def test_with_the_store_down_each_shard_keeps_to_its_part() -> None:
    clock = VirtualClock()
    found = await moments(clock, limits(clock, shards=4, counters=BrokenCounters()), 300)
    assert most_in(found, 10) <= 80


async def test_the_whole_host_is_left_alone_as_long_as_it_asks() -> None:
    clock = VirtualClock()
    asker = limits(clock)
    asker.answered(429, {"retry-after": "7"})
    assert asker.paused
    await asker.turn("activity")
    assert 7 <= clock.monotonic_ms() / 1_000 <= 8


async def test_errors_in_a_row_pause_longer_and_an_answer_ends_that() -> None:
    clock = VirtualClock()
    asker, pauses = limits(clock), []
    for _ in range(8):
        asker.answered(503, {})
        began = clock.monotonic_ms()
        await asker.turn("activity")
        pauses.append((clock.monotonic_ms() - began) / 1_000)
    assert max(pauses[:1]) <= 1 < max(pauses[4:]) <= 30
    asker.answered(200, {})
    asker.silent()
    began = clock.monotonic_ms()
    await asker.turn("activity")
    assert clock.monotonic_ms() - began <= 1_000


async def test_errors_of_requests_under_way_together_are_one_failure() -> None:
    clock = VirtualClock()
    asker = limits(clock)
    for _ in range(50):
        asker.answered(500, {})
    await asker.turn("activity")
    assert clock.monotonic_ms() <= 1_000


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": (BEGINNING + timedelta(seconds=9)).strftime("%a, %d %b %Y %H:%M:%S GMT")}, 9.0),
        ({"retry-after": (BEGINNING - timedelta(seconds=9)).strftime("%a, %d %b %Y %H:%M:%S GMT")}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 400}, None),
        ({}, None),
    ],
)
def test_a_pause_is_read_in_seconds_or_as_a_date(header: dict[str, str], seconds: float | None) -> None:
    assert retry_after_s(header, now_s=NOW_S) == seconds
