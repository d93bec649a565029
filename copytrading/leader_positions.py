"""Reads what the leaders hold: when they are first heard, when something was unlearned, and now and then again.

What is heard keeps the holdings from then on. How a reading and what is heard fit together:

- A reading counts as taken when its last page was answered. What the venue shows then may lack or hold an action of the
  minutes before, so a token that the leader acted on in that time is left out of it (`operations.leader_positions`).
- To know that, the activity itself is read after a moment in which the venue settles, beside what all sources have
  recorded: the same indexer cannot show a position and hide, later, the trade that made it.
- Each known size carries the time of its reading. An action heard later that is older is in it already; one too near
  to say unlearns that token (`holdings.is_in_reading`). So a partial history is never divided by.
"""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from copytrading.holdings import UNSURE_BEFORE
from copytrading.operations.leader_positions import (
    PositionsRead,
    Touched,
    open_standing,
    unlearned,
    wanting_standing,
    write_positions_read,
)
from copytrading.pauses import sleep_or_stop
from copytrading.signals import DATA_API, ActionKind, LeaderAction, OtherAction, Unreadable, parse_row
from copytrading.sources.base import Reading
from copytrading.sources.leaders import LeaderSet
from copytrading.sources.walks import walk
from execution.data_api import POSITION_STATUSES, DataApi, Window
from execution.envelopes import EnvelopeError, Page, StandingPosition, read_position
from execution.hosts import HostDown, HostRefused
from ledger.clock import Clock
from ledger.db import Database

PAGES_MAX = 50
"""Of one status of one leader: 50,000 positions."""

ROUND_MAX = 50
"""Leaders read in one round: they share the moment in which the venue settles."""

READING_S_MAX = 60.0
"""A reading that took longer shows its first page too early to be one moment."""

ACTIVITY_ROWS_MAX = 3_000
"""Of the minutes about a reading; a leader who does more is read again in a quieter time."""

LOOK_EVERY_S = 5.0
"""Between two looks at who must be read: so soon after a conversion, or a new follow."""

MIGRATION = "MIGRATION"
"""An action of the venue's list that moves positions from one contract to another."""

log = structlog.get_logger(__name__)


class Markets(Protocol):
    """What is told of the markets that leaders are in."""

    async def load(self, condition_ids: Collection[str]) -> None:
        """Return when these were asked for."""
        ...

    def prefetch(self, condition_ids: Iterable[str]) -> None:
        """Read these soon."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionSettings:
    """Each leader again after `reread_s`; with something unknown after `retry_s`, doubled up to that.

    `settle_s` is how long the venue's own books may take: its feed is made anew about every four seconds.
    """

    reread_s: float = 900.0
    retry_s: float = 60.0
    settle_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionDoors:
    """Whom it asks, for whom, and where it writes."""

    api: DataApi
    database: Database
    clock: Clock
    leaders: LeaderSet
    markets: Markets


@dataclass(slots=True)
class _Turn:
    due_s: float = 0.0
    tries: int = 0
    read_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shown:
    """What the pages held, and when the last was answered; `from_s` is when the first was asked for."""

    wallet: str
    positions: tuple[StandingPosition, ...]
    whole: bool
    from_s: int
    read_at: datetime


class LeaderPositions:
    """The service that keeps the leaders' known holdings true."""

    name = "leader-positions"

    def __init__(self, doors: PositionDoors, settings: PositionSettings | None = None) -> None:
        self._doors, self._settings = doors, settings or PositionSettings()
        self._turns: dict[str, _Turn] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Read whoever is due until stopped."""
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._doors.clock, stop, LOOK_EVERY_S)

    async def run_once(self) -> int:
        """Read the leaders who are due now, as many as share a round; how many were understood."""
        wallets = await self._due()
        shown = [each for wallet in wallets if (each := await self._positions(wallet)) is not None]
        if shown:
            await self._doors.clock.sleep(self._settings.settle_s)
        return sum([await self._understand(each) for each in shown])

    async def _due(self) -> list[str]:
        now_s = self._now_s()
        followed = self._doors.leaders.wallets
        self._turns = {wallet: self._turns.get(wallet) or _Turn() for wallet in followed}
        unknown = await self._doors.database.run(unlearned, list(followed)) if followed else set()
        for wallet in unknown:
            turn = self._turns[wallet]
            if turn.read_s is not None:
                again_s = min(self._settings.reread_s, self._settings.retry_s * 2 ** min(turn.tries, 10))
                turn.due_s = min(turn.due_s, turn.read_s + again_s)
        due = sorted((turn.due_s, wallet) for wallet, turn in self._turns.items() if turn.due_s <= now_s)
        return [wallet for _due_s, wallet in due[:ROUND_MAX]]

    async def _positions(self, wallet: str) -> _Shown | None:
        """All pages of what a leader holds; None when the venue cannot be asked now."""
        turn, began = self._turns[wallet], self._doors.clock.now()
        turn.read_s, turn.due_s = self._now_s(), self._now_s() + self._settings.reread_s
        found: dict[int, StandingPosition] = {}
        doubtful: set[int] = set()
        whole = True
        try:
            for status in POSITION_STATUSES:
                whole &= await self._pages(wallet, status, found, doubtful)
        except (HostDown, HostRefused) as error:
            self._again(turn)
            log.warning("Positions could not be read.", action="positions", leader=wallet, why=str(error))
            return None
        read_at = self._doors.clock.now()
        return _Shown(
            wallet=wallet,
            positions=tuple(each for token, each in sorted(found.items()) if token not in doubtful),
            whole=whole and not doubtful and (read_at - began).total_seconds() <= READING_S_MAX,
            from_s=int(began.timestamp()),
            read_at=read_at,
        )

    async def _pages(self, wallet: str, status: str, found: dict[int, StandingPosition], doubtful: set[int]) -> bool:
        """Add the positions of one status; whether every page of them was read and understood."""
        whole, cursor, cursors = True, None, set[str]()
        for _ in range(PAGES_MAX):
            page = await self._doors.api.positions(wallet, status=status, cursor=cursor)
            whole &= _add(page, wallet, found, doubtful)
            cursor = page.next_cursor
            if cursor is None:
                # Nothing says where a page that claims more goes on.
                return whole and not page.more
            if cursor in cursors:
                return False
            cursors.add(cursor)
        return False

    async def _understand(self, shown: _Shown) -> bool:
        """Find what moved about the time of a reading, and write what did not."""
        turn = self._turns.get(shown.wallet, _Turn())
        touched = await self._touched(shown)
        if touched is None:
            self._again(turn)
            return False
        read = PositionsRead(
            wallet=shown.wallet,
            read_at=shown.read_at,
            positions=shown.positions,
            whole=shown.whole,
            touched=touched,
        )
        learned = await self._doors.database.run(write_positions_read, read)
        turn.tries = 0 if learned.complete else turn.tries + 1
        if learned.corrected:
            log.warning("Known holdings were wrong.", action="positions", leader=shown.wallet, tokens=learned.corrected)
        self._doors.markets.prefetch({each.condition_id for each in shown.positions})
        if shown.whole:
            await self._open(read)
        return True

    async def _touched(self, shown: _Shown) -> Touched | None:
        """What the venue says the leader did since shortly before the reading; None when that cannot be told."""

        async def read(window: Window, cursor: str | None) -> Page:
            return await self._doors.api.activity(shown.wallet, window, cursor=cursor)

        window = Window(start_s=shown.from_s - int(UNSURE_BEFORE.total_seconds()))
        walked = await walk(read, window, rows_max=ACTIVITY_ROWS_MAX)
        actions = [parse_row(row, source=DATA_API, place="activity") for row in walked.rows]
        if not walked.whole or any(map(_moves_the_unnamed, actions)):
            log.warning("Actions about a reading are not known.", action="positions", leader=shown.wallet)
            return None
        moved = [each for each in actions if isinstance(each, LeaderAction)]
        tokens: Mapping[int, str] = {each.token_id: each.condition_id for each in moved if each.token_id is not None}
        return Touched(
            tokens=tokens, conditions=frozenset(each.condition_id for each in moved if each.token_id is None)
        )

    async def _open(self, read: PositionsRead) -> None:
        """Open the positions for follows that begin with them. What just moved is left to the signals it makes."""
        database = self._doors.database
        if not await database.run(wanting_standing, read.wallet):
            return
        standing = [each for each in read.positions if not read.touched.has(each.token_id, each.condition_id)]
        await self._doors.markets.load({each.condition_id for each in standing})
        signals = await database.run(open_standing, read.wallet, standing, now=self._doors.clock.now())
        log.info("Standing positions are opened.", action="positions", leader=read.wallet, signals=len(signals))

    def _again(self, turn: _Turn) -> None:
        turn.tries += 1
        turn.due_s = self._now_s() + min(self._settings.reread_s, self._settings.retry_s * 2 ** min(turn.tries - 1, 10))

    def _now_s(self) -> float:
        return self._doors.clock.monotonic_ms() / 1_000


def _moves_the_unnamed(action: Reading) -> bool:
    """Whether it may have moved tokens that it does not name."""
    if isinstance(action, LeaderAction):
        return action.kind is ActionKind.CONVERSION
    return isinstance(action, Unreadable) or (isinstance(action, OtherAction) and action.type == MIGRATION)


def _add(page: Page, wallet: str, found: dict[int, StandingPosition], doubtful: set[int]) -> bool:
    """Take a page's positions; False when one cannot be read, or is of somebody else."""
    understood = True
    for row in page.rows:
        try:
            position = read_position(row)
        except EnvelopeError:
            understood = False
            continue
        if position.wallet != wallet:
            understood = False
        elif found.setdefault(position.token_id, position).size_micros != position.size_micros:
            # Two sizes of one token: it moved while the pages were read.
            doubtful.add(position.token_id)
    return understood
