"""Resolves orders whose outcome is missing, by asking the venue for their hash; never by sending.

A row that holds an order hash may have been sent. Found and filled: EXECUTED. Not found: asked again until it
expires, then FAILED and watched for a day, because a fill may still appear and is adopted with an incident.
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from copytrading.breaker_watch import Breakers
from copytrading.metrics import Tallies
from copytrading.models import CopyTrade
from copytrading.operations.outcomes import WATCH_FOR, Move, postpone, record_outcomes, take_over
from copytrading.outcomes import tell_breakers
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Due, to_rescue
from copytrading.sending import refusal_of, status_of
from copytrading.shardlease import LeaseKeeper
from copytrading.states import Actor, Status
from execution.ports import Filled, NotFound, OrderState, Rejected, Resting, Unknown, Venue
from guardrails.intents import Reason, Refusal
from ledger.clock import Clock, Ids
from ledger.commissions import NO_TIERS, Tiers
from ledger.db import Database

EVERY_S = 0.5
ROWS_MAX = 200

MISSING_AFTER = timedelta(seconds=5)
"""An order without an outcome for so long has lost its sender or its answer; sends take milliseconds."""

ASK_AGAIN = timedelta(seconds=5)
WATCH_STEPS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=6),
    timedelta(hours=24),
)
"""When a FAILED order is asked about, after it failed or its fill was undone (reliability.md 2.0)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RescueDoors:
    """The outside as rescue reaches it, the breakers that it tells, and the tiers by which commissions are counted."""

    database: Database
    venue: Venue
    clock: Clock
    breakers: Breakers
    tiers: Tiers = NO_TIERS


class Rescue:
    """Asks about stuck and watched orders."""

    name = "rescue"

    def __init__(self, doors: RescueDoors, *, ids: Ids, lease: LeaseKeeper, tallies: Tallies, worker: str) -> None:
        self._database, self._venue, self._clock = doors.database, doors.venue, doors.clock
        self._tiers, self._breakers = doors.tiers, doors.breakers
        self._ids, self._lease, self._tallies, self._worker = ids, lease, tallies, worker

    async def run(self, stop: asyncio.Event) -> None:
        """Ask every half second until stopped."""
        while not stop.is_set():
            await self.run_once(stop)
            await sleep_or_stop(self._clock, stop, EVERY_S)

    async def run_once(self, stop: asyncio.Event | None = None) -> int:
        """Ask about what is due, until told to stop; the number of rows that moved."""
        now = self._clock.now()
        due = Due(open_since=now - MISSING_AFTER, now=now, limit=ROWS_MAX, shard=self._lease.shard)
        rows = await self._database.run(to_rescue, due)
        moved = 0
        for row in rows:
            if stop is not None and stop.is_set():
                break
            moved += await self._resolve(row)
        return moved

    async def _resolve(self, row: CopyTrade) -> bool:
        term = self._lease.held().term
        mine = await self._database.run(
            take_over, row, token=self._ids.token(), by=self._worker, term=term, now=self._clock.now()
        )
        if mine is None:
            return False
        # The row is ours before the venue is asked: what its sender writes from now on changes nothing,
        # and the answer cannot be older than the claim.
        state = await self._venue.look_up(mine.order_hash or "")
        move = self._move(mine, state, self._clock.now())
        if move is None:
            await self._database.run(postpone, mine, until=self._next_question(mine, self._clock.now()))
            return False
        moved = await self._database.run(record_outcomes, [move], now=self._clock.now(), tiers=self._tiers)
        if moved:
            await tell_breakers(self._breakers, [move])
            known = move.to is not Status.UNKNOWN
            sentence = "An order was resolved by its hash." if known else "The venue does not know an order yet."
            log.info(sentence, action="rescue", trade=mine.pk, status=move.to.value)
            self._tallies.count_copy(move.to.value, [move.refusal.reason.value] if move.refusal else ())
        return bool(moved)

    def _move(self, row: CopyTrade, state: OrderState, now: datetime) -> Move | None:
        before = Status(row.status)
        actor = Actor.WATCH if before is Status.FAILED else Actor.RESCUE
        if isinstance(state, Filled):
            return Move(row=row, to=Status.EXECUTED, actor=actor, fill=state.fill, executor=self._venue.name)
        if before is Status.FAILED:
            return None
        if isinstance(state, Rejected):
            return Move(row=row, to=Status.FAILED, actor=actor, refusal=refusal_of(state))
        # What was matched may rest again: that is no move, it is asked about again.
        if isinstance(state, Resting) and before is not Status.MATCHED and status_of(state) is not before:
            return Move(row=row, to=status_of(state), actor=actor, next_retry_at=now + ASK_AGAIN)
        if isinstance(state, NotFound) and row.expires_at is not None and now >= row.expires_at:
            return Move(row=row, to=Status.FAILED, actor=actor, refusal=Refusal(Reason.EXPIRED))
        if before is Status.PENDING and isinstance(state, Unknown | NotFound):
            return Move(row=row, to=Status.UNKNOWN, actor=actor, next_retry_at=now + ASK_AGAIN)
        return None

    def _next_question(self, row: CopyTrade, now: datetime) -> datetime | None:
        if Status(row.status) is not Status.FAILED:
            return now + ASK_AGAIN
        if row.watch_until is None or now >= row.watch_until:
            return None
        began = row.watch_until - WATCH_FOR
        due = [began + step for step in WATCH_STEPS if began + step > now]
        return min([*due, row.watch_until])
