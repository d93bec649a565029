"""Looks at READY copies when their time has come: decides them anew, and hands those that may go to the sender.

Everything is asked again, by the same steps as in the pipeline: the config as it is now, fresh facts and quotes. After
a crash READY copies are provably unsent and simply go on here.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from django.db import IntegrityError

from copytrading.batches import Batch, Pair, Subscribers
from copytrading.decide import Config, SignalFacts
from copytrading.deciding import decide_all
from copytrading.facts import Gathered
from copytrading.models import CopyTrade
from copytrading.operations.prewrite import Written
from copytrading.operations.waiting import Promotion, drop_ready, due_ready, look_again, promote
from copytrading.pauses import sleep_or_stop
from copytrading.pipeline import Doors, PipelineSettings, Steps
from copytrading.queries import already_decided, overtaken_buys, signal_facts
from copytrading.quoting import quotes_for
from copytrading.states import Status
from copytrading.tracking.queries import bought_since
from copytrading.under_way import under_way
from copytrading.waiting_room import LOOK_AGAIN, LOOK_SELDOM, OLDER_BY_MAX, Queued
from execution.queries import holdings
from guardrails.intents import Reason, Refusal
from ledger.units import Micros, Side

ROWS_MAX = 64
"""Decided in one look: they share a transaction, and come on top of what the pipeline may have under way."""

SALES_SINCE = timedelta(hours=1)
"""Sales heard before are older than anything that waits."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Taken:
    """READY copies to decide together, each with its signal and config."""

    rows: tuple[CopyTrade, ...]
    pairs: tuple[Pair, ...]

    @property
    def batch(self) -> Batch:
        """As the pipeline's steps take it; no signal begins or ends here."""
        signals = tuple({signal.signal_id: signal for signal, _config in self.pairs}.values())
        return Batch(pairs=self.pairs, finished=(), without_followers=(), signals=signals)


class Waiting:
    """Moves READY copies on. Doors, steps and settings are the pipeline's own; `steps.room` must be there."""

    name = "waiting"

    def __init__(self, doors: Doors, steps: Steps, *, settings: PipelineSettings) -> None:
        self._doors, self._steps, self._settings = doors, steps, settings

    async def run(self, stop: asyncio.Event) -> None:
        """Look every 200 ms until stopped; what waits then goes on at the next start."""
        while not stop.is_set():
            self._steps.sender.raise_failure()
            await self.run_once(stop)
            await sleep_or_stop(self._doors.clock, stop, LOOK_AGAIN.total_seconds())

    async def run_once(self, stop: asyncio.Event | None = None) -> int:
        """Decide what is due; the number of copies that do not wait any more."""
        shard = self._steps.lease.shard
        now = self._doors.clock.now()
        left = await self._without_shares(
            await self._doors.database.run(due_ready, now=now, limit=ROWS_MAX, shard=shard), now
        )
        done = 0
        while left and not (stop is not None and stop.is_set()):
            apart, left = _apart(left)
            try:
                done += await self._decide(apart)
            except IntegrityError:
                # A config that was deleted by hand: nothing was written, and the next look knows.
                if not await self._steps.gatherer.reread_configs():
                    raise
        return done

    async def _without_shares(self, rows: list[CopyTrade], now: datetime) -> list[CopyTrade]:
        """The copies but for sales whose purchase is still open: they are not worth a question to the venue.

        Those that have waited for long are, where their follower holds at least as much as is still to come.
        """
        run = self._doors.database.run
        sales = [row for row in rows if _queued(row).waits_for_buy and now < _queued(row).until]
        if not sales:
            return rows
        there = await run(under_way, {row.follower_id for row in sales})
        early = [row for row in sales if there.buys_before((row.follower_id, row.token_id), row.pk)]
        late = [row for row in early if _queued(row).is_late(now)]
        held = await run(holdings, {row.follower_id for row in late}, {row.token_id for row in late}) if late else {}
        keys = {row.pk: (row.follower_id, row.token_id) for row in late}
        sellable = {pk for pk, key in keys.items() if held.get(key, 0) >= there.bought_micros(key, before=pk)}
        for wait, left in (
            (LOOK_AGAIN, {row.pk for row in early} - keys.keys()),
            (LOOK_SELDOM, keys.keys() - sellable),
        ):
            if left:
                await run(look_again, sorted(left), at=now + wait)
        waiting = {row.pk for row in early} - sellable
        return [row for row in rows if row.pk not in waiting]

    async def _decide(self, rows: Sequence[CopyTrade]) -> int:
        gatherer, sender = self._steps.gatherer, self._steps.sender
        subscribers = await gatherer.configs({row.leader_id for row in rows})
        taken, orphans = _with_configs(rows, subscribers)
        if orphans:
            await self._drop(orphans)
        if not taken.rows:
            return len(orphans)
        batch = taken.batch
        await sender.settled(batch.exits())
        await sender.room_for(len(batch.pairs))
        gathered = await self._gather(taken)
        # Somebody may have switched off meanwhile; the next look decides by that.
        if await gatherer.configs(subscribers) != subscribers:
            return len(orphans)
        written_ms = self._doors.clock.monotonic_ms()
        written = await self._promote(taken, gathered)
        self._count(written)
        sender.start(written.reserved, written_ms=written_ms)
        return len(orphans) + sum(row.status != Status.READY for row in written.rows)

    async def _gather(self, taken: _Taken) -> Gathered:
        """The facts of now, as if these copies had not been decided before."""
        gathered = await self._steps.gatherer.gather(taken.batch)
        now, signals = self._doors.clock.now(), taken.batch.signals
        run = self._doors.database.run
        before = {
            (config.config_id, signal.group_key): row.pk
            for row, (signal, config) in zip(taken.rows, taken.pairs, strict=True)
        }
        already = await run(already_decided, signals, before=before)
        sold = await run(overtaken_buys, signals, since=now - SALES_SINCE, waited=True)
        older_by_s = {
            (row.config_id, row.signal_id): int(OLDER_BY_MAX.total_seconds())
            for row in taken.rows
            if Reason.WAITED_FOR_BUY in _queued(row).waited
        }
        # What the leader bought again after a sale is not what he sold.
        later = await run(bought_since, [row for row in taken.rows if row.side == Side.SELL])
        held = gathered.holdings
        return replace(
            gathered,
            decided=frozenset(),
            already=already,
            overtaken=gathered.overtaken | sold,
            older_by_s=older_by_s,
            holdings={**held, **{key: Micros(max(0, held.get(key, 0) - size)) for key, size in later.items()}},
        )

    async def _promote(self, taken: _Taken, gathered: Gathered) -> Written:
        steps, doors = self._steps, self._doors
        answers = decide_all(taken.pairs, gathered)
        quotes = await quotes_for(answers, gathered, doors.books)
        decisions = steps.planner.plan_all(answers, gathered, quotes)
        decisions = await steps.sender.prove(decisions)
        assert steps.room is not None
        again = {(row.config_id, row.signal_id): _queued(row) for row in taken.rows}
        work = Promotion(
            rows=taken.rows,
            decisions=steps.room.hold_back(decisions, gathered, outgoing=steps.sender.outgoing, again=again),
            lease=steps.lease.held(),
            lock_token=doors.ids.token(),
            locked_by=self._settings.worker,
            # The moment of the facts: budgets were chosen by its hour and day, and are given back by it.
            now=gathered.rule_base.now,
            expire_after_s=self._settings.expire_after_s,
        )
        return await doors.database.run(promote, work)

    async def _drop(self, rows: Sequence[CopyTrade]) -> None:
        lease, now = self._steps.lease.held(), self._doors.clock.now()
        dropped = await self._doors.database.run(drop_ready, rows, Refusal(Reason.NO_SUBSCRIBERS), lease=lease, now=now)
        self._tell([row.pk for row in rows if row.pk in dropped], Status.SKIPPED, [Reason.NO_SUBSCRIBERS.value])

    def _count(self, written: Written) -> None:
        for row in written.rows:
            if row.status != Status.READY:
                told = [each["reason"] for each in row.reasons if not each.get("note")]
                self._tell([row.pk], Status(row.status), told if row.status == Status.SKIPPED else [])

    def _tell(self, trade_ids: Sequence[int], status: Status, reasons: Sequence[str]) -> None:
        for trade_id in trade_ids:
            log.info("A copy that waited goes on.", action="wait", trade=trade_id, status=status.value)
            if status is Status.SKIPPED:
                self._steps.tallies.count_copy(status.value, reasons)
        self._steps.tallies.remember_newest(trade_ids)


def _apart(rows: Sequence[CopyTrade]) -> tuple[list[CopyTrade], list[CopyTrade]]:
    """Copies that may be decided together, and the rest: of one config and market one after the other."""
    seen: set[tuple[int, str]] = set()
    now: list[CopyTrade] = []
    later: list[CopyTrade] = []
    for row in rows:
        key = (row.follower_id, row.condition_id)
        (later if key in seen else now).append(row)
        seen.add(key)
    return now, later


def _with_configs(rows: Sequence[CopyTrade], subscribers: Subscribers) -> tuple[_Taken, list[CopyTrade]]:
    """The copies with their configs as they are now, and those whose config is switched off or gone."""
    found = list(_pairs(rows, subscribers))
    taken = [(row, signal, config) for row, signal, config in found if config is not None]
    orphans = [row for row, _signal, config in found if config is None]
    return _Taken(
        tuple(row for row, *_pair in taken), tuple((signal, config) for _row, signal, config in taken)
    ), orphans


def _pairs(
    rows: Sequence[CopyTrade], subscribers: Subscribers
) -> Iterator[tuple[CopyTrade, SignalFacts, Config | None]]:
    for row in rows:
        configs = subscribers.get(row.leader_id, ())
        config = next((each for each in configs if each.config_id == row.config_id), None)
        yield row, signal_facts(row.signal, row.signal.group.key), config


_WAITED = frozenset({Reason.WAITED_FOR_BUY, Reason.RATE_LIMITED, Reason.UNSOLD})


def _queued(row: CopyTrade) -> Queued:
    assert row.expires_at is not None
    noted = tuple(Reason(each["reason"]) for each in row.reasons if each.get("note"))
    waited = tuple(each for each in noted if each in _WAITED)
    return Queued(trade_id=row.pk, until=row.expires_at, waited=waited)
