"""Holds the venue's trades of each active account against our rows, from time to time. Differences become events,
never edits: what is wrong here is for a person to look at, and what was missed is booked by the watch or by nobody.
"""

import asyncio
from collections.abc import Iterator
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
from execution.hosts import HostDown, HostRefused
from execution.ports import VenueTrade
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 300.0

WINDOW = timedelta(hours=1)
"""Audited each time; what was missed is found even when several rounds in a row found no answer."""

FIRST_WINDOW = timedelta(hours=24)
"""Audited at a start: whatever happened while nobody looked."""

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
        self._first = True

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
        window = FIRST_WINDOW if self._first else WINDOW
        since = self._doors.clock.now() - window
        # An account that was stopped, perhaps because somebody else has its key, is the one to look at most.
        followers = await self._doors.database.run(
            active_followers, since=since, limit=ACCOUNTS_MAX, shard=self._shard, stopped=True
        )
        waiting = iter(followers)
        asking = [asyncio.create_task(self._compare_all(waiting, since, stop)) for _ in followers[:AT_ONCE]]
        try:
            found = sum(await asyncio.gather(*asking))
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        self._first = False
        return found

    async def _compare_all(self, followers: Iterator[int], since: datetime, stop: asyncio.Event | None) -> int:
        found = 0
        for follower_id in followers:
            if stop is not None and stop.is_set():
                break
            found += await self._compare(follower_id, since)
        return found

    async def _compare(self, follower_id: int, since: datetime) -> int:
        doors = self._doors
        try:
            shown = await doors.history.account_trades(follower_id, since=since)
        except (HostDown, HostRefused) as trouble:
            log.warning("An account could not be audited.", action="audit", follower=follower_id, why=str(trouble))
            return 0
        # Ours are read after: what came in between is known here, and the other way round it would seem missing.
        hashes = frozenset(trade.order_hash for trade in shown)
        ours = await doors.database.run(ours_of, follower_id, since=since, hashes=hashes)
        found = differences(shown, ours, since=since, now=doors.clock.now())
        if not found:
            return 0
        new = await doors.database.run(raise_differences, follower_id, found, now=doors.clock.now())
        if new:
            log.error(
                "The venue's trades differ from the books.", action="audit", follower=follower_id, differences=new
            )
        return new
