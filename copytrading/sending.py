"""Sends reserved orders: the last checks, the signature, the venue, and the outcome as a move.

One lane per follower account, a bound on all orders under way, and a record of which markets have orders
under way so that a sell can wait for what was bought before it.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

from copytrading.costs import NO_COSTS, Costs
from copytrading.gate import Gate
from copytrading.metrics import IN_FLIGHT_ORDERS, StageTimes, Tallies
from copytrading.models import CopyTrade
from copytrading.operations.decisions import Decision
from copytrading.operations.outcomes import Move
from copytrading.operations.prewrite import Reserved
from copytrading.outcomes import OutcomeWriter, note_answer
from copytrading.outgoing import Outgoing
from copytrading.pauses import sleep_or_stop
from copytrading.states import ON_THE_VENUE, Actor, Status
from execution.orders import OrderPlan
from execution.ports import (
    Filled,
    HoldUp,
    NotTaken,
    OrderRef,
    Outcome,
    Rejected,
    RejectReason,
    Resting,
    SignerRefused,
    Venue,
)
from guardrails.intents import Reason, Refusal, TradeIntent
from ledger.clock import Clock
from ledger.units import Micros, Side

Sign = Callable[[OrderPlan], Awaitable[bytes]]
"""Signs a plan with the right key; made by wiring, the only place that reaches the signer. Raises SignerRefused."""

ASK_AFTER = timedelta(seconds=1)
"""An order whose answer was lost is asked about this soon, by its hash."""


SUBJECT_MAX = 80
"""Letters of a foreign sentence kept with a reason."""

_HELD_UP = {HoldUp.RATE_LIMITED: Reason.RATE_LIMITED, HoldUp.UNAVAILABLE: Reason.VENUE_UNAVAILABLE}

FRESH_FOR_S = 60
"""What the venue did not take is sent again for so long after the leader's trade, unless the settings say otherwise."""


def _nothing() -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where the orders of one mode go, and who signs them.

    `at_once`: so many may be with the venue at the same time, no more than it has connections for, so that the waiting
    for one is done before the last look at pauses and breakers. None: as many as there are. `expect` is told that
    orders are being prepared, so that what is asked before they leave is asked meanwhile.
    """

    venue: Venue
    sign: Sign
    at_once: int | None = None
    expect: Callable[[], object] = _nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDoors:
    """The outside as the sender reaches it; `routes` by the follower's mode, `fresh_s` after the leader's trade."""

    routes: Mapping[str, Route]
    gate: Gate
    writer: OutcomeWriter
    clock: Clock
    costs: Costs = NO_COSTS
    fresh_s: int = FRESH_FOR_S


@dataclass(frozen=True, slots=True)
class _Order:
    """An order in its lane, with the moment at which its prewrite began."""

    reserved: Reserved
    written_ms: float


@dataclass(frozen=True, slots=True)
class _Held:
    """Until when the venue held a lane up, and why."""

    until_ms: float
    refusal: Refusal


@dataclass(slots=True)
class _Lane:
    """One follower's orders, the first of them under way, and the last time that the venue did not take one."""

    orders: deque[_Order] = field(default_factory=deque)
    held: _Held | None = None


class Sender:
    """Sends each follower's orders one after the other, all followers side by side; `in_flight_max` bounds them.

    A lane is a queue with one task, which lives while it has orders. What an order became is recorded behind the
    lane's back, many together, and the order is under way until then.
    """

    def __init__(self, doors: SendDoors, *, stages: StageTimes, tallies: Tallies, in_flight_max: int) -> None:
        self.outgoing = Outgoing()
        """Orders for the venue that it was not asked to take yet: they will use up its limits."""
        self._doors, self._stages, self._tallies, self._in_flight_max = doors, stages, tallies, in_flight_max
        self._in_flight = 0
        self._lanes: dict[int, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: Counter[str] = Counter()
        self._in_hand: set[int] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._slots = {
            mode: asyncio.Semaphore(route.at_once) for mode, route in doors.routes.items() if route.at_once is not None
        }
        self._closing = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Orders started and not yet recorded."""
        return self._in_flight

    def in_hand(self) -> frozenset[int]:
        """The copies whose orders are under way here: in their lanes, with the venue, or waiting to be recorded."""
        return frozenset(self._in_hand)

    async def prove(self, decisions: Iterable[Decision]) -> list[Decision]:
        """The decisions, the orders of dry runs signed and the signatures let go: so they could have been sent.

        One that could not says so beside DRY_RUN.
        """
        return [await self._proved(each) if each.plan is not None and each.refusals else each for each in decisions]

    async def _proved(self, decision: Decision) -> Decision:
        assert decision.plan is not None
        try:
            await self._doors.routes[decision.config.mode].sign(decision.plan)
        except SignerRefused as refused:
            why = Refusal(Reason.NOT_SIGNED, subject=str(refused)[:SUBJECT_MAX])
            return replace(decision, refusals=(*decision.refusals, why))
        return decision

    async def settled(self, conditions: Iterable[str]) -> None:
        """Wait until no order in these markets is under way, but for those on the venue.

        What these leave to sell is waited for by the copy alone (`copytrading.waiting_room`): the venue may hold one
        account's order up for a minute.
        """
        await self._until(lambda: not any(self._open[condition] for condition in conditions))

    async def room_for(self, copies: int) -> None:
        """Wait until so many more orders fit under the bound."""
        await self._until(lambda: not self._in_flight or self._in_flight + copies <= self._in_flight_max)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        await self._until(lambda: not self._in_flight)

    def close(self) -> None:
        """Let nothing more leave. What the venue did not take until now fails; what was not tried is for rescue."""
        self._closing.set()

    def expect(self, modes: Iterable[str]) -> None:
        """Orders of these modes are being prepared."""
        for mode in modes:
            if mode in self._doors.routes:
                self._doors.routes[mode].expect()

    def start(self, reserved: Sequence[Reserved], *, written_ms: float) -> None:
        """Send these orders beside the pipeline; `written_ms` is when their prewrite began."""
        self._doors.gate.forget()
        # Here the prewrite is committed; its moment goes into the row with the outcome, not by a write of its own.
        prewritten_at = self._doors.clock.now()
        for each in reserved:
            if each.row.mode == ON_THE_VENUE:
                self.outgoing.add(each.trade_id, each.row.follower_id)
            else:
                self._open[each.decision.signal.condition_id] += 1
            self._in_hand.add(each.trade_id)
            lane = self._lanes.get(each.row.follower_id)
            if lane is None:
                lane = self._lanes[each.row.follower_id] = _Lane()
                sending = self._doors.costs.steps("send", self._send_lane(each.row.follower_id, lane))
                task = asyncio.create_task(sending, name=f"lane-{each.row.follower_id}")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            lane.orders.append(_Order(replace(each, prewritten_at=prewritten_at), written_ms))
        self._in_flight += len(reserved)
        IN_FLIGHT_ORDERS.set(self._in_flight)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            self.raise_failure()
            await self._changed.wait()
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise what a send raised: that is a bug, the pipeline meets it here and the process ends."""
        if self._failure is not None:
            raise self._failure

    async def _send_lane(self, follower_id: int, lane: _Lane) -> None:
        try:
            while lane.orders:
                order = lane.orders[0]
                move = await self._send(order, lane)
                lane.orders.popleft()
                if move is None:
                    self._finish(order.reserved)
                else:
                    self._doors.writer.record(move).add_done_callback(partial(self._recorded, order.reserved, move))
        except Exception as error:  # noqa: BLE001  (a bug: the pipeline raises it and the process ends)
            self._failure = self._failure or error
        finally:
            # Nothing is awaited between the last look at the lane and here: an order started later makes a new one.
            # What a failure leaves in it is no longer under way here; rescue asks about it.
            del self._lanes[follower_id]
            for order in lane.orders:
                self._finish(order.reserved)

    def _recorded(self, reserved: Reserved, move: Move, recorded: asyncio.Future[bool]) -> None:
        if not recorded.cancelled():
            if recorded.exception() is not None:
                self._failure = self._failure or recorded.exception()
            elif recorded.result():
                self._count(move)
        self._finish(reserved)

    def _finish(self, reserved: Reserved) -> None:
        condition = reserved.decision.signal.condition_id
        self._in_hand.discard(reserved.trade_id)
        self.outgoing.remove(reserved.trade_id)
        if reserved.row.mode != ON_THE_VENUE:
            self._open[condition] -= 1
            if not self._open[condition]:
                del self._open[condition]
        self._in_flight -= 1
        IN_FLIGHT_ORDERS.set(self._in_flight)
        self._changed.set()

    async def _send(self, order: _Order, lane: _Lane) -> Move | None:
        """Send it, again and again while the venue does not take it and it is fresh; None: not ours any more."""
        clock, reserved = self._doors.clock, order.reserved
        route, written_ms = self._doors.routes[reserved.row.mode], order.written_ms
        if lane.held is not None and lane.held.until_ms > written_ms:
            # It was behind one that the venue did not take, and was not tried: that time is not its own.
            if not self._is_fresh(reserved, at=clock.now()):
                return _failed(reserved, lane.held.refusal)
            written_ms = lane.held.until_ms
        while True:
            try:
                with self._doors.costs.measure("sign"):
                    signing = route.sign(reserved.plan)
                signature = await signing
            except SignerRefused as refused:
                return _failed(reserved, Refusal(Reason.NOT_SIGNED, subject=str(refused)[:SUBJECT_MAX]))
            async with self._slot(reserved.row.mode):
                tried = await self._try(reserved, route, signature, written_ms=written_ms)
            if not isinstance(tried, NotTaken):
                return tried
            refusal = Refusal(_HELD_UP[tried.why], subject=tried.detail[:SUBJECT_MAX])
            again_at = clock.now() + timedelta(seconds=tried.wait_s)
            if not self._is_fresh(reserved, at=again_at):
                return _failed(reserved, refusal)
            await sleep_or_stop(clock, self._closing, tried.wait_s)
            if self._closing.is_set():
                return _failed(reserved, refusal)
            # The order itself bounds its price; the lease and the switches are looked at anew.
            written_ms = clock.monotonic_ms()
            lane.held = _Held(written_ms, refusal)

    def _is_fresh(self, reserved: Reserved, *, at: datetime) -> bool:
        # A sale that waited for its purchase was decided anew when that was over.
        waited = Reason.WAITED_FOR_BUY in reserved.decision.waited
        since = reserved.row.decided_at if waited else reserved.decision.signal.traded_at
        return at <= since + timedelta(seconds=self._doors.fresh_s)

    def _slot(self, mode: str) -> AbstractAsyncContextManager[object]:
        return self._slots.get(mode) or nullcontext()

    async def _try(
        self, reserved: Reserved, route: Route, signature: bytes, *, written_ms: float
    ) -> Move | NotTaken | None:
        """Send once; None for what is not ours to send any more."""
        clock, row = self._doors.clock, reserved.row
        # Signed first, and its turn waited for: what lies between the last look at pauses, breakers and lease and the
        # bytes' leaving is the venue's own, which does not send what it cannot send soon.
        stop = await self._doors.gate.check(
            _intent(reserved), trade_id=reserved.trade_id, mode=row.mode, written_ms=written_ms
        )
        if stop is not None:
            return _failed(reserved, stop.refusal) if stop.refusal else None
        if self._closing.is_set():
            return None
        began_ms, submitted_at = clock.monotonic_ms(), clock.now()
        self.outgoing.remove(reserved.trade_id)
        outcome = await route.venue.submit(reserved.plan, signature, follower_id=row.follower_id)
        self._stages.add("execution", clock.monotonic_ms() - began_ms)
        note_answer(self._doors.writer.breakers, row, outcome)
        if isinstance(outcome, NotTaken):
            self.outgoing.add(reserved.trade_id, row.follower_id)
            return outcome
        return self._move(reserved, outcome, submitted_at=submitted_at)

    def _move(self, reserved: Reserved, outcome: Outcome, *, submitted_at: datetime) -> Move:
        refusal = refusal_of(outcome) if isinstance(outcome, Rejected) else None
        now = self._doors.clock.now()
        return Move(
            row=reserved.row,
            to=status_of(outcome),
            actor=Actor.PIPELINE,
            fill=outcome.fill if isinstance(outcome, Filled) else None,
            refusal=refusal,
            prewritten_at=reserved.prewritten_at,
            submitted_at=submitted_at,
            answered_at=now,
            matched_micros=outcome.matched_micros if isinstance(outcome, Resting) else 0,
            executor=self._doors.routes[reserved.row.mode].venue.name,
            next_retry_at=now + ASK_AFTER,
        )

    def _count(self, move: Move) -> None:
        self._tallies.count_copy(move.to.value, [move.refusal.reason.value] if move.refusal else ())
        self._tallies.remember_newest([move.row.pk])
        if move.to is Status.EXECUTED:
            delay = self._doors.clock.now() - move.row.detected_at
            self._tallies.delays_ms.append(delay.total_seconds() * 1_000)


def status_of(outcome: Outcome) -> Status:
    """The status that a venue's answer means."""
    if isinstance(outcome, Filled):
        return Status.EXECUTED
    if isinstance(outcome, Rejected):
        return Status.FAILED
    if isinstance(outcome, Resting):
        return Status.MATCHED if outcome.matched else Status.LIVE
    return Status.UNKNOWN


def refusal_of(outcome: Rejected) -> Refusal:
    """A venue's definite no as a reason; all but "nothing crossed" are rejections."""
    return Refusal(Reason.NO_FILL if outcome.reason is RejectReason.NO_FILL else Reason.REJECTED)


def order_ref(row: CopyTrade) -> OrderRef:
    """A row's order as a venue can be asked about it; only of a row that has one."""
    assert row.order_hash is not None
    return OrderRef(
        order_hash=row.order_hash,
        follower_id=row.follower_id,
        token_id=row.token_id,
        condition_id=row.condition_id,
        side=Side(row.side),
        size_micros=Micros(row.size_micros),
        since=row.decided_at,
    )


def _intent(reserved: Reserved) -> TradeIntent:
    assert reserved.decision.intent is not None
    return reserved.decision.intent


def _failed(reserved: Reserved, refusal: Refusal) -> Move:
    return Move(
        row=reserved.row,
        to=Status.FAILED,
        actor=Actor.PIPELINE,
        refusal=refusal,
        prewritten_at=reserved.prewritten_at,
    )
