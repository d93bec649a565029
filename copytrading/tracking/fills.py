"""Where every word about trades of our orders ends: written down, settled, counted, and told to who waits for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from copytrading.breaker_watch import Breakers
from copytrading.metrics import Tallies
from copytrading.operations.fills import FillsNoted, OrderNews, note_fills
from copytrading.operations.moves import Move
from copytrading.outcomes import tell_breakers
from copytrading.states import Status
from execution.ports import VenueTrade
from ledger.clock import Clock
from ledger.commissions import NO_TIERS, Tiers
from ledger.db import Database

Settled = Callable[[Move], None]
"""Called after the commit of each move that booked a fill, ended a copy or took one back; must not block."""

NOTED_MAX = 200
"""Trades written in one transaction: their copies are locked until its end."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingDoors:
    """The outside as fill tracking reaches it, the breakers that it tells, and the tiers of commissions."""

    database: Database
    clock: Clock
    breakers: Breakers
    tiers: Tiers = NO_TIERS


class FillTracking:
    """Takes trades from the user's websocket and from rescue's questions, in any order and as often as they come."""

    def __init__(self, doors: TrackingDoors, *, tallies: Tallies) -> None:
        self._doors, self._tallies = doors, tallies
        self.listeners: list[Settled] = []
        """Told of what was settled: balances that are cached are no longer so."""

    async def note(self, trades: Sequence[VenueTrade], orders: Sequence[OrderNews] = ()) -> FillsNoted:
        """Write down these trades and what was said of these orders; the moves that followed.

        Trades of orders that are not ours are left alone. Running it again changes nothing.
        """
        moves: list[Move] = []
        early: set[str] = set()
        for begin in range(0, max(len(trades), 1), NOTED_MAX):
            last = begin + NOTED_MAX >= len(trades)
            part = trades[begin : begin + NOTED_MAX]
            noted = await self._doors.database.run(
                note_fills, part, orders if last else (), now=self._doors.clock.now(), tiers=self._doors.tiers
            )
            moves += noted.moves
            early |= noted.too_early
        if moves:
            await self._tell(moves)
        return FillsNoted(moves=tuple(moves), too_early=frozenset(early))

    async def _tell(self, moves: Sequence[Move]) -> None:
        # A copy that is taken back and booked anew with other numbers was a result the first time; one that is booked
        # in part is none yet.
        anew = {move.row.pk for move in moves if move.undoes}
        results = [move for move in moves if not (move.fill and (move.row.pk in anew or move.to is Status.MATCHED))]
        await tell_breakers(self._doors.breakers, results)
        for move in moves:
            reasons = [move.refusal.reason.value] if move.refusal else ()
            log.info("The venue's trades moved a copy.", action="track", trade=move.row.pk, status=move.to.value)
            if not move.adds:
                self._tallies.count_copy(move.to.value, reasons)
            self._tallies.remember_newest([move.row.pk])
            if move.fill is not None or move.to is Status.FAILED:
                for told in self.listeners:
                    told(move)
