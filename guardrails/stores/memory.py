"""The stores in this process's memory: for one machine and one shard, and for tests."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TypeVar

from guardrails.stores.base import Stores, Taken
from ledger.clock import Clock

V = TypeVar("V")

LOOK_S = 0.001
"""How often a waiting taker looks; on one machine that is the latency of a signal."""

KEYS_MAX = 100_000
"""Keys remembered by dedup, cache and counters each; the oldest go first."""


class MemoryQueue:
    """`QueueStore` of this process."""

    def __init__(self, clock: Clock, *, queue_max: int, reclaim_ms: int) -> None:
        self._clock, self._queue_max, self._reclaim_ms = clock, queue_max, reclaim_ms
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._taken: OrderedDict[str, float] = OrderedDict()

    async def add(self, items: Sequence[str]) -> int:
        """Add in order while there is room."""
        for index, item in enumerate(items):
            if item in self._waiting or item in self._taken:
                continue
            if len(self._waiting) + len(self._taken) >= self._queue_max:
                return index
            self._waiting[item] = None
        return len(items)

    async def take(self, items_max: int, *, wait_ms: int) -> list[Taken]:
        """Take what waits, and what a taker has held for too long."""
        until_ms = self._clock.monotonic_ms() + wait_ms
        while True:
            found = self._take_now(items_max)
            if found or self._clock.monotonic_ms() >= until_ms:
                return found
            await self._clock.sleep(LOOK_S)

    async def done(self, receipts: Sequence[str]) -> None:
        """Forget these items."""
        for receipt in receipts:
            self._taken.pop(receipt, None)

    async def size(self) -> int:
        """Items that wait or are taken."""
        return len(self._waiting) + len(self._taken)

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._taken.clear()

    def _take_now(self, items_max: int) -> list[Taken]:
        now_ms = self._clock.monotonic_ms()
        found = [item for item, at_ms in self._taken.items() if now_ms - at_ms >= self._reclaim_ms][:items_max]
        while self._waiting and len(found) < items_max:
            found.append(self._waiting.popitem(last=False)[0])
        for item in found:
            self._taken[item] = now_ms
        return [Taken(item, item) for item in found]


class MemoryDedup:
    """`DedupStore` of this process."""

    def __init__(self, clock: Clock, *, ttl_ms: int) -> None:
        self._clock, self._ttl_ms = clock, ttl_ms
        self._totals: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def known(self, keys: Sequence[str]) -> list[int | None]:
        """Totals that have not expired."""
        return [self._current(key) for key in keys]

    async def remember(self, totals: Mapping[str, int]) -> None:
        """Raise and renew totals."""
        for key, total in totals.items():
            raised = max(total, self._current(key) or 0)
            _keep(self._totals, key, (self._clock.monotonic_ms() + self._ttl_ms, raised))

    def clear(self) -> None:
        """Forget everything."""
        self._totals.clear()

    def _current(self, key: str) -> int | None:
        until_ms, total = self._totals.get(key, (0.0, 0))
        return total if self._clock.monotonic_ms() < until_ms else None


class MemoryCache:
    """`CacheStore` of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._values: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, key: str) -> bytes | None:
        """The bytes while they last."""
        until_ms, value = self._values.get(key, (0.0, b""))
        return value if self._clock.monotonic_ms() < until_ms else None

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        """Keep the bytes."""
        _keep(self._values, key, (self._clock.monotonic_ms() + ttl_ms, value))

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()


class MemoryCounters:
    """`CounterStore` of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    async def add(self, name: str, amount: int, *, window_ms: int) -> int:
        """Add to the window, or begin one."""
        now_ms = self._clock.monotonic_ms()
        until_ms, total = self._windows.get(name, (0.0, 0))
        if now_ms >= until_ms:
            until_ms, total = now_ms + window_ms, 0
        _keep(self._windows, name, (until_ms, total + amount))
        return total + amount

    async def read(self, name: str) -> int:
        """The window's sum."""
        until_ms, total = self._windows.get(name, (0.0, 0))
        return total if self._clock.monotonic_ms() < until_ms else 0

    def clear(self) -> None:
        """Forget everything."""
        self._windows.clear()


class MemoryWakeUp:
    """`WakeUp` of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._woken: set[str] = set()

    async def wake(self, name: str) -> None:
        """Wake the name."""
        if len(self._woken) < KEYS_MAX:
            self._woken.add(name)

    async def wait(self, name: str, *, timeout_ms: int) -> bool:
        """Wait for the name."""
        until_ms = self._clock.monotonic_ms() + timeout_ms
        while name not in self._woken:
            if self._clock.monotonic_ms() >= until_ms:
                return False
            await self._clock.sleep(LOOK_S)
        self._woken.discard(name)
        return True

    def clear(self) -> None:
        """Forget everything."""
        self._woken.clear()


def memory_stores(clock: Clock, *, queue_max: int, reclaim_ms: int, dedup_ttl_ms: int = 600_000) -> Stores:
    """Stores that live and die with this process."""
    queue = MemoryQueue(clock, queue_max=queue_max, reclaim_ms=reclaim_ms)
    dedup, cache = MemoryDedup(clock, ttl_ms=dedup_ttl_ms), MemoryCache(clock)
    counters, wake_up = MemoryCounters(clock), MemoryWakeUp(clock)

    async def clear() -> None:
        for store in (queue, dedup, cache, counters, wake_up):
            store.clear()

    return Stores(
        queue=queue, dedup=dedup, cache=cache, counters=counters, wake_up=wake_up, close=_nothing, clear=clear
    )


async def _nothing() -> None:
    return None


def _keep(values: OrderedDict[str, V], key: str, value: V) -> None:
    values[key] = value
    values.move_to_end(key)
    if len(values) > KEYS_MAX:
        values.popitem(last=False)
