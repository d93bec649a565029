"""The queue of signal ids as the engine sees it: the store's, and the database itself while the store is down.

Rows are the truth, so a queue that does not answer costs time and nothing else: open signals are then read from the
database every half second, or at once when this process has recorded some. What the queue refuses stays a row; it is
counted by why, told as an event at most once a minute, and offered again by the sweeper. A taker who waits is handed
what is added here: what nobody has to wait for need not go through the store and back.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

import structlog

from copytrading.metrics import QUEUE_DOWN, QUEUE_REFUSED_TOTAL
from copytrading.operations.incidents import record_incidents
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard, entries_before, open_ids
from guardrails.intents import Reason, Refusal, Unit
from guardrails.stores.base import QueueStore, StoreDown, Taken
from ledger.clock import Clock
from ledger.db import Database

LOOK_EVERY_MS = 500
"""Between two looks into the database while the queue is down; a signal recorded by this process does not wait."""

OVERLAP_MS = 2_000
"""The database is read so long after the queue answers again: what could not be queued meanwhile is not left to the
sweeper."""

EVENT_EVERY_MS = 60_000
"""One event for each kind of trouble in this time; it tells how many were refused since the last."""

UNENDED_MAX = 10_000
"""Receipts kept to be ended when the queue answers again; others are given out once more, and found done."""

log = structlog.get_logger(__name__)


class Refused(StrEnum):
    """Why a signal is not in the queue."""

    FULL = "full"
    FULL_FOR_EXITS = "full_for_exits"
    STILL_FULL = "still_full"
    WAITS = "waits"
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalQueueSettings:
    """The store's bound, as events tell it, and how long a taker may keep what it took.

    `patient`: whoever adds waits for room, as a replay does; that the queue is full is then no trouble to tell of.
    """

    queue_max: int
    reclaim_ms: int
    patient: bool = False


@dataclass(frozen=True, slots=True)
class _InHand:
    item: str
    taken_ms: float


@dataclass(slots=True)
class _Taker:
    """Who waits for something to take: for how many, and what was handed over."""

    max_items: int
    items: list[Taken] = field(default_factory=list)
    given: asyncio.Event = field(default_factory=asyncio.Event)


class SignalQueue:
    """`QueueStore` for the services of one shard, which share this one object. Adding and taking never fail."""

    def __init__(
        self, store: QueueStore, database: Database, clock: Clock, *, shard: Shard, settings: SignalQueueSettings
    ) -> None:
        self._store, self._database, self._clock = store, database, clock
        self._shard, self._reclaim_ms = shard, settings.reclaim_ms
        self._events = _Events(database, clock, subject=f"queue of shard {shard.index}/{shard.of}")
        self._queue_max, self._patient = settings.queue_max, settings.patient
        self._down = False
        self._read_until_ms = self._looked_ms = float("-inf")
        self._arrived = asyncio.Event()
        self._in_hand: dict[str, _InHand] = {}
        self._unended: list[str] = []
        self._early: list[Taken] = []
        self._taker: _Taker | None = None
        self._stored = self._storing = 0
        self._entry_age: timedelta | None = None
        self.refused: Counter[Refused] = Counter()
        # Series at 0 from the start: `increase()` does not count the first event of one that appears with it.
        for why in Refused:
            QUEUE_REFUSED_TOTAL.labels(why.value)
        QUEUE_DOWN.set(0)

    @property
    def down(self) -> bool:
        """True while the database is the queue."""
        return self._down

    @property
    def entries_since(self) -> datetime | None:
        """Entries detected before this moment are put off; None: none are."""
        return None if self._entry_age is None else self._clock.now() - self._entry_age

    def refuse_oldest(self, older_than: timedelta | None) -> None:
        """Put entries of this age off from now on; None offers and decides them again. Exits are never put off."""
        self._entry_age = older_than
        self._arrived.set()

    async def add(self, items: Sequence[str], *, exits: Collection[str] = ()) -> list[str]:
        """Those that found no room. While the queue is down all have: the database holds them."""
        refused = await self._add(items, exits)
        if self._patient:
            await self._count(Refused.WAITS, len(refused))
            return refused
        for_exits = sum(item in exits for item in refused)
        await self._count(Refused.FULL, len(refused) - for_exits)
        await self._count(Refused.FULL_FOR_EXITS, for_exits)
        return refused

    async def add_again(self, items: Sequence[str], *, exits: Collection[str]) -> list[str]:
        """As `add`, for what was offered before: refused once more it is counted apart. What is in hand is left out."""
        held = self._held()
        refused = await self._add([each for each in items if each not in held], exits)
        await self._count(Refused.STILL_FULL, len(refused))
        return refused

    async def take(self, max_items: int, *, wait_ms: int) -> list[Taken]:
        """From the queue, or what is open in the database while the queue is down."""
        if self._down:
            return await self._take_open(max_items, wait_ms)
        try:
            early, self._early = self._early, []
            taken = early or await self._ask(max_items, wait_ms)
        except StoreDown as why:
            await self._fall_back(why)
            return await self._take_open(max_items, 0)
        self._hold(taken)
        taken = await self._young(taken)
        if len(taken) < max_items and self._clock.monotonic_ms() < self._read_until_ms:
            taken += await self._take_open(max_items - len(taken), 0)
        return taken

    async def done(self, receipts: Sequence[str]) -> None:
        """End them; those that the queue cannot end now are ended when it answers again."""
        for receipt in receipts:
            self._in_hand.pop(receipt, None)
        self._unended += [each for each in receipts if not each.startswith((_OF_DATABASE, _HANDED))]
        if self._down or not self._unended:
            return
        ended, self._unended = self._unended, []
        try:
            await self._store.done(ended)
        except StoreDown as why:
            self._unended = ended[-UNENDED_MAX:]
            await self._fall_back(why)

    async def size(self) -> int:
        """As the store counts. Raises StoreDown."""
        if self._down:
            raise StoreDown("The queue is down; signals wait in the database.")
        try:
            return await self._store.size()
        except StoreDown as why:
            await self._fall_back(why)
            raise

    async def look(self) -> None:
        """Ask a queue that is down whether it answers again, and tell what has not been told: for every second."""
        if self._down:
            try:
                # A read would also succeed on a server that lets nobody write.
                self._early += await self._store.take(1, wait_ms=0)
            except StoreDown:
                return
            self._down = False
            self._read_until_ms = self._clock.monotonic_ms() + OVERLAP_MS
            self._arrived.set()
            QUEUE_DOWN.set(0)
            log.info("The queue answers again.", action="queue")
            await self._events.tell(Reason.QUEUE_BACK)
        await self._events.tell_rest()

    async def _ask(self, max_items: int, wait_ms: int) -> list[Taken]:
        """What the store has; while it has nothing, what is added here within the wait. Raises StoreDown.

        It may answer earlier, and with nothing. Only this object adds for its shard, so that the wait need not be the
        store's: what others left there is found by the next question.
        """
        before, quiet = self._stored, not self._storing
        taken = await self._store.take(max_items, wait_ms=0)
        if taken or not wait_ms or not quiet or self._stored != before:
            return taken
        # The store was empty, and nothing has gone or is on its way there: what is handed over now overtakes nothing.
        self._taker = taker = _Taker(max_items)
        try:
            await sleep_or_stop(self._clock, taker.given, wait_ms / 1_000)
        finally:
            self._taker = None
        return taker.items

    def _hand_over(self, items: Sequence[str]) -> Sequence[str]:
        """Give them to whoever waits; those left. Lost with the process they are rows, and offered by the sweeper."""
        taker = self._taker
        if taker is None or not items:
            return items
        self._taker = None
        mine = items[: taker.max_items]
        taker.items = [Taken(item=each, receipt=f"{_HANDED}{each}") for each in mine]
        taker.given.set()
        return items[len(mine) :]

    async def _add(self, items: Sequence[str], exits: Collection[str]) -> list[str]:
        items = self._hand_over(items)
        if not items:
            return []
        if not self._down:
            self._stored += 1
            self._storing += 1
            try:
                return await self._store.add(items, exits=exits)
            except StoreDown as why:
                await self._fall_back(why)
            finally:
                self._storing -= 1
        self._arrived.set()
        return []

    async def _take_open(self, max_items: int, wait_ms: int) -> list[Taken]:
        due_in_ms = self._looked_ms + LOOK_EVERY_MS - self._clock.monotonic_ms()
        if due_in_ms > 0 and not self._arrived.is_set():
            await sleep_or_stop(self._clock, self._arrived, min(wait_ms, due_in_ms) / 1_000)
            if due_in_ms > wait_ms and not self._arrived.is_set():
                return []
        self._arrived.clear()
        self._looked_ms = self._clock.monotonic_ms()
        held = self._held()
        found = await self._database.run(
            open_ids,
            before=self._clock.now() + timedelta(microseconds=1),
            limit=max_items + len(held),
            shard=self._shard,
            entries_since=self.entries_since,
        )
        ids = [str(each.signal_id) for each in found if str(each.signal_id) not in held][:max_items]
        if len(ids) == max_items:
            self._arrived.set()  # there may be more
        taken = [Taken(item=each, receipt=f"{_OF_DATABASE}{each}") for each in ids]
        self._hold(taken)
        return taken

    def _hold(self, taken: Sequence[Taken]) -> None:
        now_ms = self._clock.monotonic_ms()
        for each in taken:
            self._in_hand[each.receipt] = _InHand(each.item, now_ms)

    def _held(self) -> set[str]:
        """What this process is at; what it has held for too long may be given out again, as by the store."""
        since_ms = self._clock.monotonic_ms() - self._reclaim_ms
        self._in_hand = {receipt: each for receipt, each in self._in_hand.items() if each.taken_ms > since_ms}
        return {each.item for each in self._in_hand.values()}

    async def _young(self, taken: list[Taken]) -> list[Taken]:
        since = self.entries_since
        if since is None or not taken:
            return taken
        old = await self._database.run(entries_before, [int(each.item) for each in taken], since)
        await self.done([each.receipt for each in taken if int(each.item) in old])
        await self._count(Refused.TOO_OLD, len(old))
        return [each for each in taken if int(each.item) not in old]

    async def _count(self, why: Refused, number: int) -> None:
        if not number:
            return
        self.refused[why] += number
        QUEUE_REFUSED_TOTAL.labels(why.value).inc(number)
        if why in (Refused.FULL, Refused.FULL_FOR_EXITS):
            await self._events.tell(Reason.QUEUE_FULL, number, limit=self._queue_max)

    async def _fall_back(self, why: StoreDown) -> None:
        if self._down:
            return
        self._down = True
        self._looked_ms = float("-inf")
        QUEUE_DOWN.set(1)
        log.warning("The queue is down; signals are taken from the database.", action="queue", why=str(why))
        await self._events.tell(Reason.QUEUE_DOWN)


_OF_DATABASE, _HANDED = "database:", "handed:"


class _Events:
    """Tells of each kind of trouble at most once in a while, and then of all since the last time."""

    def __init__(self, database: Database, clock: Clock, *, subject: str) -> None:
        self._database, self._clock, self._subject = database, clock, subject
        self._untold: Counter[Reason] = Counter()
        self._limits: dict[Reason, int | None] = {}
        self._told_ms: dict[Reason, float] = {}

    async def tell(self, reason: Reason, number: int = 1, *, limit: int | None = None) -> None:
        """An event now, or with the next one of its kind."""
        self._untold[reason] += number
        self._limits[reason] = limit
        await self.tell_rest()

    async def tell_rest(self) -> None:
        """Write the events whose time has come."""
        now_ms = self._clock.monotonic_ms()
        due = [each for each in self._untold if now_ms - self._told_ms.get(each, float("-inf")) >= EVENT_EVERY_MS]
        if not due:
            return
        self._told_ms |= dict.fromkeys(due, now_ms)
        told = [Refusal(each, self._untold.pop(each), self._limits[each], Unit.COUNT) for each in due]
        await self._database.run(record_incidents, told, subject=self._subject, now=self._clock.now())
