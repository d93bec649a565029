"""Offers open signals to the queue again: a lost wake-up, a full or flushed queue, a crash before the prewrite."""

import asyncio
from datetime import timedelta

import structlog

from copytrading.operations.attempts import FRESH_FOR
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard, open_signal_ids
from guardrails.stores.base import QueueStore, StoreDown
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 1.0
OFFER_MAX = 500

log = structlog.get_logger(__name__)


class Sweeper:
    """Finds signals older than five seconds that are not done."""

    name = "sweeper"

    def __init__(self, database: Database, queue: QueueStore, clock: Clock, *, shard: Shard) -> None:
        self._database, self._queue, self._clock, self._shard = database, queue, clock, shard

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep every second until stopped; the first sweep offers everything, for a start after a crash."""
        await self.run_once(older_than=timedelta(0))
        while not stop.is_set():
            await sleep_or_stop(self._clock, stop, EVERY_S)
            if not stop.is_set():
                await self.run_once()

    async def run_once(self, *, older_than: timedelta = FRESH_FOR) -> int:
        """Offer what is open; the number of signals offered."""
        before = self._clock.now() - older_than
        ids = await self._database.run(open_signal_ids, before=before, limit=OFFER_MAX, shard=self._shard)
        if not ids:
            return 0
        try:
            return await self._queue.add([str(each) for each in ids])
        except StoreDown:
            log.warning("The queue is down; open signals wait in the database.", action="sweep", signals=len(ids))
            return 0
