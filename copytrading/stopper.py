"""Looks again and again whether what was copied after a leader has earned or lost enough to stop, and sells it out."""

import asyncio
from collections.abc import Mapping

import structlog

from copytrading.operations.exits import due_exits, try_exit
from copytrading.operations.stops import measured_of, watched, write_measures
from copytrading.pauses import sleep_or_stop
from copytrading.prices import LastPrices, worths
from copytrading.queries import Shard
from execution.queries import markets
from execution.quotes import KnownQuotes
from guardrails.stores.base import QueueStore, StoreDown
from ledger.clock import Clock
from ledger.db import Database
from ledger.units import Micros

EVERY_S = 1.0
REST = 9
"""It rests so many times as long as a round took: with very many configs it looks less often and never takes over."""

log = structlog.get_logger(__name__)


class Stopper:
    """Measures the configs of one shard that have a stop."""

    name = "stopper"

    def __init__(
        self, database: Database, queue: QueueStore, clock: Clock, *, quotes: KnownQuotes, shard: Shard
    ) -> None:
        self._database, self._queue, self._clock = database, queue, clock
        self._quotes, self._shard = quotes, shard
        self._last = LastPrices()

    async def run(self, stop: asyncio.Event) -> None:
        """Measure every second until stopped."""
        while not stop.is_set():
            began_ms = self._clock.monotonic_ms()
            await self.run_once()
            took_s = (self._clock.monotonic_ms() - began_ms) / 1_000
            await sleep_or_stop(self._clock, stop, max(EVERY_S, took_s * REST))

    async def run_once(self) -> int:
        """Stop what has reached its stop, and try the exits that are due; the number of configs stopped."""
        stopped = await self._database.run(self._measure)
        signals = await self._database.run(self._exit)
        if signals:
            try:
                ids = [str(each) for each in signals]
                await self._queue.add(ids, exits=set(ids))
            except StoreDown:
                log.warning("The queue is down; exits wait for the sweeper.", action="exit", signals=len(signals))
        return stopped

    def _measure(self) -> int:
        configs, conditions = watched(self._shard.leader_ids())
        prices = self._prices(conditions)
        measures = [(each, found) for each in configs if (found := measured_of(each, prices)) is not None]
        if not measures:
            return 0
        stopped = write_measures(measures, now=self._clock.now())
        for each, refusal in stopped:
            log.warning(
                "A stop was reached: nothing more is bought.", action="stop", config=each.config_id, reason=str(refusal)
            )
        return len(stopped)

    def _exit(self) -> list[int]:
        exits = due_exits(self._shard.leader_ids(), now=self._clock.now())
        prices = self._prices({each.token_id: each.condition_id for exit_ in exits for each in exit_.left})
        return [signal for each in exits for signal in try_exit(each, prices, now=self._clock.now())]

    def _prices(self, conditions: Mapping[int, str]) -> dict[int, Micros]:
        if not conditions:
            return {}
        self._last.read(conditions)
        return worths(conditions, markets(set(conditions.values())), self._last, self._quotes)
