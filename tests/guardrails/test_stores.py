"""One suite for the stores in memory and on a real Redis."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from redis import Redis

from guardrails.stores.base import StoreDown, Stores
from guardrails.stores.memory import memory_stores
from guardrails.stores.redis import redis_stores
from ledger.system import SystemClock

SHORT_MS = 30
"""Real time, because Redis keeps its own; short, and only where a verb's promise is about waiting."""


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    """Empty stores with room for three items."""
    if request.param == "memory":
        made = memory_stores(SystemClock(), queue_max=3, reclaim_ms=SHORT_MS, dedup_ttl_ms=SHORT_MS)
    else:
        url = request.getfixturevalue("redis_url")
        made = redis_stores(url, "test-stores", queue_max=3, reclaim_ms=SHORT_MS, dedup_ttl_ms=SHORT_MS)
    await made.clear()
    await made.queue.take(1, wait_ms=1)
    yield made
    await made.clear()
    await made.close()


async def take(stores: Stores, number: int = 10) -> list[str]:
    return [taken.item for taken in await stores.queue.take(number, wait_ms=5)]


async def test_items_come_out_in_the_order_they_went_in(stores: Stores) -> None:
    assert await stores.queue.add(["a", "b", "c"]) == 3
    assert await take(stores, 2) == ["a", "b"]
    assert await take(stores) == ["c"]


async def test_the_bound_is_checked_at_the_add_and_nothing_is_trimmed(stores: Stores) -> None:
    assert await stores.queue.add(["a", "b", "c", "d"]) == 3
    assert await stores.queue.add(["d"]) == 0
    assert await take(stores) == ["a", "b", "c"]


async def test_a_taken_item_keeps_its_room_until_it_is_done(stores: Stores) -> None:
    await stores.queue.add(["a", "b", "c"])
    taken = await stores.queue.take(3, wait_ms=5)
    assert (await stores.queue.size(), await stores.queue.add(["d"])) == (3, 0)
    await stores.queue.done([taken[0].receipt])
    assert (await stores.queue.size(), await stores.queue.add(["d"])) == (2, 1)


async def test_an_item_that_is_there_is_not_added_twice(stores: Stores) -> None:
    await stores.queue.add(["a"])
    assert await stores.queue.add(["a", "b"]) == 2
    taken = await stores.queue.take(10, wait_ms=5)
    assert [each.item for each in taken] == ["a", "b"]
    assert await stores.queue.add(["a"]) == 1
    assert await stores.queue.size() == 2


async def test_an_item_that_is_done_may_come_again(stores: Stores) -> None:
    await stores.queue.add(["a"])
    (taken,) = await stores.queue.take(1, wait_ms=5)
    await stores.queue.done([taken.receipt])
    await stores.queue.add(["a"])
    assert await take(stores) == ["a"]


async def test_what_a_dead_taker_held_is_given_out_again(stores: Stores) -> None:
    await stores.queue.add(["a"])
    assert await take(stores) == ["a"]
    assert await take(stores) == []
    await SystemClock().sleep(2 * SHORT_MS / 1_000)
    assert await take(stores) == ["a"]


async def test_a_taker_waits_for_an_item_that_comes_later(stores: Stores) -> None:
    waiting = asyncio.create_task(stores.queue.take(1, wait_ms=900))
    await SystemClock().sleep(0.02)
    await stores.queue.add(["a"])
    assert [taken.item for taken in await waiting] == ["a"]


async def test_remembered_totals_are_only_raised(stores: Stores) -> None:
    await stores.dedup.remember({"x": 5})
    await stores.dedup.remember({"x": 3, "y": 1})
    assert await stores.dedup.known(["x", "y", "z"]) == [5, 1, None]


async def test_remembered_totals_expire(stores: Stores) -> None:
    await stores.dedup.remember({"x": 5})
    await SystemClock().sleep(2 * SHORT_MS / 1_000)
    assert await stores.dedup.known(["x"]) == [None]


async def test_the_cache_keeps_bytes_for_a_while(stores: Stores) -> None:
    await stores.cache.set("k", b"\x00v", ttl_ms=SHORT_MS)
    assert await stores.cache.get("k") == b"\x00v"
    await SystemClock().sleep(2 * SHORT_MS / 1_000)
    assert await stores.cache.get("k") is None


async def test_counters_sum_over_a_window(stores: Stores) -> None:
    assert await stores.counters.add("n", 2, window_ms=SHORT_MS) == 2
    assert await stores.counters.add("n", 3, window_ms=SHORT_MS) == 5
    assert await stores.counters.read("n") == 5
    await SystemClock().sleep(2 * SHORT_MS / 1_000)
    assert await stores.counters.read("n") == 0


async def test_a_wake_up_reaches_the_next_who_waits_once(stores: Stores) -> None:
    await stores.wake_up.wake("w")
    await stores.wake_up.wake("w")
    assert await stores.wake_up.wait("w", timeout_ms=50) is True
    assert await stores.wake_up.wait("w", timeout_ms=10) is False


@pytest.fixture
def flushed(redis_url: str) -> Iterator[Any]:
    """Empties the server, as an operator's mistake would."""
    client = Redis.from_url(redis_url)
    yield client.flushall
    client.close()


@pytest.mark.redis
async def test_a_flushed_redis_is_an_empty_queue_that_works_again(redis_url: str, flushed: Any) -> None:
    stores = redis_stores(redis_url, "test-flush", queue_max=3, reclaim_ms=SHORT_MS)
    await stores.queue.add(["a"])
    flushed()
    assert await take(stores) == []
    await stores.queue.add(["a"])
    assert await take(stores) == ["a"]
    await stores.close()


@pytest.mark.redis
async def test_a_redis_that_is_gone_is_store_down_without_its_address() -> None:
    stores = redis_stores("redis://:hunter2@127.0.0.1:1/0", "test-gone", queue_max=3, reclaim_ms=SHORT_MS)
    with pytest.raises(StoreDown) as caught:
        await stores.queue.size()
    assert "hunter2" not in str(caught.value)
    await stores.close()
