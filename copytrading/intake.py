"""Takes what sources read, works out what is new, records it as signals and offers their ids to the queue.

A signal is a row before it is a queue item: a full or broken queue delays it, and the sweeper finds it again.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from copytrading.decide import SignalFacts
from copytrading.fresh import FreshSignals
from copytrading.groups import GroupTotal, Tally
from copytrading.metrics import QUEUED_SIGNALS, Tallies
from copytrading.operations.signals import Recorded, record_signals
from copytrading.operations.withdrawals import withdraw
from copytrading.pauses import one_of, sleep_or_stop
from copytrading.shards import shard_of
from copytrading.signals import ActionKind, GroupKey, LeaderAction, OtherAction, RepeatedRow, Unreadable
from copytrading.sources.base import Reading
from copytrading.sources.stats import SourceStats
from guardrails.stores.base import QueueStore, StoreDown
from ledger.clock import Clock
from ledger.db import Database
from ledger.units import Side

ROOM_WAIT_S = 0.02
"""How long to wait before asking a full queue again: a full one lasts for many of these, and each question costs."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class ReadCounts:
    """What was read, by kind of row; every row is in exactly one of them."""

    rows: int = 0
    trade_rows: int = 0
    repeated_rows: int = 0
    unreadable: int = 0
    other_rows: Counter[str] = field(default_factory=Counter)
    group_sizes_micros: dict[GroupKey, int] = field(default_factory=dict)
    signal_ids: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeSettings:
    """`remember` keeps every group and signal id for a report: for runs that end.

    A replay waits for room in the queue; live sources cannot (`wait_for_room` False): what the queue refuses is a row,
    and the sweeper offers it again.
    """

    coalesce_ms: int
    queue_max: int
    shard: int = 0
    of: int = 1
    remember: bool = False
    wait_for_room: bool = True


class Intake:
    """The `Sink` of every source."""

    def __init__(
        self, database: Database, queue: QueueStore, clock: Clock, *, tallies: Tallies, settings: IntakeSettings
    ) -> None:
        self._database, self._queue, self._clock = database, queue, clock
        self._tallies, self._settings = tallies, settings
        self._walks: dict[str, Tally] = {}
        self._waiting: dict[tuple[str, str, GroupKey], tuple[float, GroupTotal]] = {}
        self._one_at_a_time, self._news = asyncio.Lock(), asyncio.Event()
        self.counts = ReadCounts()
        self.stats: Mapping[str, SourceStats] = {}
        """By the label of rows: told what became of what each source showed. Empty: nobody asks."""
        self.fresh: FreshSignals | None = None
        """Whoever begins what was just recorded, without reading it again."""
        self.holds: Callable[[], object] = _always
        """Raises LeaseLost when this process may no longer write for its shard."""
        self.hurry = False
        """True while stopping: record at once, room in the queue or not; the sweeper offers the rows later."""

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        """Count and group the rows; record at once what is complete, the rest after the coalescing window."""
        tally = self._walks.setdefault(walk, Tally())
        seen_ms = self._clock.monotonic_ms()
        for reading in readings:
            self._count(reading)
            if isinstance(reading, LeaderAction) and self._is_ours(reading.wallet):
                total = tally.add(reading)
                name = (walk, total.source, total.key)
                first_ms, _older = self._waiting.get(name, (seen_ms, total))
                self._waiting[name] = (first_ms, total)
                self._news.set()
        if complete:
            await self._flush(before_ms=None, walk=walk)

    async def end_walk(self, walk: str) -> None:
        """Record what still waits and forget the walk."""
        await self._flush(before_ms=None, walk=walk)
        self._walks.pop(walk, None)

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        """Mark what was made of these transactions. What still waits of them is recorded first, and then marked too."""
        await self._flush(before_ms=None)
        gone = await self._database.run(withdraw, source, tx_hashes, now=self._clock.now())
        if gone.acted:
            log.error("Transactions that were acted on are not in the chain.", action="withdraw", groups=gone.acted)

    async def run(self, stop: asyncio.Event) -> None:
        """Record groups whose window has passed, until stopped; then record the rest."""
        while not stop.is_set():
            await self.run_once()
            await (sleep_or_stop(self._clock, stop, self._next_s()) if self._waiting else one_of(stop, self._news))
            self._news.clear()
        await self._flush(before_ms=None)

    async def run_once(self) -> None:
        """Record the groups whose window has passed."""
        await self._flush(before_ms=self._clock.monotonic_ms() - self._settings.coalesce_ms)

    def _next_s(self) -> float:
        """Until the window of the group that has waited longest is over."""
        first_ms = min(first_ms for first_ms, _total in self._waiting.values())
        return max(0.0, first_ms - (self._clock.monotonic_ms() - self._settings.coalesce_ms)) / 1_000

    def _is_ours(self, wallet: str) -> bool:
        return self._settings.of == 1 or shard_of(wallet, self._settings.of) == self._settings.shard

    def _count(self, reading: Reading) -> None:
        counts = self.counts
        counts.rows += 1
        if isinstance(reading, RepeatedRow):
            counts.repeated_rows += 1
        elif isinstance(reading, Unreadable):
            counts.unreadable += 1
            log.warning("A row could not be read.", action="read", place=reading.place, why=reading.sentence)
        elif isinstance(reading, OtherAction):
            counts.other_rows[reading.type] += 1
        elif reading.kind is ActionKind.TRADE:
            counts.trade_rows += 1
        else:
            counts.other_rows[reading.kind.name] += 1

    async def _flush(self, *, before_ms: float | None, walk: str | None = None) -> None:
        """Record what has waited since before a moment, of one walk or of all: others keep their windows."""
        async with self._one_at_a_time:
            due = {
                name: total
                for name, (first_ms, total) in self._waiting.items()
                if (before_ms is None or first_ms <= before_ms) and (walk is None or name[0] == walk)
            }
            for name in due:
                del self._waiting[name]
            if due:
                await self._record(list(due.values()), self._clock.now())

    async def _record(self, totals: list[GroupTotal], now: datetime) -> None:
        await self._wait_for_room()
        self.holds()
        recorded = await self._database.run(record_signals, totals, now=now)
        self._tallies.count_signals(len(recorded.signals))
        if self.fresh is not None:
            self.fresh.note(recorded.signals)
        self._tell(recorded)
        if self._settings.remember:
            self._remember(totals, recorded.signals)
        exits = {str(each.signal_id) for each in recorded.signals if each.side is Side.SELL}
        await self._enqueue([str(signal.signal_id) for signal in recorded.signals], exits)

    def _tell(self, recorded: Recorded) -> None:
        for kind in ("first", "increases", "overcounts"):
            for source, number in getattr(recorded, kind).items():
                if source in self.stats:
                    self.stats[source].count(kind, number)

    def _remember(self, totals: Sequence[GroupTotal], signals: Sequence[SignalFacts]) -> None:
        sizes = self.counts.group_sizes_micros
        for total in totals:
            if total.kind is ActionKind.TRADE:
                sizes[total.key] = max(total.size_micros, sizes.get(total.key, 0))
        self.counts.signal_ids += [signal.signal_id for signal in signals]

    async def _wait_for_room(self) -> None:
        while self._may_wait() and await self._depth() >= self._settings.queue_max:
            await self._clock.sleep(ROOM_WAIT_S)

    def _may_wait(self) -> bool:
        return self._settings.wait_for_room and not self.hurry

    async def _depth(self) -> int:
        try:
            depth = await self._queue.size()
        except StoreDown:
            return 0  # the rows are the truth: record, and let the sweeper offer them
        QUEUED_SIGNALS.set(depth)
        return depth

    async def _enqueue(self, ids: Sequence[str], exits: Collection[str]) -> None:
        left = list(ids)
        while left:
            try:
                left = await self._queue.add(left, exits=exits)
            except StoreDown:
                log.warning("The queue is down; the sweeper will offer these signals.", action="enqueue", ids=len(left))
                return
            if left and not self._may_wait():
                return
            if left:
                await self._clock.sleep(ROOM_WAIT_S)


def _always() -> None:
    return
