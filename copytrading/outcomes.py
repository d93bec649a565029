"""Group-commits outcomes: many moves in one transaction every few milliseconds, and nobody's move is lost."""

import asyncio
from collections.abc import Iterable, Sequence

import structlog
from django.db import OperationalError

from copytrading.breaker_watch import Breakers
from copytrading.costs import NO_COSTS, Costs
from copytrading.metrics import StageTimes
from copytrading.operations.outcomes import Move, record_outcomes
from copytrading.states import Status
from guardrails.breakers import Event
from guardrails.intents import Reason
from ledger.clock import Clock
from ledger.commissions import NO_TIERS, Tiers
from ledger.db import Database
from ledger.units import Side

FLUSH_MAX = 1_000
"""Moves in one transaction; beyond it the locks are held too long for the others."""

RETRY_MS_MAX = 60_000
"""How long results are kept in memory while the database is away; then the process ends and rescue asks again."""

RETRY_WAIT_S = 0.5

_ANSWERS = {
    Status.EXECUTED: Event.SUCCESS,
    Status.LIVE: Event.SUCCESS,
    Status.MATCHED: Event.SUCCESS,
    Status.UNKNOWN: Event.UNKNOWN,
}

log = structlog.get_logger(__name__)


def answers_of(moves: Iterable[Move]) -> list[tuple[int, Event]]:
    """What the venue answered to each order that was really sent, by the copy's id.

    That nobody traded at the price is an answer as good as a fill: the venue works.
    """
    found: list[tuple[int, Event]] = []
    for move in moves:
        if move.submitted_at is not None:
            refused = move.refusal is not None and move.refusal.reason is Reason.REJECTED
            found.append((move.row.pk, Event.FAILURE if refused else _ANSWERS.get(move.to, Event.SUCCESS)))
    return found


async def tell_breakers(breakers: Breakers, moves: Sequence[Move]) -> None:
    """Tell of moves that were taken: what the venue answered to sends, and what sells have realised."""
    changed = breakers.note_answers(answers_of(moves)) if breakers.counts_answers else False
    if breakers.counts_results:
        sells = [move.row for move in moves if move.fill and move.row.side == Side.SELL.value]
        changed |= await breakers.note_sells([(row.pk, row.follower_id) for row in sells])
    if changed:
        await breakers.save()


class OutcomeWriter:
    """The future of `record` is done when the move is committed, with whether the row was still ours."""

    name = "outcomes"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        stages: StageTimes,
        flush_ms: int,
        costs: Costs = NO_COSTS,
        tiers: Tiers = NO_TIERS,
    ) -> None:
        self._database, self._clock, self._stages, self._flush_ms = database, clock, stages, flush_ms
        self._costs, self._tiers = costs, tiers
        self._waiting: list[tuple[Move, asyncio.Future[bool]]] = []
        self._some = asyncio.Event()
        self.breakers = Breakers(database, clock)
        """Told what the venue answered; wiring gives the engine's."""

    def record(self, move: Move) -> asyncio.Future[bool]:
        """Commit a move together with others, soon; the future says whether it changed its row."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((move, done))
        self._some.set()
        return done

    async def run(self, stop: asyncio.Event) -> None:
        """Flush until stopped and empty."""
        while not (stop.is_set() and not self._waiting):
            if not self._some.is_set():
                await self._clock.sleep(self._flush_ms / 1_000)
                continue
            await self.run_once()

    async def run_once(self) -> int:
        """Commit what waits now; the number of moves."""
        taken, self._waiting = self._waiting[:FLUSH_MAX], self._waiting[FLUSH_MAX:]
        if not self._waiting:
            self._some.clear()
        if not taken:
            return 0
        try:
            moved = await self._commit([move for move, _done in taken])
            # Before the lanes go on: a breaker that opens holds back the very next order.
            await tell_breakers(self.breakers, [move for move, _done in taken if move.row.pk in moved])
        except BaseException as error:
            for _move, done in taken:
                if not done.done():
                    done.set_exception(error)
            raise
        for move, done in taken:
            if not done.done():
                done.set_result(move.row.pk in moved)
        return len(taken)

    async def _commit(self, moves: Sequence[Move]) -> set[int]:
        began_ms = self._clock.monotonic_ms()
        while True:
            try:
                with self._stages.measure("persistence"):
                    return await self._database.run(
                        record_outcomes, moves, now=self._clock.now(), costs=self._costs, tiers=self._tiers
                    )
            except OperationalError:
                # A commit whose reply was lost is harmless here: the moves are compare-and-set, a second
                # run finds the rows moved and changes nothing.
                if self._clock.monotonic_ms() - began_ms > RETRY_MS_MAX:
                    raise
                log.warning("The database is away; outcomes wait in memory.", action="record", moves=len(moves))
                await self._clock.sleep(RETRY_WAIT_S)
