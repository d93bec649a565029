"""Resolves orders whose outcome is missing, by asking the venue for their hash; never by sending.

A row that holds an order hash may have been sent. What the venue shows of its trades goes to fill tracking, which books
what is confirmed. What it never knew of is asked about until it expires, then cancelled by its hash, FAILED, and
watched for a day: a fill may still appear and is adopted with an incident. One "not found" proves nothing.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from copytrading.breaker_watch import Breakers
from copytrading.metrics import Tallies
from copytrading.models import CopyTrade
from copytrading.operations.fills import OrderNews, tell_unsettled
from copytrading.operations.outcomes import WATCH_FOR, Move, postpone, record_outcomes, take_over
from copytrading.operations.write_offs import is_written_off
from copytrading.outcomes import tell_breakers
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Due, to_rescue
from copytrading.sending import Route, order_ref, refusal_of
from copytrading.shardlease import LeaseKeeper
from copytrading.states import Actor, Status
from copytrading.tracking.fills import FillTracking, TrackingDoors
from copytrading.tracking.queries import was_heard
from copytrading.tracking.settling import SETTLED_WITHIN
from execution.ports import Filled, NotFound, OrderRef, OrderState, Rejected, Resting, Unknown, Venue
from guardrails.intents import Reason, Refusal
from ledger.clock import Clock, Ids
from ledger.commissions import NO_TIERS, Tiers
from ledger.db import Database

EVERY_S = 0.5
ROWS_MAX = 200

ASKED_AT_ONCE = 32
"""Questions under way side by side: hundreds of accounts must not wait for one slow answer after the other."""

MISSING_AFTER = timedelta(seconds=5)
"""An order without an outcome for so long has lost its sender or its answer; sends take milliseconds."""

ASK_AGAIN = timedelta(seconds=5)
ASK_SELDOM, SELDOM_AFTER = timedelta(minutes=1), timedelta(minutes=10)
"""Trades settle within a minute; what has not for so long is asked about less often."""

TRADES_LAG = timedelta(seconds=30)
"""The venue shows a trade some seconds after its match: before this, an ended order without trades proves nothing."""

LET_GO_WITHIN = timedelta(minutes=10)
"""So long after its expiry an order is kept while the venue does not answer to its cancelling."""

UNSETTLED_AFTER = timedelta(hours=1)
"""Matched and still neither confirmed nor failed: some were seen to hang for ever, so a person must look."""

WATCH_STEPS = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=6),
    timedelta(hours=24),
)
"""When an order that ended is asked about, after it failed, its fill was undone, or part of it was left open
(reliability.md 2.0)."""

NEVER_LET_GO = "its cancelling was never answered"

_UNANSWERED = (Status.PENDING, Status.UNKNOWN)
_EXPIRING = (*_UNANSWERED, Status.LIVE)
_WATCHED = (Status.FAILED, Status.EXECUTED)

log = structlog.get_logger(__name__)


def _nothing_in_hand() -> frozenset[int]:
    return frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class RescueDoors:
    """The outside as rescue reaches it, the breakers that it tells, and the tiers by which commissions are counted.

    `fills` books what the venue shows of trades; None makes one. `in_hand` are the copies that this process's own
    sender is still at: the venue may have asked it to wait, and nobody else need ask.
    """

    database: Database
    routes: Mapping[str, Route]
    clock: Clock
    breakers: Breakers
    tiers: Tiers = NO_TIERS
    fills: FillTracking | None = None
    in_hand: Callable[[], frozenset[int]] = _nothing_in_hand


class Rescue:
    """Asks about stuck and watched orders."""

    name = "rescue"

    def __init__(self, doors: RescueDoors, *, ids: Ids, lease: LeaseKeeper, tallies: Tallies, worker: str) -> None:
        self._database, self._routes, self._clock = doors.database, doors.routes, doors.clock
        self._tiers, self._breakers, self._in_hand = doors.tiers, doors.breakers, doors.in_hand
        self._ids, self._lease, self._tallies, self._worker = ids, lease, tallies, worker
        tracking = TrackingDoors(database=doors.database, clock=doors.clock, breakers=doors.breakers, tiers=doors.tiers)
        self.fills = doors.fills or FillTracking(tracking, tallies=tallies)

    async def run(self, stop: asyncio.Event) -> None:
        """Ask every half second until stopped."""
        while not stop.is_set():
            await self.run_once(stop)
            await sleep_or_stop(self._clock, stop, EVERY_S)

    async def run_once(self, stop: asyncio.Event | None = None) -> int:
        """Ask about what is due, many side by side, until told to stop; the number of rows that moved."""
        now = self._clock.now()
        due = Due(
            open_since=now - MISSING_AFTER,
            now=now,
            limit=ROWS_MAX,
            shard=self._lease.shard,
            modes=frozenset(self._routes),
            besides=self._in_hand(),
        )
        rows = await self._database.run(to_rescue, due)
        waiting = iter(rows)
        asking = [asyncio.create_task(self._ask(waiting, stop)) for _ in rows[:ASKED_AT_ONCE]]
        try:
            return sum(await asyncio.gather(*asking))
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, rows: Iterator[CopyTrade], stop: asyncio.Event | None) -> int:
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
        venue, order = self._routes[mine.mode].venue, order_ref(mine)
        state, gone = await self._look_up(venue, order), False
        if self._is_overdue(mine, state):
            gone = await venue.cancel(order)
            # It may have been filled before it was cancelled.
            state = await self._look_up(venue, order) if gone else state
        elif Status(mine.status) is Status.FAILED and _only_rests(state):
            # Given up, and it stands after all: what can still be kept from trading is.
            await venue.cancel(order)
        moved = await self._take(mine, state, gone=gone)
        if not moved:
            await self._database.run(postpone, mine, until=self._next_question(mine, self._clock.now()))
            await self._tell_if_unsettled(mine)
        return moved

    async def _look_up(self, venue: Venue, order: OrderRef) -> OrderState:
        """What the venue shows; of a trade that the user's connection told, its silence proves nothing."""
        state = await venue.look_up(order)
        if isinstance(state, NotFound | Rejected | Unknown) and await self._database.run(was_heard, order.order_hash):
            return Resting(matched=True)
        return state

    async def _take(self, row: CopyTrade, state: OrderState, *, gone: bool) -> bool:
        """Take the moves that the answer means; whether there was one."""
        now = self._clock.now()
        move = self._move(row, state, now, gone=gone)
        moved = move is not None and await self._record(move)
        if not isinstance(state, Resting) or (move is not None and not moved):
            return moved
        if moved and move is not None and move.to not in (Status.LIVE, Status.MATCHED):
            return moved
        since = _last_sign(row, state)
        news = OrderNews(
            order_hash=str(row.order_hash),
            matched_micros=_said(state),
            ended=state.final and now >= since + TRADES_LAG,
            overdue=now >= since + SETTLED_WITHIN,
        )
        noted = await self.fills.note(state.trades, (news,))
        return moved or bool(noted.moves)

    async def _record(self, move: Move) -> bool:
        moved = await self._database.run(record_outcomes, [move], now=self._clock.now(), tiers=self._tiers)
        if not moved:
            return False
        await tell_breakers(self._breakers, [move])
        known = move.to is not Status.UNKNOWN
        sentence = "An order was resolved by its hash." if known else "The venue does not know an order yet."
        log.info(sentence, action="rescue", trade=move.row.pk, status=move.to.value)
        self._tallies.count_copy(move.to.value, [move.refusal.reason.value] if move.refusal else ())
        return True

    def _is_overdue(self, row: CopyTrade, state: OrderState) -> bool:
        expired = row.expires_at is not None and self._clock.now() >= row.expires_at
        nothing_stands = isinstance(state, NotFound | Unknown) or _only_rests(state)
        return expired and nothing_stands and Status(row.status) in _EXPIRING

    def _move(self, row: CopyTrade, state: OrderState, now: datetime, *, gone: bool) -> Move | None:
        before = Status(row.status)
        if before is Status.EXECUTED:
            # Booked with what was confirmed; of its other trades fill tracking judges.
            return None
        actor = Actor.WATCH if before is Status.FAILED else Actor.RESCUE
        if isinstance(state, Filled):
            executor = self._routes[row.mode].venue.name
            return Move(row=row, to=Status.EXECUTED, actor=actor, fill=state.fill, executor=executor)
        if isinstance(state, Resting) and not (gone and _only_rests(state)):
            return self._standing(row, state, actor, now)
        if before is Status.FAILED:
            return None
        # Of what was matched the trades decide.
        if isinstance(state, Rejected):
            refused = before is not Status.MATCHED
            return Move(row=row, to=Status.FAILED, actor=actor, refusal=refusal_of(state)) if refused else None
        if before in _EXPIRING and (gone or self._never_let_go(row, state, now)):
            refusal = Refusal(Reason.EXPIRED, subject="" if gone else NEVER_LET_GO)
            return Move(row=row, to=Status.FAILED, actor=actor, refusal=refusal)
        if before is Status.PENDING:
            return Move(row=row, to=Status.UNKNOWN, actor=actor, next_retry_at=now + ASK_AGAIN)
        return None

    def _standing(self, row: CopyTrade, state: Resting, actor: Actor, now: datetime) -> Move | None:
        """The move of a copy whose order turns out to stand, before its trades are looked at."""
        before = Status(row.status)
        # What has trades is matched; those alone that failed are for fill tracking to judge.
        matched = state.matched or bool(state.trades)
        to = Status.MATCHED if matched else Status.LIVE
        forward = before in _UNANSWERED or (before is Status.LIVE and matched)
        woken = before is Status.FAILED and state.matched and not state.trades and not is_written_off(row)
        if not forward and not woken:
            return None
        return Move(row=row, to=to, actor=actor, matched_micros=_said(state), next_retry_at=now + ASK_AGAIN)

    def _never_let_go(self, row: CopyTrade, state: OrderState, now: datetime) -> bool:
        return self._is_overdue(row, state) and row.expires_at is not None and now >= row.expires_at + LET_GO_WITHIN

    def _next_question(self, row: CopyTrade, now: datetime) -> datetime | None:
        if Status(row.status) not in _WATCHED:
            return now + (ASK_AGAIN if now < row.decided_at + SELDOM_AFTER else ASK_SELDOM)
        if row.watch_until is None or now >= row.watch_until:
            return None
        began = row.watch_until - WATCH_FOR
        due = [began + step for step in WATCH_STEPS if began + step > now]
        return min([*due, row.watch_until])

    async def _tell_if_unsettled(self, row: CopyTrade) -> None:
        since = row.answered_at or row.decided_at
        if Status(row.status) is Status.MATCHED and self._clock.now() >= since + UNSETTLED_AFTER:
            await self._database.run(tell_unsettled, row.pk, now=self._clock.now())


def _said(state: Resting) -> int:
    """The matched size that the venue names on its own; the sum of the trades that it has listed so far is none."""
    listed = sum(trade.size_micros for trade in state.trades)
    return state.matched_micros if state.matched_micros > listed else 0


def _last_sign(row: CopyTrade, state: Resting) -> datetime:
    """When the order was last heard of: it may have been sent long after it was decided, or matched in parts."""
    known = (row.decided_at, row.submitted_at, row.answered_at, *(trade.matched_at for trade in state.trades))
    return max(moment for moment in known if moment is not None)


def _only_rests(state: OrderState) -> bool:
    """It stands on the venue, and nothing of it has traded."""
    return isinstance(state, Resting) and not (state.matched or state.trades or state.final)
