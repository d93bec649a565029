"""One look at one leader through the Data API: read the window behind the cursor, hand on what is new, move the cursor.

The cursor is the second of the newest row that was recorded. It never follows the clock: answers have been hours
behind, and a cursor that believed in the time between would pass rows that nobody has shown yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import structlog

from copytrading.operations.cursors import CursorName, Missed, begin_cursor, give_up, move_cursor
from copytrading.signals import DATA_API, GroupKey, LeaderAction, RepeatedRow, Unreadable, group_key, parse_row
from copytrading.sources.base import Reading
from copytrading.sources.live import Ear
from copytrading.sources.walks import Read, Walked, second_of, walk
from execution.data_api import DataApi, Window
from execution.envelopes import Page
from ledger.db import Database

OVERLAP_S = 60
"""Read again before the cursor: rows of a second have no stable order, and late ones slip in behind."""

LATE_S = 180
"""Always read again up to now: rows were seen to appear 8 to 96 s after their second (data-profile.md section 6)."""

CUT_TRIES_MAX = 5
"""Walks in a row that end in trouble (a page twice), before what they cannot reach is given up."""

MISSED_ROWS_MAX = 5_000
"""What will not be replayed is counted up to so many rows."""

WHOLE, STALE, CUT, FAILED = "whole", "stale", "cut", "failed"
"""A walk read everything; or an older answer than an earlier one; or could not be finished; or not begun."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What one leader's cursor may bring back after a pause: so old, and so many rows. `trades_only` asks for less."""

    age_max_s: int = 21_600
    rows_max: int = 10_000
    trades_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PollingDoors:
    """Where it asks, and where its cursors are."""

    api: DataApi
    database: Database


@dataclass(slots=True)
class LeaderPolls:
    """What this process knows of one leader's polls.

    `shown` are the totals and `puzzles` the digests of other rows that the last walks have handed on.
    """

    wallet: str
    position: int | None = None
    whole_at_s: int | None = None
    newest_s: int = 0
    cuts: int = 0
    shown: dict[GroupKey, int] = field(default_factory=dict)
    puzzles: frozenset[bytes] = frozenset()

    @property
    def cursor(self) -> CursorName:
        """The name of its row."""
        return CursorName(DATA_API, self.wallet)


class Looks:
    """Looks at leaders; two looks at the same one must not overlap."""

    def __init__(self, doors: PollingDoors, ear: Ear, replay: Replay) -> None:
        self._doors, self._ear, self._replay = doors, ear, replay
        self._walks = 0

    async def look(self, leader: LeaderPolls, *, since_s: int) -> str:
        """Read what the leader did since the cursor, or since it is heard; how that ended."""
        now_s = int(self._ear.clock.now().timestamp())
        if leader.position is None:
            leader.position = await self._doors.database.run(begin_cursor, leader.cursor, since_s)
        if not await self._reach(leader, since_s=since_s, now_s=now_s) or leader.position is None:
            return FAILED
        begins_s = min(max(leader.position, since_s) - OVERLAP_S, now_s - LATE_S)
        window = Window(start_s=max(since_s, begins_s))
        walked = await walk(self._reader(leader), window, rows_max=self._replay.rows_max)
        await self._hand_on(leader, walked)
        newest_s = max((second_of(row) or 0 for row in walked.rows), default=0)
        # A time in the future would hide everything before it.
        return await self._settle(leader, walked, newest_s=min(newest_s, now_s), now_s=now_s)

    async def _reach(self, leader: LeaderPolls, *, since_s: int, now_s: int) -> bool:
        """Bring a cursor that is too old up to the bound, and count what lies before it; False to try again later.

        The cursor of somebody who sleeps is old too: it is left behind only when nobody looked for so long.
        """
        position = leader.position or 0
        floor_s = now_s - self._replay.age_max_s
        if max(position, since_s, leader.whole_at_s or 0) >= floor_s:
            return True
        behind = Window(start_s=max(position + 1, since_s), end_s=floor_s - OVERLAP_S - 1)
        rows = await self._rows_in(leader, behind)
        if rows is None:
            return False
        await self._give_up(leader, after=floor_s, missed=Missed(rows=rows, why="older than is replayed"))
        return True

    async def _rows_in(self, leader: LeaderPolls, window: Window) -> int | None:
        """How many rows a window holds, counted up to a bound; None when it cannot be asked now."""
        if window.end_s is not None and window.end_s < window.start_s:
            return 0
        walked = await walk(self._reader(leader), window, rows_max=MISSED_ROWS_MAX)
        return len(walked.rows) if walked.whole or walked.full else None

    async def _hand_on(self, leader: LeaderPolls, walked: Walked) -> None:
        """Offer what is new: every row of each group whose total is above what was shown before.

        One walk, offered whole: each of its transactions is complete, and the sink returns when it is recorded.
        """
        self._walks += 1
        name = f"{DATA_API}:{leader.wallet}:{self._walks}"
        parsed = [
            (_digest(row), parse_row(row, source=DATA_API, place=f"{name} row {number}"))
            for number, row in enumerate(walked.rows, start=1)
        ]
        mine = [pair for pair in parsed if not isinstance(pair[1], LeaderAction) or pair[1].wallet == leader.wallet]
        totals = _totals([reading for _digest_of, reading in mine])
        grown = {key for key, size in totals.items() if size > leader.shown.get(key, -1)}
        news: list[Reading] = [each for digest, each in mine if _is_new(each, digest, grown, leader.puzzles)]
        self._tell(walked, foreign=len(parsed) - len(mine), again=len(mine) - len(news), news=news)
        news += [RepeatedRow(f"{name} repeated")] * walked.repeated
        if news:
            await self._ear.sink.offer(name, news, complete=True)
            await self._ear.sink.end_walk(name)
        puzzles = frozenset(digest for digest, each in mine if not isinstance(each, LeaderAction))
        # Only a whole walk shows that what it lacks lies before its window, and may be forgotten.
        leader.shown = totals if walked.whole else leader.shown | totals
        leader.puzzles = puzzles if walked.whole else leader.puzzles | puzzles

    def _tell(self, walked: Walked, *, foreign: int, again: int, news: Sequence[Reading]) -> None:
        stats = self._ear.stats
        stats.received(len(walked.rows) + walked.repeated)
        stats.foreign(foreign)
        stats.duplicate(again + walked.repeated)
        stats.undecodable(sum(isinstance(each, Unreadable) for each in news))

    async def _settle(self, leader: LeaderPolls, walked: Walked, *, newest_s: int, now_s: int) -> str:
        """Move the cursor as far as everything was read, and say how the look ended."""
        if not walked.whole:
            return await self._settle_cut(leader, walked, newest_s=newest_s)
        leader.cuts, leader.whole_at_s = 0, now_s
        position = leader.position or 0
        if newest_s > position:
            moved = await self._doors.database.run(move_cursor, leader.cursor, before=position, after=newest_s)
            # Whoever moved or removed it meanwhile knows better: it is read again with the next look.
            leader.position = newest_s if moved else None
        # Without what an earlier answer had it comes from the memory of the network in front.
        stale = newest_s < leader.newest_s and leader.newest_s > now_s - LATE_S
        leader.newest_s = max(leader.newest_s, newest_s)
        if stale:
            return STALE
        self._ear.stats.alive(self._ear.clock.monotonic_ms())
        return WHOLE

    async def _settle_cut(self, leader: LeaderPolls, walked: Walked, *, newest_s: int) -> str:
        """The cursor stays where it is, unless what lies before the rows that were read will never be."""
        if not walked.rows:
            log.warning("A leader could not be polled.", action="poll", leader=leader.wallet, why=walked.trouble)
            return FAILED
        leader.cuts += 1
        position = leader.position or 0
        if walked.full and newest_s > position:
            rest = await self._rows_in(leader, Window(start_s=position + 1, end_s=walked.unread_s))
            await self._give_up(leader, after=newest_s, missed=Missed(rows=rest, why="more than is replayed"))
        elif leader.cuts >= CUT_TRIES_MAX and newest_s > position:
            await self._give_up(leader, after=newest_s, missed=Missed(rows=None, why=walked.trouble))
        log.warning("A poll was cut short.", action="poll", leader=leader.wallet, why=walked.trouble)
        return CUT

    async def _give_up(self, leader: LeaderPolls, *, after: int, missed: Missed) -> None:
        before, leader.position, leader.cuts = leader.position, None, 0
        now = self._ear.clock.now()
        if before is None or not await self._doors.database.run(
            give_up, leader.cursor, before=before, after=after, missed=missed, now=now
        ):
            return
        leader.position = after
        self._ear.stats.missed(missed.rows or 0)
        if missed.rows != 0:
            log.warning("Rows are given up.", action="poll", leader=leader.wallet, why=missed.why, rows=missed.rows)

    def _reader(self, leader: LeaderPolls) -> Read:
        asked = self._doors.api.trades if self._replay.trades_only else self._doors.api.activity

        async def read(window: Window, cursor: str | None) -> Page:
            return await asked(leader.wallet, window, cursor=cursor)

        return read


def _totals(readings: Sequence[Reading]) -> dict[GroupKey, int]:
    """The size of each group in one walk, by the same sum as the sink makes."""
    found: dict[GroupKey, int] = {}
    for each in readings:
        if isinstance(each, LeaderAction):
            key = group_key(each)
            found[key] = found.get(key, 0) + each.size_micros
    return found


def _is_new(reading: Reading, digest: bytes, grown: set[GroupKey], puzzles: frozenset[bytes]) -> bool:
    return group_key(reading) in grown if isinstance(reading, LeaderAction) else digest not in puzzles


def _digest(row: object) -> bytes:
    return blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()
