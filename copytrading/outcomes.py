"""Group-commits outcomes: many moves in one transaction every few milliseconds, and nobody's move is lost."""

import asyncio
from collections.abc import Sequence

import structlog
from django.db import OperationalError

from copytrading.metrics import StageTimes
from copytrading.operations.outcomes import Move, record_outcomes
from ledger.clock import Clock
from ledger.db import Database

FLUSH_MAX = 1_000
"""Moves in one transaction; beyond it the locks are held too long for the others."""

RETRY_MS_MAX = 60_000
"""How long results are kept in memory while the database is away; then the process ends and rescue asks again."""

RETRY_WAIT_S = 0.5

log = structlog.get_logger(__name__)


class OutcomeWriter:
    """`record` returns when the move is committed, with whether the row was still ours."""

    name = "outcomes"

    def __init__(self, database: Database, clock: Clock, *, stages: StageTimes, flush_ms: int) -> None:
        self._database, self._clock, self._stages, self._flush_ms = database, clock, stages, flush_ms
        self._waiting: list[tuple[Move, asyncio.Future[bool]]] = []
        self._some = asyncio.Event()

    async def record(self, move: Move) -> bool:
        """Commit a move together with others; True when it changed its row."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((move, done))
        self._some.set()
        return await done

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
                    return await self._database.run(record_outcomes, moves, now=self._clock.now())
            except OperationalError:
                # A commit whose reply was lost is harmless here: the moves are compare-and-set, a second
                # run finds the rows moved and changes nothing.
                if self._clock.monotonic_ms() - began_ms > RETRY_MS_MAX:
                    raise
                log.warning("The database is away; outcomes wait in memory.", action="record", moves=len(moves))
                await self._clock.sleep(RETRY_WAIT_S)
