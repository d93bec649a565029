"""What guardrails/stores/base.py promises, asked of the memory stores and of the real Redis alike."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from guardrails.stores.base import Bounds, QueueStore, Stores, Taken
from guardrails.stores.memory import memory_stores
from guardrails.stores.redis import VERB_KEYS_MAX
from tests.doors import VirtualClock
from tests.guardrails.test_redis_faults import (
    LONG_MS,
    MINUTE_MS,
    POLLS_MAX,
    RECLAIM_MS,
    ROOMY,
    OnRedis,
    items,
    receipts,
)

BOUNDS = Bounds(dedup_max=3, dedup_ttl_ms=MINUTE_MS, cache_max=3, counters_max=3)
STEADY_TURNS = 5


class HeldClock(VirtualClock):
    """Sleeps end only when the time is moved on: whoever goes on earlier was woken."""

    def __init__(self) -> None:
        super().__init__()
        self.sleepers: list[asyncio.Future[None]] = []

    async def sleep(self, seconds: float) -> None:
        ends_at_ms = self.monotonic_ms() + seconds * 1000
        while self.monotonic_ms() < ends_at_ms:
            self.sleepers.append(asyncio.get_running_loop().create_future())
            await self.sleepers[-1]

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        for sleeper in self.sleepers:
            if not sleeper.done():
                sleeper.set_result(None)
        self.sleepers.clear()


class InMemory:
    """Memory stores on a clock that the test moves."""

    def __init__(self) -> None:
        self.clock = HeldClock()

    def stores(self, **how: Any) -> Stores:
        return memory_stores(self.clock, reclaim_ms=RECLAIM_MS, **{"queue_max": 10, "bounds": ROOMY, **how})

    async def pass_ms(self, ms: int) -> None:
        self.clock.advance(ms / 1000)

    async def until_waiting(self) -> None:
        """Somebody waits, and still does some turns of the loop later."""
        turns = 0
        for _ in range(POLLS_MAX):
            await asyncio.sleep(0)
            turns = turns + 1 if any(not sleeper.done() for sleeper in self.clock.sleepers) else 0
            if turns == STEADY_TURNS:
                return
        raise AssertionError("nobody waits")

    async def let_wait_end(self, ms: int) -> None:
        await self.until_waiting()
        await self.pass_ms(ms)

    async def close(self) -> None:
        """Nothing is left."""


Backend = InMemory | OnRedis


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    if request.param == "memory":
        made: Backend = InMemory()
    else:
        # The name's brackets are pattern characters to Redis: clearing must take them as they are.
        made = OnRedis(request.getfixturevalue("redis_url"), f"suite:{request.node.name}")
    yield made
    await made.close()


@pytest.fixture
def stores(backend: Backend) -> Stores:
    return backend.stores()


@pytest.fixture
def queue(stores: Stores) -> QueueStore:
    return stores.queue


async def test_items_come_in_the_order_they_were_added(queue: QueueStore) -> None:
    assert await queue.add(["3", "1"]) == []
    assert await queue.add(["2"]) == []
    assert items(await queue.take(2, wait_ms=0)) == ["3", "1"]
    assert items(await queue.take(2, wait_ms=0)) == ["2"]
    assert await queue.take(2, wait_ms=0) == []


async def test_add_stops_at_the_bound_and_says_what_it_refused(backend: Backend) -> None:
    queue = backend.stores(queue_max=3).queue
    assert await queue.add(["1", "2"]) == []
    assert await queue.add(["3", "4", "5"]) == ["4", "5"]
    assert await queue.add(["4"]) == ["4"]
    assert items(await queue.take(9, wait_ms=0)) == ["1", "2", "3"]


async def test_exits_find_room_where_others_are_refused(backend: Backend) -> None:
    queue = backend.stores(queue_max=4, exits_reserved=2).queue
    assert await queue.add(["1", "2", "3", "x", "4"], exits={"x"}) == ["3", "4"]
    assert await queue.add(["y", "z"], exits={"y", "z"}) == ["z"]
    assert items(await queue.take(9, wait_ms=0)) == ["1", "2", "x", "y"]


async def test_room_kept_for_exits_is_not_given_to_others_when_it_is_free(backend: Backend) -> None:
    queue = backend.stores(queue_max=3, exits_reserved=1).queue
    assert await queue.add(["1", "2", "1", "3"]) == ["3"]
    await queue.done(receipts(await queue.take(1, wait_ms=0)))
    assert await queue.add(["3", "4"]) == ["4"]


async def test_taken_item_needs_its_room_until_it_is_done(backend: Backend) -> None:
    queue = backend.stores(queue_max=1).queue
    await queue.add(["1"])
    taken = await queue.take(1, wait_ms=0)
    assert (await queue.size(), await queue.add(["2"])) == (1, ["2"])
    await queue.done(receipts(taken))
    assert (await queue.size(), await queue.add(["2"])) == (0, [])


async def test_present_item_counts_as_added_and_is_there_once(backend: Backend) -> None:
    queue = backend.stores(queue_max=3).queue
    await queue.add(["1", "2"])
    taken = await queue.take(1, wait_ms=0)
    assert await queue.add(["2", "1", "3", "1", "4"]) == ["4"]
    assert await queue.size() == 3
    await queue.done(receipts(taken))
    assert items(await queue.take(9, wait_ms=0)) == ["2", "3"]


async def test_done_item_may_come_again(queue: QueueStore) -> None:
    await queue.add(["1"])
    await queue.done(receipts(await queue.take(1, wait_ms=0)))
    assert await queue.add(["1"]) == []
    assert items(await queue.take(1, wait_ms=0)) == ["1"]


async def test_item_of_a_dead_taker_is_given_again_first(backend: Backend, queue: QueueStore) -> None:
    await queue.add(["1", "2", "3"])
    await queue.take(2, wait_ms=0)
    await backend.pass_ms(RECLAIM_MS // 2)
    assert items(await queue.take(1, wait_ms=0)) == ["3"]
    await backend.pass_ms(RECLAIM_MS // 2)
    await queue.add(["4"])
    assert items(await queue.take(9, wait_ms=0)) == ["1", "2", "4"]
    assert await queue.take(9, wait_ms=0) == []


async def test_item_given_again_rests_for_the_whole_time_again(backend: Backend, queue: QueueStore) -> None:
    await queue.add(["1"])
    await queue.take(1, wait_ms=0)
    await backend.pass_ms(RECLAIM_MS)
    await queue.take(1, wait_ms=0)
    await backend.pass_ms(RECLAIM_MS // 2)
    assert await queue.take(1, wait_ms=0) == []


async def test_slow_taker_may_still_end_what_was_given_again(backend: Backend, queue: QueueStore) -> None:
    await queue.add(["1"])
    slow = await queue.take(1, wait_ms=0)
    await backend.pass_ms(RECLAIM_MS)
    second = await queue.take(1, wait_ms=0)
    await queue.done(receipts(slow))
    await queue.done(receipts(second))
    await backend.pass_ms(RECLAIM_MS)
    assert (await queue.size(), await queue.take(1, wait_ms=0)) == (0, [])


async def test_old_receipt_does_not_end_an_item_that_came_again(queue: QueueStore) -> None:
    await queue.add(["1"])
    old = await queue.take(1, wait_ms=0)
    await queue.done(receipts(old))
    await queue.add(["1"])
    await queue.done(receipts(old))
    assert items(await queue.take(1, wait_ms=0)) == ["1"]


async def test_abandoned_item_is_found_behind_many_in_hand(backend: Backend) -> None:
    queue = backend.stores(queue_max=200).queue
    await queue.add([str(each) for each in range(200)])
    await queue.take(200, wait_ms=0)
    await backend.pass_ms(RECLAIM_MS)
    assert len(await queue.take(197, wait_ms=0)) == 197
    assert items(await queue.take(2, wait_ms=0)) == ["197", "198"]
    assert items(await queue.take(2, wait_ms=0)) == ["199"]


async def test_waiting_taker_gets_what_arrives(backend: Backend, queue: QueueStore) -> None:
    await queue.add(["1"])
    await queue.take(1, wait_ms=0)
    taker = asyncio.create_task(queue.take(1, wait_ms=LONG_MS))
    await backend.until_waiting()
    await queue.add(["2"])
    assert items(await taker) == ["2"]


async def test_taker_waits_no_longer_than_it_said(backend: Backend, queue: QueueStore) -> None:
    taker = asyncio.create_task(queue.take(1, wait_ms=20))
    await backend.let_wait_end(20)
    assert await taker == []


async def test_ended_wait_leaves_no_task_behind(backend: Backend, queue: QueueStore) -> None:
    before = asyncio.all_tasks()
    taker = asyncio.create_task(queue.take(1, wait_ms=LONG_MS))
    await backend.until_waiting()
    await queue.add(["1"])
    await taker
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_cancelled_wait_strands_nothing(backend: Backend, queue: QueueStore) -> None:
    taker = asyncio.create_task(queue.take(1, wait_ms=LONG_MS))
    await backend.until_waiting()
    await asyncio.gather(queue.add(["1"]), _cancelled(taker))
    assert items(await queue.take(1, wait_ms=0)) == ["1"]


async def test_two_takers_never_hold_the_same_item(backend: Backend) -> None:
    queue = backend.stores(queue_max=100).queue
    await queue.add([str(each) for each in range(100)])
    taken = await asyncio.gather(*(queue.take(7, wait_ms=0) for _ in range(20)))
    assert sorted(int(item) for some in taken for item in items(some)) == list(range(100))


async def test_racing_adders_do_not_pass_the_bound(backend: Backend) -> None:
    queue = backend.stores(queue_max=50).queue
    refused = await asyncio.gather(*(queue.add([f"{each}-{n}" for n in range(7)]) for each in range(20)))
    assert (sum(map(len, refused)), await queue.size()) == (20 * 7 - 50, 50)


async def test_long_lists_keep_order_and_bound(backend: Backend) -> None:
    queue = backend.stores(queue_max=2_200).queue
    offered = [str(each) for each in range(2_500)]
    assert await queue.add(offered) == offered[2_200:]
    taken = [each for _ in range(3) for each in await queue.take(900, wait_ms=0)]
    assert items(taken) == offered[:2_200]
    await queue.done(receipts(taken))
    assert await queue.size() == 0


async def test_long_list_finds_room_for_its_exits_and_what_is_there_behind_what_was_refused(backend: Backend) -> None:
    queue, others = backend.stores(queue_max=3, exits_reserved=1).queue, [str(each) for each in range(VERB_KEYS_MAX)]
    await queue.add(["present"])
    assert await queue.add([*others, "present", "x", "y"], exits={"x", "y"}) == [*others[1:], "y"]
    assert items(await queue.take(9, wait_ms=0)) == ["present", "0", "x"]


async def test_nothing_is_known_of_a_new_key(stores: Stores) -> None:
    await stores.dedup.remember({"a": 0, "c": 7})
    assert await stores.dedup.known(["c", "b", "a"]) == [7, None, 0]
    assert await stores.dedup.known([]) == []


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 1), (9, 10), (99, 100), (2**53, 2**53 + 1), (2**64 - 1, 2**64), (10**77 - 1, 2**256 - 1)],
)
async def test_remembered_total_only_ever_rises(stores: Stores, low: int, high: int) -> None:
    for total, expected in [(low, low), (high, high), (low, high), (high, high)]:
        await stores.dedup.remember({"a": total})
        assert await stores.dedup.known(["a"]) == [expected]


async def test_total_is_forgotten_some_time_after_it_was_last_remembered(backend: Backend, stores: Stores) -> None:
    await stores.dedup.remember({"a": 5, "b": 5})
    await backend.pass_ms(MINUTE_MS // 2)
    await stores.dedup.remember({"a": 4})
    await backend.pass_ms(MINUTE_MS // 2)
    assert await stores.dedup.known(["a", "b"]) == [5, None]
    await stores.dedup.remember({"b": 3})
    assert await stores.dedup.known(["b"]) == [3]


async def test_full_dedup_forgets_what_was_remembered_longest_ago(backend: Backend) -> None:
    dedup = backend.stores(bounds=BOUNDS).dedup
    for key in "abc":
        await dedup.remember({key: 1})
        await backend.pass_ms(1_000)
    await dedup.remember({"a": 1, "d": 1})
    assert await dedup.known(list("abcd")) == [1, None, 1, 1]


async def test_many_keys_are_answered_in_their_order(stores: Stores) -> None:
    await stores.dedup.remember({str(each): each for each in range(2_500)})
    assert await stores.dedup.known([str(each) for each in range(2_499, -1, -1)]) == list(range(2_499, -1, -1))


@pytest.mark.parametrize("value", [b"", b"\x00\xff\r\n", b"7"])
async def test_cache_gives_back_the_bytes_it_was_given(stores: Stores, value: bytes) -> None:
    assert await stores.cache.get("a") is None
    await stores.cache.set("a", b"old", MINUTE_MS)
    await stores.cache.set("a", value, MINUTE_MS)
    assert await stores.cache.get("a") == value


async def test_cached_value_ends_at_its_own_time(backend: Backend, stores: Stores) -> None:
    await stores.cache.set("long", b"1", 2 * MINUTE_MS)
    await stores.cache.set("short", b"2", MINUTE_MS)
    await backend.pass_ms(MINUTE_MS)
    assert (await stores.cache.get("long"), await stores.cache.get("short")) == (b"1", None)


async def test_full_cache_drops_what_would_end_soonest(backend: Backend) -> None:
    cache = backend.stores(bounds=BOUNDS).cache
    for key, minutes in {"a": 3, "b": 1, "c": 2, "d": 4}.items():
        await cache.set(key, b"1", minutes * MINUTE_MS)
    assert [await cache.get(key) for key in "abcd"] == [b"1", None, b"1", b"1"]


async def test_waiter_is_woken(backend: Backend, stores: Stores) -> None:
    waiter = asyncio.create_task(stores.wake_up.wait("rules", LONG_MS))
    await backend.until_waiting()
    await stores.wake_up.wake("rules")
    assert await waiter


async def test_ring_before_the_wait_is_heard_once(backend: Backend, stores: Stores) -> None:
    await stores.wake_up.wake("rules")
    await stores.wake_up.wake("rules")
    assert await stores.wake_up.wait("rules", LONG_MS)
    assert not await stores.wake_up.wait("rules", 0)


async def test_waiter_goes_on_when_nobody_rings_its_name(backend: Backend, stores: Stores) -> None:
    await stores.wake_up.wake("limits")
    waiter = asyncio.create_task(stores.wake_up.wait("rules", 20))
    await backend.let_wait_end(20)
    assert not await waiter


async def test_counter_sums_a_window_that_later_amounts_do_not_prolong(backend: Backend, stores: Stores) -> None:
    assert await stores.counters.add("a", 5, MINUTE_MS) == 5
    await backend.pass_ms(MINUTE_MS // 2)
    assert await stores.counters.add("a", -2, MINUTE_MS) == 3
    assert await stores.counters.read("a") == 3
    await backend.pass_ms(MINUTE_MS // 2)
    assert await stores.counters.read("a") == 0
    assert await stores.counters.add("a", 1, MINUTE_MS) == 1


async def test_counters_are_exact_and_apart(stores: Stores) -> None:
    assert await stores.counters.add("a", 2**53, MINUTE_MS) == 2**53
    assert await stores.counters.add("a", 1, MINUTE_MS) == 2**53 + 1
    assert (await stores.counters.read("a"), await stores.counters.read("b")) == (2**53 + 1, 0)


async def test_full_counters_drop_the_window_that_would_end_soonest(backend: Backend) -> None:
    counters = backend.stores(bounds=BOUNDS).counters
    for name, minutes in {"a": 3, "b": 1, "c": 2, "d": 4}.items():
        await counters.add(name, 1, minutes * MINUTE_MS)
    assert [await counters.read(name) for name in "abcd"] == [1, 0, 1, 1]


async def test_racing_amounts_all_count(stores: Stores) -> None:
    totals = await asyncio.gather(*(stores.counters.add("a", 1, MINUTE_MS) for _ in range(100)))
    assert sorted(totals) == list(range(1, 101))


async def test_clear_forgets_everything(stores: Stores) -> None:
    await stores.queue.add(["1", "2"])
    old = await stores.queue.take(1, wait_ms=0)
    await stores.dedup.remember({"a": 1})
    await stores.cache.set("a", b"1", MINUTE_MS)
    await stores.wake_up.wake("a")
    await stores.counters.add("a", 1, MINUTE_MS)
    await stores.clear()
    assert (await stores.queue.size(), await stores.queue.take(9, wait_ms=0)) == (0, [])
    assert (await stores.dedup.known(["a"]), await stores.cache.get("a")) == ([None], None)
    assert (await stores.wake_up.wait("a", 0), await stores.counters.read("a")) == (False, 0)
    await stores.queue.done(receipts(old))
    assert await stores.queue.add(["1"]) == []


async def _cancelled(task: asyncio.Task[list[Taken]]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
