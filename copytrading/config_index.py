"""The active configs of a shard by leader, in memory: who wants to copy whom, never older than its bound.

Increments read what changed since the last look, by the rows' `updated_at`, which the database itself sets; a full
reconciliation every few minutes drops what was deleted and repairs what an increment could have missed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db import InterfaceError, OperationalError

from copytrading.batches import Subscribers
from copytrading.configs import Change, Moment, Page, changes_since, configs_after, configs_by_id
from copytrading.decide import Config
from copytrading.metrics import CONFIG_AGE_MS, CONFIG_LOAD_MS, INDEXED_CONFIGS
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard
from ledger.clock import Clock
from ledger.db import Database

PAGE = 2_000
"""Configs read at a time: about 50 ms of work, between which the event loop gets its turns."""

OVERLAP = timedelta(seconds=30)
"""A change is stamped when its statement is made, and a transaction has an id when its statement finds its row: no
statement lasts longer. However long the transaction lasts then, its change is read when it commits."""

LOOKS_MAX = 1_000
"""Moments of looking kept while somebody's transaction is open: with fewer, more is read again and nothing missed."""

LOOK_S = 0.1
"""How often the service looks whether a refresh is due."""

TRIES_MAX = 3
"""An answer is as old as its question: a reading that took longer than answers may be old is followed by another."""

_ById = dict[int, Config]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTerms:
    """`refresh_ms` is how old an answer may be, `reconcile_s` how often everything is read anew.

    0 is each time: SQLite does not stamp changed rows, and has one engine with few configs.
    """

    refresh_ms: int
    reconcile_s: int


class ConfigIndex:
    """Answers from memory; whoever asks a stale index waits for one refresh, shared by all who ask."""

    name = "configs"

    def __init__(self, database: Database, clock: Clock, *, shard: Shard, terms: IndexTerms) -> None:
        self._database, self._clock, self._shard, self._terms = database, clock, shard, terms
        self._by_leader: dict[int, dict[int, Config]] = {}
        self._in_order: dict[int, tuple[Config, ...]] = {}
        self._leader_of: dict[int, int] = {}
        self._marks: frozenset[Change] = frozenset()
        self._looks: tuple[Moment, ...] = ()
        self._changed_since: set[int] | None = None
        self._loaded: Moment | None = None
        self._refreshed_ms: float | None = None
        self._reconciled_ms = 0.0
        self._refreshing = asyncio.Lock()
        self.version = 0
        """Rises with each refresh that changed something."""

    def __len__(self) -> int:
        return len(self._leader_of)

    @property
    def leader_ids(self) -> frozenset[int]:
        """Leaders whom somebody follows."""
        return frozenset(self._by_leader)

    async def of_leaders(self, leader_ids: Iterable[int]) -> Subscribers:
        """The active configs of each leader in the order of granting (by id), at most `refresh_ms` old."""
        for _ in range(TRIES_MAX):
            if self._age_ms() <= self._terms.refresh_ms:
                break
            async with self._refreshing:
                if self._age_ms() > self._terms.refresh_ms:
                    await self._refresh()
        return {leader: self._ordered(leader) for leader in leader_ids}

    async def run(self, stop: asyncio.Event) -> None:
        """Keep fresh until stopped; while the database is away the index ages, and whoever asks meets the error."""
        while not stop.is_set():
            # Ahead of its end, so that whoever decides does not wait for it.
            if self._age_ms() > self._terms.refresh_ms * 3 / 4:
                try:
                    await self.run_once()
                except (OperationalError, InterfaceError):
                    log.warning("The database is away; configs age.", action="configs", age_ms=round(self._age_ms()))
            CONFIG_AGE_MS.set(self._age_ms())
            await sleep_or_stop(self._clock, stop, LOOK_S)

    async def run_once(self) -> None:
        """Refresh now, and read everything anew when that is due: beside whoever asks, and never in his way."""
        began_ms = self._clock.monotonic_ms()
        async with self._refreshing:
            await self._refresh()
        if self._terms.reconcile_s and self._is_due(began_ms):
            await self._reconcile(began_ms)

    async def reread(self) -> bool:
        """Read everything anew at once, because some row was not as it is here; whether there was news."""
        async with self._refreshing:
            version = self.version
            await self._load()
            return self.version != version

    async def _refresh(self) -> None:
        """Under the lock. The first time, and always where rows are not stamped, everything is read."""
        if not self._looks or not self._terms.reconcile_s:
            await self._load()
            return
        began_ms = self._clock.monotonic_ms()
        await self._increment()
        self._is_of(began_ms, "increment")

    def _is_due(self, now_ms: float) -> bool:
        if self._loaded is not None and self._looks[-1].all_ended >= self._loaded.none_begun:
            self._loaded = None
            return True
        return now_ms - self._reconciled_ms >= self._terms.reconcile_s * 1_000

    async def _load(self) -> None:
        began_ms = self._clock.monotonic_ms()
        began_at, found = await self._read_all()
        self._replace(found, kept=frozenset())
        self._looks, self._marks, self._reconciled_ms = (began_at,), frozenset(), began_ms
        # Transactions that were open then may have stamped their changes at any time before.
        self._loaded = began_at if began_at.all_ended < began_at.none_begun else None
        self._is_of(began_ms, "full")

    async def _reconcile(self, began_ms: float) -> None:
        """Increments go on meanwhile, and what they read is newer than the pages of this."""
        changed: set[int] = set()
        self._changed_since = changed
        try:
            _began_at, found = await self._read_all(between_pages=self._keep_fresh)
            self._replace(found, kept=changed)
        finally:
            self._changed_since = None
        self._reconciled_ms = began_ms
        CONFIG_LOAD_MS.labels("full").observe(self._clock.monotonic_ms() - began_ms)

    async def _read_all(self, between_pages: Callable[[], Awaitable[None]] | None = None) -> tuple[Moment, _ById]:
        found: _ById = {}
        page: Page | None = None
        began_at: Moment | None = None
        leaders = await self._leaders()
        while page is None or page.more:
            page = await self._database.run(configs_after, page.last_id if page else 0, leaders, limit=PAGE)
            began_at = began_at or page.read_at
            found.update((each.config_id, each) for each in page.configs)
            if between_pages is not None:
                await between_pages()
        assert began_at is not None
        return began_at, found

    async def _keep_fresh(self) -> None:
        async with self._refreshing:
            if self._age_ms() > self._terms.refresh_ms * 3 / 4:
                await self._refresh()

    def _replace(self, found: _ById, *, kept: Collection[int]) -> None:
        gone = self._leader_of.keys() - found.keys() - set(kept)
        news = [each for key, each in found.items() if key not in kept and self._known(key) != each]
        self._apply(news, gone)

    async def _increment(self) -> None:
        leaders = await self._leaders()
        begin = self._unseen_since() - OVERLAP
        seen = await self._database.run(changes_since, begin, known=self._marks)
        for ids in pages(seen.config_ids, PAGE):
            rows = await self._database.run(configs_by_id, ids)
            ours = [row for row in rows if leaders is None or row.leader_id in leaders]
            changed = [row for row in ours if self._known(row.config_id) != row]
            self._apply(changed, set(ids) - {row.config_id for row in ours})
            if self._changed_since is not None:
                self._changed_since.update(ids)
        self._marks = frozenset(mark for mark in self._marks | seen.marks if mark.at >= begin)
        self._looks = (*self._looks, seen.read_at)

    def _unseen_since(self) -> datetime:
        """Before this nothing was written that the last look could not see; earlier looks are forgotten.

        Whatever it did not see had not ended then, so its id was given after every look that knew of no such id.
        """
        last = self._looks[-1]
        place = max((n for n, each in enumerate(self._looks) if each.none_begun <= last.all_ended), default=0)
        self._looks = (self._looks[place], *self._looks[place + 1 :][-LOOKS_MAX:])
        return self._looks[0].at

    def _is_of(self, began_ms: float, kind: str) -> None:
        # As old as its question: what changed while it was answered may be missing.
        self._refreshed_ms = began_ms
        INDEXED_CONFIGS.set(len(self))
        CONFIG_LOAD_MS.labels(kind).observe(self._clock.monotonic_ms() - began_ms)

    async def _leaders(self) -> frozenset[int] | None:
        ids = await self._database.run(self._shard.leader_ids)
        return None if ids is None else frozenset(ids)

    def _known(self, config_id: int) -> Config | None:
        leader = self._leader_of.get(config_id)
        return None if leader is None else self._by_leader[leader][config_id]

    def _apply(self, changed: Iterable[Config], gone: Iterable[int]) -> None:
        touched: set[int] = set()
        for config_id in gone:
            leader = self._leader_of.pop(config_id, None)
            if leader is not None:
                del self._by_leader[leader][config_id]
                touched.add(leader)
        for config in changed:
            self._by_leader.setdefault(config.leader_id, {})[config.config_id] = config
            self._leader_of[config.config_id] = config.leader_id
            touched.add(config.leader_id)
        for leader in touched:
            self._in_order.pop(leader, None)
            if not self._by_leader[leader]:
                del self._by_leader[leader]
        if touched:
            self.version += 1

    def _ordered(self, leader: int) -> tuple[Config, ...]:
        found = self._in_order.get(leader)
        if found is None:
            configs = self._by_leader.get(leader, {})
            found = self._in_order[leader] = tuple(configs[each] for each in sorted(configs))
        return found

    def _age_ms(self) -> float:
        return float("inf") if self._refreshed_ms is None else self._clock.monotonic_ms() - self._refreshed_ms


def pages(ids: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    """The ids in parts of at most `size`."""
    return (ids[begin : begin + size] for begin in range(0, len(ids), size))
