"""Offers open signals to the queue again: a lost wake-up, a full or flushed queue, a crash before the prewrite.

It also asks a queue that is down, once a second, whether it answers again.
"""

import asyncio
from datetime import timedelta

from copytrading.operations.attempts import FRESH_FOR
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard, open_ids
from copytrading.signalqueue import SignalQueue
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 1.0
OFFER_MAX = 5_000
"""As many as a queue holds by default: after a flush everything is back in it at the next sweep."""


class Sweeper:
    """Finds signals older than five seconds that are not done."""

    name = "sweeper"

    def __init__(self, database: Database, queue: SignalQueue, clock: Clock, *, shard: Shard) -> None:
        self._database, self._queue, self._clock, self._shard = database, queue, clock, shard

    async def run(self, stop: asyncio.Event) -> None:
        """Sweep every second until stopped; the first sweep offers everything, for a start after a crash."""
        await self.run_once(older_than=timedelta(0))
        while not stop.is_set():
            await sleep_or_stop(self._clock, stop, EVERY_S)
            if not stop.is_set():
                await self.run_once()

    async def run_once(self, *, older_than: timedelta = FRESH_FOR) -> int:
        """Offer what is open, oldest first; the number of signals that are in the queue then."""
        await self._queue.look()
        if self._queue.down:
            return 0  # the pipeline reads them itself
        found = await self._database.run(
            open_ids,
            before=self._clock.now() - older_than,
            limit=OFFER_MAX,
            shard=self._shard,
            entries_since=self._queue.entries_since,
        )
        exits = {str(each.signal_id) for each in found if each.is_exit}
        refused = await self._queue.add_again([str(each.signal_id) for each in found], exits=exits) if found else []
        return len(found) - len(refused)
