"""The queue as the engine sees it, on memory and on a real Redis: down, back, flushed and full, no signal is missed."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from datetime import timedelta
from typing import Any

import pytest
import redis

from copytrading.metrics import QUEUE_DOWN, QUEUE_REFUSED_TOTAL
from copytrading.models import Signal
from copytrading.queries import Shard
from copytrading.signalqueue import EVENT_EVERY_MS, LOOK_EVERY_MS, Refused, SignalQueue, SignalQueueSettings
from copytrading.sweeper import Sweeper
from guardrails.models import GuardrailEvent
from guardrails.stores.base import QueueStore, StoreDown, Taken
from guardrails.stores.memory import memory_stores
from tests.doors import InlineDatabase, VirtualClock, outside_loop
from tests.factories import CopyConfigFactory, SignalFactory
from tests.guardrails.test_redis_faults import RECLAIM_MS, OnRedis, items, receipts

pytestmark = pytest.mark.django_db


class Breakable:
    """A queue in memory that may be away."""

    def __init__(self, store: QueueStore) -> None:
        self.store, self.away = store, False

    def _answer(self) -> QueueStore:
        if self.away:
            raise StoreDown("away")
        return self.store

    async def add(self, items: Sequence[str], *, exits: Collection[str] = ()) -> list[str]:
        return await self._answer().add(items, exits=exits)

    async def take(self, max_items: int, *, wait_ms: int) -> list[Taken]:
        return await self._answer().take(max_items, wait_ms=wait_ms)

    async def done(self, receipts: Sequence[str]) -> None:
        await self._answer().done(receipts)

    async def size(self) -> int:
        return await self._answer().size()


class Place:
    """Where the queue is, and how it breaks: on Redis the server is demoted, which refuses every write."""

    def __init__(self, url: str | None, name: str) -> None:
        self.clock = VirtualClock()
        self._redis = OnRedis(url, name) if url else None
        self._admin = redis.Redis.from_url(url) if url else None
        bounds = {"queue_max": 4, "exits_reserved": 1}
        self._memory = memory_stores(self.clock, reclaim_ms=RECLAIM_MS, **bounds)
        self._breakable = Breakable(self._memory.queue)
        self.store: QueueStore = self._redis.stores(**bounds).queue if self._redis else self._breakable
        settings = SignalQueueSettings(queue_max=4, reclaim_ms=RECLAIM_MS)
        self.queue = SignalQueue(self.store, InlineDatabase(), self.clock, shard=Shard(), settings=settings)
        self.sweeper = Sweeper(InlineDatabase(), self.queue, self.clock, shard=Shard())

    def break_(self) -> None:
        self._breakable.away = True
        if self._admin:
            self._admin.replicaof("127.0.0.1", 1)

    def mend(self) -> None:
        self._breakable.away = False
        if self._admin:
            self._admin.replicaof("NO", "ONE")

    async def flush(self) -> None:
        if self._admin:
            self._admin.flushall()
        await self._memory.clear()

    async def close(self) -> None:
        self.mend()
        if self._redis and self._admin:
            await self._redis.close()
            self._admin.close()


@pytest.fixture(params=["memory", pytest.param("redis", marks=pytest.mark.redis)])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    made = Place(url, f"signals:{request.node.name}")
    yield made
    await made.close()


def signal(place: Place, *, age_s: float = 0.0, **more: Any) -> str:
    detected_at = place.clock.now() - timedelta(seconds=age_s)
    return str(outside_loop(SignalFactory, done_at=None, detected_at=detected_at, **more).pk)


def decided(*ids: str) -> None:
    outside_loop(Signal.objects.filter(pk__in=ids).update, done_at="2026-11-21T12:00:00Z")


def events() -> list[tuple[str, int, int | None]]:
    return outside_loop(lambda: list(GuardrailEvent.objects.order_by("pk").values_list("reason", "value", "limit")))


async def taken(place: Place, wait_ms: int = 0) -> list[str]:
    """Take, and end at once, as if all had been decided."""
    got = await place.queue.take(9, wait_ms=wait_ms)
    decided(*items(got))
    await place.queue.done(receipts(got))
    return items(got)


async def test_while_the_queue_is_down_signals_are_taken_from_the_database(place: Place) -> None:
    place.break_()
    first = signal(place)
    assert await taken(place) == [first]
    second = signal(place)
    place.clock.advance(LOOK_EVERY_MS / 1_000)
    assert await taken(place) == [second]
    assert QUEUE_DOWN._value.get() == 1


async def test_signal_recorded_here_while_the_queue_is_down_does_not_wait_for_the_next_look(place: Place) -> None:
    place.break_()
    assert await taken(place) == []
    new = signal(place)
    assert await place.queue.add([new]) == []
    assert await taken(place) == [new]
    assert place.clock.monotonic_ms() == 0


async def test_signal_of_another_process_waits_half_a_second_at_most(place: Place) -> None:
    place.break_()
    assert await taken(place) == []
    new = signal(place)
    for _ in range(20):
        if got := await taken(place, wait_ms=100):
            break
    assert (got, place.clock.monotonic_ms()) == ([new], LOOK_EVERY_MS)


async def test_signal_in_hand_is_not_taken_from_the_database_again(place: Place) -> None:
    ids = [signal(place), signal(place)]
    await place.queue.add(ids[:1])
    assert items(await place.queue.take(1, wait_ms=0)) == ids[:1]
    place.break_()
    assert items(await place.queue.take(9, wait_ms=0)) == ids[1:]
    place.clock.advance(1)
    assert await place.queue.take(9, wait_ms=0) == []
    place.clock.advance(RECLAIM_MS / 1_000)
    assert items(await place.queue.take(9, wait_ms=0)) == ids


async def test_queue_is_used_again_once_it_answers_and_nothing_in_between_is_missed(place: Place) -> None:
    place.break_()
    assert await taken(place) == []
    await place.sweeper.run_once()
    assert place.queue.down
    unqueued = signal(place)
    place.mend()
    await place.sweeper.run_once()
    assert not place.queue.down
    assert await taken(place) == [unqueued]
    queued = signal(place)
    await place.queue.add([queued])
    assert await place.store.size() == 1
    assert await taken(place) == [queued]
    assert QUEUE_DOWN._value.get() == 0


async def test_going_down_and_coming_back_are_told_once_a_minute(place: Place) -> None:
    for _ in range(3):
        place.break_()
        await place.queue.take(1, wait_ms=0)
        place.mend()
        await place.queue.look()
    assert events() == [("QUEUE_DOWN", 1, None), ("QUEUE_BACK", 1, None)]
    place.clock.advance(EVENT_EVERY_MS / 1_000)
    await place.queue.look()
    assert events()[2:] == [("QUEUE_DOWN", 2, None), ("QUEUE_BACK", 2, None)]


async def test_marks_that_could_not_be_made_are_made_when_the_queue_is_back(place: Place) -> None:
    await place.queue.add([signal(place), signal(place)])
    first, second = await place.queue.take(2, wait_ms=0)
    decided(first.item, second.item)
    place.break_()
    await place.queue.done([first.receipt])
    place.mend()
    await place.queue.look()
    await place.queue.done([second.receipt])
    assert await place.store.size() == 0


async def test_flushed_queue_is_filled_again_from_the_database_and_nothing_is_decided_twice(place: Place) -> None:
    ids = [signal(place, age_s=6), signal(place, age_s=6), signal(place, age_s=6)]
    await place.queue.add(ids)
    (first,) = await place.queue.take(1, wait_ms=0)
    await place.flush()
    decided(first.item)
    await place.queue.done([first.receipt])
    assert await place.sweeper.run_once() == 2
    assert await taken(place) == ids[1:]
    assert await place.sweeper.run_once() == 0


async def test_full_queue_refuses_counts_by_why_and_tells_once(place: Place) -> None:
    before = QUEUE_REFUSED_TOTAL.labels("full")._value.get()
    buys, sells = [signal(place) for _ in range(6)], [signal(place, side="SELL") for _ in range(3)]
    assert await place.queue.add(buys) == buys[3:]
    assert await place.queue.add(sells, exits=set(sells)) == sells[1:]
    assert place.queue.refused == {Refused.FULL: 3, Refused.FULL_FOR_EXITS: 2}
    assert QUEUE_REFUSED_TOTAL.labels("full")._value.get() == before + 3
    assert events() == [("QUEUE_FULL", 3, 4)]
    place.clock.advance(EVENT_EVERY_MS / 1_000)
    await place.sweeper.run_once()
    assert events()[1:] == [("QUEUE_FULL", 2, 4)]


async def test_refused_signal_stays_open_and_is_offered_again_until_there_is_room(place: Place) -> None:
    ids = [signal(place, age_s=6) for _ in range(4)]
    assert await place.queue.add(ids) == ids[3:]
    assert await place.sweeper.run_once() == 3
    assert place.queue.refused == {Refused.FULL: 1, Refused.STILL_FULL: 1}
    assert await taken(place) == ids[:3]
    assert await place.sweeper.run_once() == 1
    assert await taken(place) == ids[3:]


async def test_sweeper_offers_exits_where_entries_find_no_room(place: Place) -> None:
    ids = [signal(place, age_s=6) for _ in range(4)] + [signal(place, age_s=6, side="SELL")]
    assert await place.sweeper.run_once() == 4
    assert await taken(place) == [*ids[:3], ids[4]]


async def test_while_load_is_shed_old_entries_are_put_off_and_exits_are_not(place: Place) -> None:
    old, sell, young = signal(place, age_s=30), signal(place, age_s=30, side="SELL"), signal(place, age_s=1)
    await place.queue.add([old, sell, young], exits={sell})
    place.queue.refuse_oldest(timedelta(seconds=20))
    assert await taken(place) == [sell, young]
    assert await place.sweeper.run_once() == 0
    assert place.queue.refused == {Refused.TOO_OLD: 1}
    place.queue.refuse_oldest(None)
    assert await place.sweeper.run_once() == 1
    assert await taken(place) == [old]


async def test_opening_of_a_standing_position_is_an_entry(place: Place) -> None:
    config = outside_loop(CopyConfigFactory)
    old = signal(place, age_s=30, only_config=config)
    place.queue.refuse_oldest(timedelta(seconds=20))
    assert await place.sweeper.run_once() == 0
    place.queue.refuse_oldest(None)
    assert await place.sweeper.run_once() == 1
    assert await taken(place) == [old]


async def test_old_entries_are_put_off_also_while_the_queue_is_down(place: Place) -> None:
    place.break_()
    old, young = signal(place, age_s=30), signal(place, age_s=1)
    place.queue.refuse_oldest(timedelta(seconds=20))
    assert await taken(place) == [young]
    place.queue.refuse_oldest(None)
    assert await taken(place) == [old]


async def test_waiting_taker_hears_of_a_signal_recorded_meanwhile(place: Place) -> None:
    place.break_()
    assert await taken(place) == []
    new = signal(place)
    waiter = asyncio.create_task(place.queue.take(1, wait_ms=100))
    await place.queue.add([new])
    assert items(await waiter) == [new]


async def somebody_waits(place: Place, most: int = 9) -> "asyncio.Task[list[Taken]]":
    """A task that takes, when the store has told it that it is empty."""
    waiting = asyncio.create_task(place.queue.take(most, wait_ms=500))
    while place.queue._taker is None:  # noqa: ASYNC110  (nothing tells of it)
        await asyncio.sleep(0)
    return waiting


async def test_whoever_waits_is_handed_what_is_added_without_the_store(place: Place) -> None:
    first, second, third = (signal(place) for _ in range(3))
    waiting = await somebody_waits(place, 2)
    assert await place.queue.add([first, second, third]) == []
    got = await waiting
    assert items(got) == [first, second]
    assert await place.store.size() == 1
    decided(first, second)
    await place.queue.done(receipts(got))
    assert await taken(place, wait_ms=100) == [third]
    assert await place.store.size() == 0


async def test_what_waits_in_the_store_is_not_overtaken(place: Place) -> None:
    ids = [signal(place) for _ in range(3)]
    await place.queue.add(ids[:2])
    waiting = asyncio.create_task(place.queue.take(1, wait_ms=500))
    await asyncio.sleep(0)
    await place.queue.add(ids[2:])
    assert items(await waiting) == ids[:1]
    assert await taken(place, wait_ms=100) == ids[1:]


class Slow(Breakable):
    """A queue in memory whose words take their time to come back."""

    def __init__(self, store: QueueStore) -> None:
        super().__init__(store)
        self.asked, self.let_go = asyncio.Event(), asyncio.Event()

    async def take(self, max_items: int, *, wait_ms: int) -> list[Taken]:
        found = await super().take(max_items, wait_ms=wait_ms)
        self.asked.set()
        await self.let_go.wait()
        return found


async def test_what_is_added_while_an_empty_store_answers_stays_in_order() -> None:
    clock = VirtualClock()
    slow = Slow(memory_stores(clock, queue_max=9, exits_reserved=0, reclaim_ms=RECLAIM_MS).queue)
    settings = SignalQueueSettings(queue_max=9, reclaim_ms=RECLAIM_MS)
    queue = SignalQueue(slow, InlineDatabase(), clock, shard=Shard(), settings=settings)
    waiting = asyncio.create_task(queue.take(9, wait_ms=500))
    await slow.asked.wait()
    await queue.add(["1"])
    slow.let_go.set()
    assert items(await waiting) == []
    await queue.add(["2"])
    assert items(await queue.take(9, wait_ms=500)) == ["1", "2"]


async def test_who_gave_up_waiting_is_handed_nothing(place: Place) -> None:
    waiting = await somebody_waits(place)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    new = signal(place)
    await place.queue.add([new])
    assert await taken(place, wait_ms=100) == [new]


async def test_what_is_in_hand_is_not_offered_until_it_may_be_lost(place: Place) -> None:
    new = signal(place)
    waiting = await somebody_waits(place)
    await place.queue.add([new])
    assert items(await waiting) == [new]
    place.clock.advance(6)
    await place.sweeper.run_once()
    assert await taken(place) == []
    place.clock.advance(RECLAIM_MS / 1_000)
    await place.sweeper.run_once()
    assert await taken(place) == [new]
