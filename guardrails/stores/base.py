"""What the shared stores promise: a few verbs each, in memory and on Redis alike. They carry speed, never truth.

Everything here may be lost at any moment: rows in the database say what is true, and their readers make up for it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


class StoreDown(Exception):
    """The store cannot serve now: unreachable, too slow, full or read-only. Whether the verb took effect is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """An item in the hands of a taker; the receipt names its place in the queue and ends it."""

    item: str
    receipt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much the stores beside the queue hold. When one is full, what would end soonest makes room."""

    dedup_max: int = 50_000
    """Groups seen within the time below, with room to spare: a busy leader has some hundreds an hour."""

    dedup_ttl_ms: int = 600_000
    """Longer than a source repeats itself after a reconnect; an older repetition costs a question to the database."""

    cache_max: int = 5_000
    counters_max: int = 5_000


DEFAULT_BOUNDS = Bounds()


class QueueStore(Protocol):
    """A bounded queue of ids, given out at least once. An item stands in it once, waiting or taken.

    Part of the bound is kept for exits: the others are refused while exits still find room.
    """

    async def add(self, items: Sequence[str], *, exits: Collection[str] = ()) -> list[str]:
        """Add at the end, in order, as many as the bound allows; returns those that found no room, in order.

        `exits` names those among the items that may use the whole bound. Behind one that was refused only exits are
        added. An item that is already there is not refused and keeps its place. The bound is checked in the same
        step, also against other processes, and nothing is ever trimmed. Raises StoreDown; the same items may then
        be added again.
        """
        ...

    async def take(self, max_items: int, *, wait_ms: int) -> list[Taken]:
        """Up to `max_items`, at least 1: those whose taker let `reclaim_ms` pass first, then the oldest waiting.

        With nothing to give it waits at most `wait_ms` for an arrival; it may answer earlier, and empty, when another
        taker was faster. Nothing is taken while it waits, so cancelling a waiting take strands nothing. Raises
        StoreDown; what was taken and lost with the answer is given again after `reclaim_ms`.
        """
        ...

    async def done(self, receipts: Sequence[str]) -> None:
        """End these items and free their room; a receipt that was ended already is passed over. Raises StoreDown."""
        ...

    async def size(self) -> int:
        """Items waiting, plus items taken and not done. Raises StoreDown."""
        ...


class DedupStore(Protocol):
    """The highest total remembered by key: "was this much seen already?" Never below zero, of any size.

    Holds `dedup_max` keys, each for `dedup_ttl_ms` from when it was last remembered. To have forgotten is harmless.
    """

    async def known(self, keys: Sequence[str]) -> list[int | None]:
        """The remembered totals in the order of the keys, None where nothing is remembered. Raises StoreDown."""
        ...

    async def remember(self, totals: Mapping[str, int]) -> None:
        """Raise each remembered total to this one; a lower one changes nothing. Atomic by key. Raises StoreDown."""
        ...


class CacheStore(Protocol):
    """Bytes by key, at most `cache_max` of them; each may be gone before its time."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None when it was never set, has ended or had to make room. Raises StoreDown."""
        ...

    async def set(self, key: str, value: bytes, ttl_ms: int) -> None:
        """Keep the value for `ttl_ms`, at least 1, in place of an earlier one. Raises StoreDown."""
        ...


class WakeUp(Protocol):
    """A bell by name that remembers one ring. Names are few and written in code."""

    async def wake(self, name: str) -> None:
        """Wake one waiter of this name, or the next to come; rings before that are one ring. Raises StoreDown."""
        ...

    async def wait(self, name: str, timeout_ms: int) -> bool:
        """True on the first ring, False after `timeout_ms`: a lost ring costs no more than that. Raises StoreDown."""
        ...


class CounterStore(Protocol):
    """Sums over windows of time: fast hints, while the database counts what must be right. `counters_max` names."""

    async def add(self, name: str, amount: int, window_ms: int) -> int:
        """The total of the current window, this amount included; totals stay within 64 bits.

        A window begins with the first amount after the last one ended, and is as long as that call said, at least
        1 ms. Raises StoreDown; the amount may then have been counted or not.
        """
        ...

    async def read(self, name: str) -> int:
        """The total of the current window, 0 when there is none. Raises StoreDown."""
        ...


class Shelf(Protocol):
    """What the stores of one process stand on."""

    async def clear(self) -> None:
        """Forget everything in all of them, other processes' share included. Raises StoreDown."""
        ...

    async def close(self) -> None:
        """Let go of connections; what is stored stays. No verb may follow."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """One store of each kind, on one shelf."""

    queue: QueueStore
    dedup: DedupStore
    cache: CacheStore
    wake_up: WakeUp
    counters: CounterStore
    shelf: Shelf

    async def clear(self) -> None:
        """Forget everything. Raises StoreDown."""
        await self.shelf.clear()

    async def close(self) -> None:
        """Let go of connections; what is stored stays."""
        await self.shelf.close()
