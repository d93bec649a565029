"""The stores in this process's memory, for one event loop: the embedded default, and simulations on virtual time."""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Generic, TypeVar

from guardrails.stores.base import DEFAULT_BOUNDS, Bounds, Stores, Taken
from ledger.clock import Clock

V = TypeVar("V")


class MemoryQueue:
    """`QueueStore` of one process."""

    def __init__(self, clock: Clock, *, queue_max: int, exits_reserved: int, reclaim_ms: int) -> None:
        self._clock, self._queue_max, self._reclaim_ms = clock, queue_max, reclaim_ms
        self._others_max = queue_max - exits_reserved
        self._places = count(1)
        self._present: set[str] = set()
        self._waiting: dict[str, str] = {}
        self._taken: dict[str, _InHand] = {}
        self._arrived = asyncio.Event()

    async def add(self, items: Sequence[str], *, exits: Collection[str] = ()) -> list[str]:
        """Those that found no room."""
        refused = []
        for item in items:
            if item in self._present:
                continue
            if len(self._present) >= (self._queue_max if item in exits else self._others_max):
                refused.append(item)
                continue
            self._present.add(item)
            self._waiting[str(next(self._places))] = item
            self._arrived.set()
        return refused

    async def take(self, max_items: int, *, wait_ms: int) -> list[Taken]:
        """Reclaimed items first, then waiting ones in their order."""
        taken = self._ready(max_items)
        if not taken and wait_ms > 0:
            await _within(self._clock, self._arrived, wait_ms)
            taken = self._ready(max_items)
        return taken

    async def done(self, receipts: Sequence[str]) -> None:
        """End them; unknown receipts are passed over."""
        for receipt in receipts:
            if in_hand := self._taken.pop(receipt, None):
                self._present.remove(in_hand.item)

    async def size(self) -> int:
        """Waiting plus taken."""
        return len(self._present)

    def clear(self) -> None:
        """Forget all items; receipts in hand end nothing any more."""
        self._present.clear()
        self._waiting.clear()
        self._taken.clear()
        self._arrived.clear()

    def _ready(self, max_items: int) -> list[Taken]:
        given = [*islice(self._abandoned(), max_items)]
        given += islice(self._waiting.items(), max_items - len(given))
        now_ms = self._clock.monotonic_ms()
        for receipt, item in given:
            self._waiting.pop(receipt, None)
            # Taken out first, so that the dictionary stays in the order of taking.
            self._taken.pop(receipt, None)
            self._taken[receipt] = _InHand(item, now_ms)
        if not self._waiting:
            self._arrived.clear()
        return [Taken(item=item, receipt=receipt) for receipt, item in given]

    def _abandoned(self) -> list[tuple[str, str]]:
        taken_before_ms = self._clock.monotonic_ms() - self._reclaim_ms
        found = []
        for receipt, in_hand in self._taken.items():
            if in_hand.taken_at_ms > taken_before_ms:
                break
            found.append((receipt, in_hand.item))
        return found


class MemoryDedup:
    """`DedupStore` of one process."""

    def __init__(self, clock: Clock, *, dedup_max: int, ttl_ms: int) -> None:
        self._ttl_ms = ttl_ms
        self._totals: _Ending[int] = _Ending(clock, dedup_max)

    async def known(self, keys: Sequence[str]) -> list[int | None]:
        """In the order of the keys."""
        return [self._totals.get(key) for key in keys]

    async def remember(self, totals: Mapping[str, int]) -> None:
        """Only ever raises."""
        assert all(total >= 0 for total in totals.values()), "a total is never below zero"
        for key, total in totals.items():
            self._totals.put(key, max(total, self._totals.get(key) or 0), self._ttl_ms)

    def clear(self) -> None:
        """Forget all totals."""
        self._totals.clear()


class MemoryCache:
    """`CacheStore` of one process."""

    def __init__(self, clock: Clock, *, cache_max: int) -> None:
        self._values: _Ending[bytes] = _Ending(clock, cache_max)

    async def get(self, key: str) -> bytes | None:
        """The value while it lasts."""
        return self._values.get(key)

    async def set(self, key: str, value: bytes, ttl_ms: int) -> None:
        """Keep the value."""
        self._values.put(key, value, ttl_ms)

    def clear(self) -> None:
        """Forget all values."""
        self._values.clear()


class MemoryWakeUp:
    """`WakeUp` of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rings: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    async def wake(self, name: str) -> None:
        """Ring."""
        self._rings[name].set()

    async def wait(self, name: str, timeout_ms: int) -> bool:
        """Whether it rang."""
        ring = self._rings[name]
        if not ring.is_set() and timeout_ms > 0:
            await _within(self._clock, ring, timeout_ms)
        rang = ring.is_set()
        ring.clear()
        return rang

    def clear(self) -> None:
        """Forget rings that nobody heard."""
        for ring in self._rings.values():
            ring.clear()


class MemoryCounters:
    """`CounterStore` of one process."""

    def __init__(self, clock: Clock, *, counters_max: int) -> None:
        self._totals: _Ending[int] = _Ending(clock, counters_max)

    async def add(self, name: str, amount: int, window_ms: int) -> int:
        """The window's total."""
        total = self._totals.get(name)
        if total is None:
            self._totals.put(name, amount, window_ms)
            return amount
        self._totals.replace(name, total + amount)
        return total + amount

    async def read(self, name: str) -> int:
        """The window's total, or 0."""
        return self._totals.get(name) or 0

    def clear(self) -> None:
        """Forget all windows."""
        self._totals.clear()


Part = MemoryQueue | MemoryDedup | MemoryCache | MemoryWakeUp | MemoryCounters


class MemoryShelf:
    """`Shelf` of one process."""

    def __init__(self, *parts: Part) -> None:
        self._parts = parts

    async def clear(self) -> None:
        """Forget everything."""
        for part in self._parts:
            part.clear()

    async def close(self) -> None:
        """Nothing to let go of."""


def memory_stores(
    clock: Clock, *, queue_max: int, reclaim_ms: int, exits_reserved: int = 0, bounds: Bounds = DEFAULT_BOUNDS
) -> Stores:
    """One store of each kind, shared by the tasks of one event loop and by nobody else."""
    queue = MemoryQueue(clock, queue_max=queue_max, exits_reserved=exits_reserved, reclaim_ms=reclaim_ms)
    dedup = MemoryDedup(clock, dedup_max=bounds.dedup_max, ttl_ms=bounds.dedup_ttl_ms)
    cache = MemoryCache(clock, cache_max=bounds.cache_max)
    wake_up = MemoryWakeUp(clock)
    counters = MemoryCounters(clock, counters_max=bounds.counters_max)
    shelf = MemoryShelf(queue, dedup, cache, wake_up, counters)
    return Stores(queue=queue, dedup=dedup, cache=cache, wake_up=wake_up, counters=counters, shelf=shelf)


@dataclass(frozen=True, slots=True)
class _InHand:
    item: str
    taken_at_ms: float


@dataclass(frozen=True, slots=True)
class _Held(Generic[V]):
    value: V
    ends_at_ms: float


class _Ending(Generic[V]):
    """Values that end; at most `held_max` of them."""

    def __init__(self, clock: Clock, held_max: int) -> None:
        self._clock, self._held_max = clock, held_max
        self._held: dict[str, _Held[V]] = {}

    def get(self, key: str) -> V | None:
        held = self._held.get(key)
        return held.value if held and held.ends_at_ms > self._clock.monotonic_ms() else None

    def put(self, key: str, value: V, ttl_ms: int) -> None:
        self._held[key] = _Held(value, self._clock.monotonic_ms() + ttl_ms)
        if len(self._held) > self._held_max:
            self._make_room()

    def replace(self, key: str, value: V) -> None:
        """Another value for a key that is held; its end stays."""
        self._held[key] = _Held(value, self._held[key].ends_at_ms)

    def clear(self) -> None:
        self._held.clear()

    def _make_room(self) -> None:
        """A tenth at a time, so that a full store is not sorted at each put."""
        ends = {key: held.ends_at_ms for key, held in self._held.items()}
        now_ms = self._clock.monotonic_ms()
        room = max(1, self._held_max // 10)
        for place, key in enumerate(sorted(ends, key=ends.__getitem__)):
            if place >= room and ends[key] > now_ms:
                break
            del self._held[key]


async def _within(clock: Clock, event: asyncio.Event, wait_ms: int) -> None:
    """Return when the event is set or the time has passed, whichever comes first."""
    tasks = asyncio.ensure_future(event.wait()), asyncio.ensure_future(clock.sleep(wait_ms / 1000))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
