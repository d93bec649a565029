"""Tells the live sources whom to hear: this shard's leaders that somebody follows, as the index of configs has it."""

import asyncio

import structlog
from django.db import OperationalError

from copytrading.config_index import ConfigIndex
from copytrading.operations.hearing import forget_unfollowed, hear
from copytrading.pauses import sleep_or_stop
from copytrading.sources.leaders import HeardLeaders
from ledger.clock import Clock
from ledger.db import Database

LOOK_S = 0.25
FORGET_EVERY_S = 60
"""Also those are forgotten whom no shard has told of, because none ran when they lost their last follower."""

log = structlog.get_logger(__name__)


class LeaderRoll:
    """A service that follows the index's set of leaders."""

    name = "leaders"

    def __init__(self, database: Database, clock: Clock, *, index: ConfigIndex, leaders: HeardLeaders) -> None:
        self._database, self._clock, self._index, self._leaders = database, clock, index, leaders
        self._of_version = 0
        self._told: frozenset[int] = frozenset()
        self._forgot_ms = clock.monotonic_ms()

    async def run(self, stop: asyncio.Event) -> None:
        """Follow until stopped."""
        while not stop.is_set():
            try:
                await self.run_once()
            except OperationalError:
                log.warning("The database is away; the set of leaders stays as it is.", action="leaders")
            await sleep_or_stop(self._clock, stop, LOOK_S)

    async def run_once(self) -> None:
        """Tell of a change if there is one; now and then forget whom nobody follows."""
        if self._index.version != self._of_version:
            version, ids = self._index.version, self._index.leader_ids
            if ids != self._told:
                # First: who is followed again must not find the beginning of the last time, and what is in between.
                await self._database.run(forget_unfollowed)
                self._leaders.replace(await self._database.run(hear, ids, now=self._clock.now()))
                log.info("Leaders are heard.", action="leaders", leaders=len(ids), were=len(self._told))
            self._of_version, self._told = version, ids
        if self._clock.monotonic_ms() - self._forgot_ms >= FORGET_EVERY_S * 1_000:
            self._forgot_ms = self._clock.monotonic_ms()
            await self._database.run(forget_unfollowed)
