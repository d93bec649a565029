"""Sends reserved orders: the last checks, the signature, the venue, and the outcome as a move.

One lane per follower account, a bound on all orders under way, and a record of which tokens have orders
under way so that a sell can wait for what was bought before it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from copytrading.gate import Gate
from copytrading.metrics import IN_FLIGHT_ORDERS, StageTimes, Tallies
from copytrading.operations.outcomes import Move
from copytrading.operations.prewrite import Reserved
from copytrading.outcomes import OutcomeWriter
from copytrading.states import Actor, Status
from execution.orders import OrderPlan
from execution.ports import Filled, Outcome, Rejected, RejectReason, Resting, Venue
from guardrails.intents import Reason, Refusal
from ledger.clock import Clock

Sign = Callable[[OrderPlan], bytes]
"""Signs a plan with the right key; made by wiring, the only place that reaches the signer."""

ASK_AFTER = timedelta(seconds=1)
"""An order whose answer was lost is asked about this soon, by its hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDoors:
    """The outside as the sender reaches it."""

    venue: Venue
    sign: Sign
    gate: Gate
    writer: OutcomeWriter
    clock: Clock


class Sender:
    """Runs one task for each order under way; `in_flight_max` bounds them."""

    def __init__(self, doors: SendDoors, *, stages: StageTimes, tallies: Tallies, in_flight_max: int) -> None:
        self._doors, self._stages, self._tallies, self._in_flight_max = doors, stages, tallies, in_flight_max
        self._tasks: set[asyncio.Task[None]] = set()
        self._lanes: dict[int, asyncio.Lock] = {}
        self._in_lane: Counter[int] = Counter()
        self._open: Counter[int] = Counter()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def in_flight(self) -> int:
        """Orders started and not yet recorded."""
        return len(self._tasks)

    def prove(self, plans: Iterable[OrderPlan]) -> None:
        """Sign the orders of dry runs and let the signatures go: it shows that they could have been sent."""
        for plan in plans:
            self._doors.sign(plan)

    async def settled(self, tokens: Iterable[int]) -> None:
        """Wait until no order of these tokens is under way."""
        await self._until(lambda: not any(self._open[token] for token in tokens))

    async def room_for(self, copies: int) -> None:
        """Wait until so many more orders fit under the bound."""
        await self._until(lambda: len(self._tasks) == 0 or len(self._tasks) + copies <= self._in_flight_max)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        await self._until(lambda: not self._tasks)

    def start(self, reserved: Sequence[Reserved], *, written_ms: float) -> None:
        """Send these orders beside the pipeline; `written_ms` is when their prewrite began."""
        self._doors.gate.forget()
        for each in reserved:
            token = each.plan.token_id
            self._open[token] += 1
            self._in_lane[each.row.follower_id] += 1
            task = asyncio.create_task(self._send_in_lane(each, written_ms=written_ms), name=f"send-{each.trade_id}")
            self._tasks.add(task)
            task.add_done_callback(lambda done, token=token: self._finish(done, token))  # type: ignore[misc]
        IN_FLIGHT_ORDERS.set(len(self._tasks))

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

    def _finish(self, task: asyncio.Task[None], token: int) -> None:
        self._tasks.discard(task)
        self._open[token] -= 1
        if not self._open[token]:
            del self._open[token]
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
        IN_FLIGHT_ORDERS.set(len(self._tasks))
        self._changed.set()

    async def _send_in_lane(self, reserved: Reserved, *, written_ms: float) -> None:
        follower_id = reserved.row.follower_id
        try:
            async with self._lanes.setdefault(follower_id, asyncio.Lock()):
                move = await self._send(reserved, written_ms=written_ms)
        finally:
            # Counted from the start of each order: a lane with somebody on his way to it is not taken down.
            self._in_lane[follower_id] -= 1
            if not self._in_lane[follower_id]:
                del self._in_lane[follower_id], self._lanes[follower_id]
        if move is not None and await self._doors.writer.record(move):
            self._count(move)

    async def _send(self, reserved: Reserved, *, written_ms: float) -> Move | None:
        intent = reserved.decision.intent
        assert intent is not None
        stop = await self._doors.gate.check(intent, written_ms=written_ms)
        if stop is not None:
            return _failed(reserved, stop.refusal) if stop.refusal else None
        began_ms, submitted_at = self._doors.clock.monotonic_ms(), self._doors.clock.now()
        outcome = await self._doors.venue.submit(reserved.plan, self._doors.sign(reserved.plan))
        self._stages.add("execution", self._doors.clock.monotonic_ms() - began_ms)
        return self._move(reserved, outcome, submitted_at=submitted_at)

    def _move(self, reserved: Reserved, outcome: Outcome, *, submitted_at: datetime) -> Move:
        refusal = refusal_of(outcome) if isinstance(outcome, Rejected) else None
        return Move(
            row=reserved.row,
            to=status_of(outcome),
            actor=Actor.PIPELINE,
            fill=outcome.fill if isinstance(outcome, Filled) else None,
            refusal=refusal,
            submitted_at=submitted_at,
            executor=self._doors.venue.name,
            next_retry_at=self._doors.clock.now() + ASK_AFTER,
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


def _failed(reserved: Reserved, refusal: Refusal) -> Move:
    return Move(row=reserved.row, to=Status.FAILED, actor=Actor.PIPELINE, refusal=refusal)
