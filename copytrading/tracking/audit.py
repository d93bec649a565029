"""Holds the venue's trades of each active account against our rows, from time to time. Differences become events,
never edits: what is wrong here is for a person to look at, and what was missed is booked by the watch or by nobody.
"""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from django.db import InterfaceError, OperationalError

from copytrading.operations.differences import raise_differences
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard
from copytrading.tracking.differences import differences
from copytrading.tracking.queries import active_followers, ours_of
from execution.clob.client import TooManyTrades
from execution.hosts import HostDown, HostRefused
from execution.ports import VenueTrade
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 300.0

WINDOW = timedelta(hours=1)
"""Audited each time."""

FIRST_WINDOW = timedelta(hours=24)
"""Audited at a start: whatever happened while nobody looked. An account that cannot be read, then or later, is read
from there on until it was read once, and never further back than this."""

ACCOUNTS_MAX = 1_000
AT_ONCE = 4
"""Questions side by side; trading has the first call on the venue's limits."""

log = structlog.get_logger(__name__)


class TradeHistory(Protocol):
    """All trades of an account; `execution.venues.clob` has them."""

    async def account_trades(self, follower_id: int, *, since: datetime) -> tuple[VenueTrade, ...]:
        """Every part that this account's orders had in trades since then. Raises HostDown and HostRefused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDoors:
    """The outside as the audit reaches it."""

    database: Database
    clock: Clock
    history: TradeHistory


class Audit:
    """The periodic comparison."""

    name = "audit"

    def __init__(self, doors: AuditDoors, *, shard: Shard) -> None:
        self._doors, self._shard = doors, shard
        self._owed: dict[int, datetime] = {}
        """Since when these accounts still have to be read once."""
        self._began = False

    async def run(self, stop: asyncio.Event) -> None:
        """Compare every five minutes until stopped."""
        while not stop.is_set():
            try:
                await self.run_once(stop)
            except (OperationalError, InterfaceError):
                log.warning("The database is away; the audit waits.", action="audit")
            await sleep_or_stop(self._doors.clock, stop, EVERY_S)

    async def run_once(self, stop: asyncio.Event | None = None) -> int:
        """Compare every active account once, or until told to stop; how many differences were new."""
        wanted = await self._wanted()
        waiting = iter(wanted.items())
        asking = [asyncio.create_task(self._compare_all(waiting, stop)) for _ in range(min(AT_ONCE, len(wanted)))]
        try:
            return sum(await asyncio.gather(*asking))
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _wanted(self) -> Mapping[int, datetime]:
        """Whom to compare, and since when."""
        now = self._doors.clock.now()
        earliest = now - FIRST_WINDOW
        if not self._began:
            self._owed = await self._active(earliest)
            self._began = True
        elif self._owed:
            lately = await self._active(earliest)
            # Who is gone, or was quiet for so long, is owed nothing any more.
            self._owed = {key: max(since, earliest) for key, since in self._owed.items() if key in lately}
        return {**await self._active(now - WINDOW), **self._owed}

    async def _active(self, since: datetime) -> dict[int, datetime]:
        # An account that was stopped, perhaps because somebody else has its key, is the one to look at most.
        found = await self._doors.database.run(
            active_followers, since=since, limit=ACCOUNTS_MAX, shard=self._shard, stopped=True
        )
        return dict.fromkeys(found, since)

    async def _compare_all(self, wanted: Iterator[tuple[int, datetime]], stop: asyncio.Event | None) -> int:
        found = 0
        for follower_id, since in wanted:
            if stop is not None and stop.is_set():
                break
            found += await self._compare(follower_id, since)
        return found

    async def _compare(self, follower_id: int, since: datetime) -> int:
        """Compare one account; how many differences were new."""
        doors = self._doors
        try:
            shown = await doors.history.account_trades(follower_id, since=since)
        except (HostDown, HostRefused) as trouble:
            log.warning("An account could not be audited.", action="audit", follower=follower_id, why=str(trouble))
            # So much is never read, whoever asks again; the last hour of it may be.
            least = doors.clock.now() - WINDOW if isinstance(trouble, TooManyTrades) else since
            self._owed[follower_id] = max(since, least)
            return 0
        # Ours are read after: what came in between is known here, and the other way round it would seem missing.
        hashes = frozenset(trade.order_hash for trade in shown)
        ours = await doors.database.run(ours_of, follower_id, since=since, hashes=hashes)
        found = differences(shown, ours, since=since, now=doors.clock.now())
        new = 0
        if found:
            new = await doors.database.run(raise_differences, follower_id, found, now=doors.clock.now())
        self._owed.pop(follower_id, None)
        if new:
            log.error(
                "The venue's trades differ from the books.", action="audit", follower=follower_id, differences=new
            )
        return new
