"""Looks after the accounts that trade on the venue: opens their access, examines them, holds their cash against the
venue's, and stops one alone when its secrets, its key or the venue say that it may not trade.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db import IntegrityError, InterfaceError, OperationalError

from copytrading.accounts.book import AccountBook
from copytrading.accounts.doubts import About, Doubt
from copytrading.accounts.examination import Examiner, Stopped
from copytrading.accounts.funds import AccountFunds
from copytrading.accounts.readiness import blocking, missing
from copytrading.operations.account_states import AccountRow, account_rows, claim_due, stop_account, write_missing
from copytrading.operations.cash_sync import at_rest, sync_cash
from copytrading.pauses import sleep_or_stop
from copytrading.states import ON_THE_VENUE
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 1.0
LOOK_AGAIN = timedelta(seconds=60)
"""An account is examined once a minute, by whichever process is first: about seven questions to the venue."""

READ_ROWS_MS = 5_000
"""A new, changed, stopped or restarted account is noticed within this."""

CLAIMED_MAX, AT_ONCE = 32, 8
"""Accounts taken for examination at a time, and side by side: the venue grants an address 20 balances a second."""

CREDENTIALS_AGAIN_MS = 30_000
"""Doubts about one account's credentials wait so long after the last: when a host of the venue restarts they come from
every account, again and again, and each costs a whole look."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeeperDoors:
    """What the keeper works with."""

    database: Database
    clock: Clock
    book: AccountBook
    examiner: Examiner
    funds: AccountFunds


class AccountKeeper:
    """The service of the accounts. Others tell it by `doubt` what they heard against one."""

    name = "accounts"

    def __init__(self, doors: KeeperDoors) -> None:
        self._database, self._clock = doors.database, doors.clock
        self._book, self._examiner, self._funds = doors.book, doors.examiner, doors.funds
        self._doubts: dict[int, Doubt] = {}
        self._not_before_ms: dict[int, float] = {}
        self._doubted = asyncio.Event()
        self._rows: dict[int, AccountRow] = {}
        self._read_ms: float | None = None

    def doubt(self, follower_id: int, doubt: Doubt) -> None:
        """Something speaks against this account: it is examined at once, and stopped if it is true.

        A doubt about credentials that follows another too soon waits; it hides nothing else that is said meanwhile.
        """
        self._note(follower_id, doubt)
        if self._is_due(follower_id):
            self._doubted.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Look after everybody until stopped; while the database is away nothing is changed."""
        while not stop.is_set():
            try:
                await self.run_once()
            except (OperationalError, InterfaceError):
                log.warning("The database is away; accounts are looked after later.", action="accounts")
            await self._rest(stop)

    async def run_once(self) -> int:
        """Open what is not open, examine who is doubted or due; how many accounts were examined."""
        await self._read_rows()
        self._doubted.clear()
        doubts = self._take_doubts()
        doubted = [self._rows[key] for key in doubts if key in self._rows and self._rows[key].stopped_why is None]
        try:
            examined = await self._each(doubted, doubts)
        except (OperationalError, InterfaceError):
            # Nobody may say it again. Whoever was looked at already is looked at once more.
            for follower_id, doubt in doubts.items():
                self._note(follower_id, doubt)
            raise
        due = await self._database.run(
            claim_due, before=self._clock.now() - LOOK_AGAIN, now=self._clock.now(), limit=CLAIMED_MAX
        )
        examined += await self._each((each for each in due if each.follower_id not in doubts), {})
        return examined

    def _note(self, follower_id: int, doubt: Doubt) -> None:
        waiting = self._doubts.get(follower_id)
        if waiting is None or waiting.about is About.CREDENTIALS or doubt.about is About.ACCOUNT:
            self._doubts[follower_id] = doubt

    def _is_due(self, follower_id: int) -> bool:
        if self._doubts[follower_id].about is not About.CREDENTIALS:
            return True
        return self._clock.monotonic_ms() >= self._not_before_ms.get(follower_id, 0.0)

    def _take_doubts(self) -> dict[int, Doubt]:
        """Those to look at now, the venue's words first: mere doubts of everybody must not hold them up."""
        due = [key for key in self._doubts if self._is_due(key)]
        due.sort(key=lambda key: self._doubts[key].about is About.CREDENTIALS)
        taken = {key: self._doubts.pop(key) for key in due[:CLAIMED_MAX]}
        again_ms = self._clock.monotonic_ms() + CREDENTIALS_AGAIN_MS
        self._not_before_ms.update({key: again_ms for key, each in taken.items() if each.about is About.CREDENTIALS})
        return taken

    async def _rest(self, stop: asyncio.Event) -> None:
        resting = asyncio.create_task(sleep_or_stop(self._clock, stop, EVERY_S))
        called = asyncio.create_task(self._doubted.wait())
        try:
            await asyncio.wait({resting, called}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            resting.cancel()
            called.cancel()

    async def _read_rows(self) -> None:
        now_ms = self._clock.monotonic_ms()
        if self._read_ms is not None and now_ms - self._read_ms < READ_ROWS_MS:
            return
        rows = {row.follower_id: row for row in await self._database.run(account_rows)}
        for gone in self._book.known - rows.keys():
            self._book.forget(gone)
            self._not_before_ms.pop(gone, None)
        self._rows, self._read_ms = rows, now_ms
        self._funds.keep([key for key, row in rows.items() if row.mode == ON_THE_VENUE and row.stopped_why is None])
        # Also those that are stopped: what they sent may still have to be asked about, or be cancelled. And those whose
        # row is another one now: the process that examined them may not have been this one.
        await self._side_by_side(self._open(row) for row in rows.values() if not self._book.fits(row))

    async def _each(self, rows: Iterable[AccountRow], doubts: dict[int, Doubt]) -> int:
        looks = [self._look(row, doubts.get(row.follower_id)) for row in rows]
        await self._side_by_side(looks)
        return len(looks)

    async def _side_by_side(self, works: Iterable[Coroutine[Any, Any, None]]) -> None:
        room = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(_within(room, work) for work in works))

    async def _open(self, row: AccountRow) -> None:
        """What is sealed is opened; where nothing is, whoever examines the account asks the venue."""
        found = await self._examiner.open(row, sealed_only=True)
        if isinstance(found, Stopped) and row.stopped_why is None:
            await self._stop(row, found)

    async def _look(self, row: AccountRow, doubt: Doubt | None) -> None:
        found = await self._examiner.examine(row, doubt=doubt)
        if isinstance(found, Stopped):
            await self._stop(row, found)
            return
        lacks = missing(found)
        await self._database.run(
            write_missing, row.follower_id, [each.as_json() for each in lacks], now=self._clock.now()
        )
        if not blocking(lacks):
            await self._sync(row)

    async def _stop(self, row: AccountRow, stopped: Stopped) -> None:
        done = await self._database.run(
            stop_account, row.follower_id, stopped.why, revoked=stopped.revoked, now=self._clock.now()
        )
        if done:
            log.error("An account was stopped.", action="account", follower=row.follower_id, why=stopped.why)

    async def _sync(self, row: AccountRow) -> None:
        """Book what came to or left the account past us; asked anew, after the books were looked at."""
        seen = await self._database.run(at_rest, row.follower_id, now=self._clock.now())
        if seen is None:
            return
        micros = await self._examiner.money(row)
        if micros is None:
            return
        try:
            difference = await self._database.run(sync_cash, seen, micros, now=self._clock.now())
        except IntegrityError:
            # Another process found the same difference, and booked it.
            return
        if difference:
            log.info(
                "Money came to or left an account past us; it was booked.",
                action="cash",
                follower=row.follower_id,
                micros=difference,
            )


async def _within(room: asyncio.Semaphore, work: Coroutine[Any, Any, None]) -> None:
    async with room:
        await work
