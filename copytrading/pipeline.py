"""Every step of a signal, top to bottom; read this first.

Signals are taken from the queue in order and decided in batches: gather, decide, quote, plan, write, send. The
database is asked a constant number of times for a batch, whatever the number of followers. Only rows that
this process inserted and reserved are sent; everything after the prewrite survives a crash as a row.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from django.db import IntegrityError

from copytrading.batches import Batch, Subscribers, Waiting, next_batch
from copytrading.costs import NO_COSTS, Costs
from copytrading.decide import SignalFacts
from copytrading.deciding import Planner, decide_all
from copytrading.facts import Gatherer
from copytrading.fresh import FreshSignals
from copytrading.held import Held
from copytrading.metrics import StageTimes, Tallies
from copytrading.operations.attempts import ATTEMPTS_MAX, begin_signals, count_try, drop_signals, on_a_later_try
from copytrading.operations.decisions import Decision
from copytrading.operations.prewrite import Prewrite, Written, prewrite
from copytrading.quoting import Books, quotes_for
from copytrading.sending import Sender
from copytrading.shardlease import LeaseKeeper
from copytrading.waiting_room import WaitingRoom
from guardrails.intents import Reason
from guardrails.stores.base import QueueStore, StoreDown
from ledger.clock import Clock, Ids
from ledger.db import Database

TAKE_FIRST, TAKE_MIN, TAKE_MAX = 64, 16, 512
"""Signals taken from the queue at once: at the start, where each has many followers, and where each has few."""

ROOM_MIN = 8
"""More are taken for the next batch when so many fit beside those that wait: each question costs."""

BATCHES_TAKEN = 2
"""Batches that the signals taken should fill, by how many copies the ones before have needed."""

WAIT_MS = 100
"""How long to wait for the first signal; also how soon a stop is noticed."""

STORE_DOWN_WAIT_S = 0.5
"""Between questions to a queue that is down."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """Bounds of this process; see `config.settings` for units and reasons."""

    batch_copies: int
    expire_after_s: int
    worker: str
    fan_out_max: int | None = None
    attempts_max: int = ATTEMPTS_MAX


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """The outside as the pipeline reaches it; `fresh` is told by whoever records."""

    database: Database
    queue: QueueStore
    books: Books
    clock: Clock
    ids: Ids
    fresh: FreshSignals = field(default_factory=FreshSignals)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The parts that the pipeline leads a batch through; without a `room` every copy is sent at once."""

    gatherer: Gatherer
    planner: Planner
    sender: Sender
    lease: LeaseKeeper
    stages: StageTimes
    tallies: Tallies
    costs: Costs = NO_COSTS
    room: WaitingRoom | None = None


class Pipeline:
    """Decides queued signals, one batch after the other; sends run beside it, bounded by the sender."""

    name = "pipeline"

    def __init__(self, doors: Doors, steps: Steps, *, settings: PipelineSettings) -> None:
        self._doors, self._steps, self._settings = doors, steps, settings
        self.fresh = doors.fresh
        self._take = TAKE_FIRST
        self._fan_out_max = settings.fan_out_max

    def limit_fan_out(self, copies: int | None) -> None:
        """So many copies of one leader in a batch while others wait, from the next batch on; None: as set."""
        self._fan_out_max = self._settings.fan_out_max if copies is None else copies

    async def run(self, stop: asyncio.Event) -> None:
        """Work until stopped; what is left in the queue stays there."""
        while not stop.is_set():
            self._steps.sender.raise_failure()
            try:
                await self.run_once(stop)
            except StoreDown:
                log.warning("The queue is down; signals wait in the database.", action="take")
                await self._doors.clock.sleep(STORE_DOWN_WAIT_S)

    async def run_once(self, stop: asyncio.Event | None = None) -> int:
        """Take what is queued and carry it to the sender; the number of signals taken.

        While some of them wait for earlier ones, of their market or of their batch, more are taken to fill the next.
        """
        held = Held(self._doors.queue)
        waiting: list[Waiting] = []
        taken = await held.take(self._take, wait_ms=WAIT_MS)
        number = 0
        while taken or waiting:
            number += len(taken)
            waiting += await self._begin(taken, beside=waiting)
            if stop is not None and stop.is_set():
                return number
            waiting = await self._decide_next(waiting)
            # Marking comes last: until here a crash leaves the signals in the queue and open in the database.
            await held.end_all_but({each.signal.signal_id for each in waiting}, last=not waiting)
            room = self._take - len(waiting)
            taken = await held.more(room) if waiting and room >= ROOM_MIN else []
        return number

    async def process(self, signal_ids: Sequence[int]) -> None:
        """Decide these signals for every follower that lacks a copy; those already done are left alone."""
        waiting = await self._begin(signal_ids)
        while waiting:
            waiting = await self._decide_next(waiting)

    async def _begin(self, signal_ids: Sequence[int], *, beside: Sequence[Waiting] = ()) -> list[Waiting]:
        if not signal_ids:
            return []
        new = await self._read(signal_ids)
        # A sell brings earlier signals along, which may wait here already.
        known = {each.signal.signal_id for each in beside}
        return [each for each in new if each.signal.signal_id not in known]

    async def _read(self, signal_ids: Sequence[int]) -> list[Waiting]:
        with self._steps.costs.measure("begin"):
            fresh = self._doors.fresh.take(signal_ids, now=self._doors.clock.now())
        if fresh is not None:
            return [Waiting(signal=each, alone=False) for each in fresh]
        begun = await self._doors.database.run(
            begin_signals,
            signal_ids,
            now=self._doors.clock.now(),
            attempts_max=self._settings.attempts_max,
            lease=self._steps.lease.held(),
        )
        if begun.poisoned:
            log.error("Signals that failed again and again were put aside.", action="bury", signals=begun.poisoned)
        return [Waiting(signal=each, alone=each.signal_id in begun.again) for each in begun.signals]

    async def _decide_next(self, waiting: Sequence[Waiting]) -> list[Waiting]:
        """Decide and send the next batch of these; those left, which are all while the configs are not as they were."""
        if not waiting:
            return []
        batch_copies = self._settings.batch_copies
        subscribers = await self._steps.gatherer.configs({each.signal.leader_id for each in waiting})
        batch, left = next_batch(waiting, subscribers, copies_max=batch_copies, fan_out_max=self._fan_out_max)
        try:
            done = await self._process_batch(_first_tried(waiting, batch), batch, subscribers)
        except IntegrityError:
            # A config that was deleted by hand has no row for its copies: nothing was written.
            if not await self._steps.gatherer.reread_configs():
                raise
            done = False
        if not done:
            return [replace(each, tried=each.tried or each.signal in batch.signals) for each in waiting]
        signals = len(batch.signals) + len(batch.without_followers)
        self._take = signals_to_take(signals, len(batch.pairs), batch_copies=batch_copies)
        return left

    async def _process_batch(self, begun: Sequence[SignalFacts], batch: Batch, subscribers: Subscribers) -> bool:
        """Decide, write and send; False, with nothing done, when a config changed while this waited for its turn."""
        steps, stages, costs = self._steps, self._steps.stages, self._steps.costs
        if batch.without_followers:
            await self._drop(batch.without_followers)
        if not batch.signals:
            return True
        steps.sender.expect({config.mode for _signal, config in batch.pairs})
        lease, now = steps.lease.held(), self._doors.clock.now()
        if again := on_a_later_try(begun, now=now):
            await self._doors.database.run(count_try, again, lease=lease)
        await steps.sender.settled(batch.exits())
        await steps.sender.room_for(len(batch.pairs))
        with stages.measure("preflight"):
            gathered = await steps.gatherer.gather(batch)
        # Room, earlier orders and the venue may have been waited for, and somebody may have switched off meanwhile.
        if await steps.gatherer.configs(subscribers) != subscribers:
            return False
        with stages.measure("guardrails"), costs.measure("decide"):
            answers = decide_all(batch.pairs, gathered)
        with stages.measure("pricing"):
            quotes = await costs.steps("quote", quotes_for(answers, gathered, self._doors.books))
            with costs.measure("plan"):
                decisions = steps.planner.plan_all(answers, gathered, quotes)
            decisions = await steps.sender.prove(decisions)
            if steps.room is not None:
                decisions = steps.room.hold_back(decisions, gathered, outgoing=steps.sender.outgoing)
        written_ms = self._doors.clock.monotonic_ms()
        with stages.measure("prewrite"):
            written = await self._prewrite(batch, decisions, now=gathered.rule_base.now)
        self._count(written)
        with costs.measure("send"):
            steps.sender.start(written.reserved, written_ms=written_ms)
        return True

    async def _prewrite(self, batch: Batch, decisions: Sequence[Decision], *, now: datetime) -> Written:
        # The moment of the facts: budgets were chosen by its hour and day, and are given back by it.
        work = Prewrite(
            decisions=decisions,
            done_signals=batch.finished,
            lease=self._steps.lease.held(),
            lock_token=self._doors.ids.token(),
            locked_by=self._settings.worker,
            now=now,
            expire_after_s=self._settings.expire_after_s,
            costs=self._steps.costs,
        )
        return await self._doors.database.run(prewrite, work)

    async def _drop(self, signal_ids: Sequence[int]) -> None:
        lease, now = self._steps.lease.held(), self._doors.clock.now()
        await self._doors.database.run(drop_signals, signal_ids, reason=Reason.NO_SUBSCRIBERS, now=now, lease=lease)

    def _count(self, written: Written) -> None:
        for row in written.rows:
            if row.status == "SKIPPED":
                told = [each["reason"] for each in row.reasons if not each.get("note")]
                self._steps.tallies.count_copy("SKIPPED", told)
        self._steps.tallies.remember_newest([row.pk for row in written.rows])


def _first_tried(waiting: Sequence[Waiting], batch: Batch) -> list[SignalFacts]:
    """The batch's signals that are decided for their first followers: tries are counted once for a signal."""
    begun = {each.signal.signal_id for each in waiting if each.tried}
    return [each for each in batch.signals if each.signal_id not in begun]


def signals_to_take(signals: int, copies: int, *, batch_copies: int) -> int:
    """How many signals fill the next batches, when the last ones made so many copies.

    With one follower a batch of few signals would pay its transactions for few copies; with a thousand, many
    signals would wait in this process for what the queue is there for.
    """
    wanted = BATCHES_TAKEN * batch_copies * signals // copies if copies else TAKE_MAX
    return min(TAKE_MAX, max(TAKE_MIN, wanted))
