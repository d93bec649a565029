"""Protocols of the shared stores. They hold speed, never truth: losing all of them loses and doubles nothing.

Each verb is atomic. Every store is bounded; a bound is checked when something is added, never by trimming.
A store that cannot be reached raises `StoreDown`, and its caller goes on from the database.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreDown(Exception):
    """The store cannot be reached now; the message never holds its address."""


@dataclass(frozen=True, slots=True)
class Taken:
    """An item given to one taker, and the receipt by which it is marked as done."""

    item: str
    receipt: str


class QueueStore(Protocol):
    """Items in order, each given to one taker at a time and given out again when that taker dies."""

    async def add(self, items: Sequence[str]) -> int:
        """Add in order while there is room; returns how many of the leading items are in the queue now.

        An item that waits or is taken already is not added twice, and counts as added.
        """
        ...

    async def take(self, items_max: int, *, wait_ms: int) -> list[Taken]:
        """At most so many items, oldest first; waits at most `wait_ms` for the first one."""
        ...

    async def done(self, receipts: Sequence[str]) -> None:
        """Take these items out for good; their room is free again."""
        ...

    async def size(self) -> int:
        """Items that wait or are taken and not done."""
        ...


class DedupStore(Protocol):
    """Totals already acted on, so that repeated rows need not ask the database."""

    async def known(self, keys: Sequence[str]) -> list[int | None]:
        """The remembered total of each key, None where nothing is remembered."""
        ...

    async def remember(self, totals: Mapping[str, int]) -> None:
        """Raise the remembered totals; a smaller one changes nothing."""
        ...


class CacheStore(Protocol):
    """Bytes for a while."""

    async def get(self, key: str) -> bytes | None:
        """The bytes, or None when they are gone."""
        ...

    async def set(self, key: str, value: bytes, *, ttl_ms: int) -> None:
        """Keep the bytes for so long."""
        ...


class CounterStore(Protocol):
    """Sums over fixed windows, as fast hints; the database answers right."""

    async def add(self, name: str, amount: int, *, window_ms: int) -> int:
        """Add to the current window and return its sum; a window begins with its first amount."""
        ...

    async def read(self, name: str) -> int:
        """The sum of the current window, 0 without one."""
        ...


class WakeUp(Protocol):
    """A tap on the shoulder; one that is lost costs at most the waiter's timeout."""

    async def wake(self, name: str) -> None:
        """Wake whoever waits for this name, or the next who does."""
        ...

    async def wait(self, name: str, *, timeout_ms: int) -> bool:
        """True when woken, False after the timeout."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """One of each, over one backend."""

    queue: QueueStore
    dedup: DedupStore
    cache: CacheStore
    counters: CounterStore
    wake_up: WakeUp
    close: Callable[[], Awaitable[None]]
    clear: Callable[[], Awaitable[None]]
