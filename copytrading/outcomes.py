"""Group-commits outcomes: many moves in one transaction every few milliseconds, and nobody's move is lost."""

import asyncio
from collections.abc import Sequence

import structlog
from django.db import OperationalError

from copytrading.breaker_counts import Result
from copytrading.breaker_watch import Breakers
from copytrading.costs import NO_COSTS, Costs
from copytrading.metrics import StageTimes
from copytrading.models import CopyTrade
from copytrading.operations.outcomes import Move, record_outcomes
from copytrading.states import Status
from execution.ports import Filled, NotTaken, Outcome, Rejected, RejectReason, Resting, Unknown
from guardrails.breakers import off_price
from guardrails.circuits import Event
from ledger.clock import Clock
from ledger.commissions import NO_TIERS, Tiers
from ledger.db import Database
from ledger.units import Side

FLUSH_MAX = 1_000
"""Moves in one transaction; beyond it the locks are held too long for the others."""

RETRY_MS_MAX = 60_000
"""How long results are kept in memory while the database is away; then the process ends and rescue asks again."""

RETRY_WAIT_S = 0.5

_BUY = Side.BUY.value

OWN_FAULTS = frozenset(
    {
        RejectReason.ACCOUNT_REFUSED,
        RejectReason.BELOW_MINIMUM,
        RejectReason.MARKET_CLOSED,
        RejectReason.NOT_ENOUGH_BALANCE,
        RejectReason.OFF_TICK,
        RejectReason.WRONG_VERSION,
    }
)
"""Refusals of what one account wanted: the venue works, so they count for the account alone."""

log = structlog.get_logger(__name__)


def note_answer(breakers: Breakers, row: CopyTrade, outcome: Outcome) -> None:
    """Tell of an answer in the moment it arrives, before anything is written: another order may be about to leave.

    That nobody traded at the price is an answer as good as a fill: the venue works. An order that the venue did not
    look at says nothing.
    """
    if isinstance(outcome, NotTaken):
        return
    # Nearly every order of all comes through here: a fill or an order that stands is not looked at twice.
    bad = None if isinstance(outcome, Filled | Resting) else bad_answer(row, outcome)
    if bad is not None:
        breakers.answers.note(bad)
        return
    breakers.answers.note_good(row.id, row.follower_id, mode=row.mode)
    if isinstance(outcome, Filled):
        note_price(breakers, row, outcome.fill.price_micros)
    elif row.best_micros is not None and isinstance(outcome, Rejected):
        note_price(breakers, row, row.best_micros)


def bad_answer(row: CopyTrade, outcome: Outcome) -> Result | None:
    """What is bad about an answer, for venue and account or the account alone; None when nothing is."""
    if isinstance(outcome, Unknown):
        return Result(row.id, row.follower_id, row.mode, Event.UNKNOWN)
    if isinstance(outcome, Rejected) and outcome.reason is not RejectReason.NO_FILL:
        return Result(row.id, row.follower_id, row.mode, Event.FAILURE, outcome.reason in OWN_FAULTS)
    return None


def note_price(breakers: Breakers, row: CopyTrade, price_micros: int) -> None:
    """Tell whether a fill's price, or the book's best when nobody traded, was near the leader's."""
    apart_bps = breakers.apart_bps
    if apart_bps is None:
        return
    leader_micros, buy = row.leader_price_micros, row.side == _BUY
    if off_price(price_micros, leader_micros, buy=buy, apart_bps=apart_bps, tick_micros=row.tick_micros):
        breakers.prices.note(Result(row.id, row.follower_id, row.mode, Event.OFF_PRICE))
    else:
        breakers.prices.note_good(row.id, row.follower_id, mode=row.mode)


async def tell_breakers(breakers: Breakers, moves: Sequence[Move]) -> None:
    """Tell of moves that were taken: what fills have realised, and the prices of those that came without an answer."""
    filled = [move for move in moves if move.fill]
    for move in filled:
        # What came as the answer to a send was counted then.
        if move.fill is not None and move.submitted_at is None:
            note_price(breakers, move.row, move.fill.price_micros)
    if breakers.counts_results:
        await breakers.note_fills(
            [(move.row.pk, move.row.follower_id, move.row.mode, Side(move.row.side)) for move in filled]
        )
    breakers.void([move.row.pk for move in moves if move.to is Status.FAILED])
    if breakers.unsaved:
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
        """Told what the venue answered and what fills realised; wiring gives the engine's."""

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
