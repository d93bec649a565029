"""What is known of markets, kept in memory and in their rows: asked for once, however many wait, and renewed with age.

Those who wait together share one question: ids gather for a moment, a batch goes out, and everybody has the answer.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from django.db.models import Q

from execution.gamma import MarketDescription
from execution.gamma_client import BATCH_MAX, GammaClient
from execution.hosts import HostDown
from execution.metrics import MARKETS_ASKED_TOTAL, MARKETS_CACHED, MARKETS_EVICTED_TOTAL
from execution.models import Market
from execution.operations import load_markets
from execution.position_ids import condition_of_position, is_position_id
from execution.queries import MarketFacts, markets
from ledger.clock import Clock
from ledger.db import Database

log = structlog.get_logger(__name__)

Id = str | int
"""What is asked for: a condition as text, or a token as a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectorySettings:
    """`markets_max` in memory; a description is renewed after `fresh_s` and leaves the memory unused for `keep_s`.

    What nobody knows, or a description leaves out of an order's facts, is asked for again after `unknown_s`: a new
    market is missing for minutes. `gather_s` is how long ids wait for others, `patience_s` how long `ready` waits for
    answers.
    """

    markets_max: int = 5_000
    fresh_s: float = 300.0
    keep_s: float = 3_600.0
    unknown_s: float = 30.0
    gather_s: float = 0.01
    patience_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryDoors:
    """Whom it asks, where the rows are, and what time it is."""

    client: GammaClient
    database: Database
    clock: Clock


@dataclass(slots=True)
class _Known:
    facts: MarketFacts
    read_ms: float
    used_ms: float


class MarketDirectory:
    """Markets by condition, and conditions by token; for one event loop."""

    def __init__(self, doors: DirectoryDoors, settings: DirectorySettings | None = None) -> None:
        self._doors, self._settings = doors, settings or DirectorySettings()
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._condition_of: OrderedDict[int, str] = OrderedDict()
        self._unknown_until_ms: OrderedDict[Id, float] = OrderedDict()
        self._under_way: dict[Id, asyncio.Future[None]] = {}
        self._gathering: dict[Id, None] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def condition_of(self, token_id: int) -> str | None:
        """The condition of a token; None when nobody knows it, or nobody can be asked now.

        A position of Protocol V2 names its condition itself.
        """
        if is_position_id(token_id):
            return condition_of_position(token_id)
        if token_id not in self._condition_of:
            await self._ask([token_id])
        return self._condition_of.get(token_id)

    async def market(self, condition_id: str) -> MarketFacts | None:
        """A market as the venue described it; None when nobody knows it, or nobody can be asked now."""
        await self._ask(self._lacking([condition_id]))
        known = self._known.get(condition_id)
        return None if known is None else known.facts

    async def ready(self, condition_ids: Collection[str]) -> bool:
        """Return when the rows of these markets hold what the venue says, or after `patience_s`; False: it knew all.

        Whoever trades real money looks at what is still unsaid then (`MarketTerms.unsaid`). Costs nothing for markets
        that are in memory; one that has grown old is renewed behind the caller's back.
        """
        lacking = self._lacking(condition_ids)
        if not lacking:
            return False
        asking = self._spawn(self._ask(lacking))
        patience = asyncio.create_task(self._doors.clock.sleep(self._settings.patience_s))
        try:
            await asyncio.wait({asking, patience}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            patience.cancel()
        return True

    async def load(self, condition_ids: Collection[str]) -> None:
        """Return when these markets were asked for, however long it takes."""
        await self._ask(self._lacking(condition_ids))

    def prefetch(self, condition_ids: Iterable[str]) -> None:
        """Read these markets soon; nobody waits for them."""
        lacking = self._lacking(set(condition_ids))
        if lacking:
            self._spawn(self._ask(lacking))

    async def tick_changed(self, condition_id: str) -> None:
        """Read a market's terms again from the CLOB, whose word on ticks is the newest, and return when it is done."""
        try:
            terms = await self._doors.client.terms_of(condition_id)
        except HostDown as error:
            log.warning("A market's terms could not be read again.", action="market", why=str(error))
            terms = None
        if terms is not None:
            await self._store([terms])
            return
        # Better unknown, and asked for by the next who needs it, than a tick that the venue refuses.
        self._forget(condition_id, why="changed")
        await self._doors.database.run(mark_unread, [condition_id])

    @property
    def remembered(self) -> tuple[str, ...]:
        """The conditions in memory, the one used longest ago first."""
        return tuple(self._known)

    async def settled(self) -> None:
        """Return when nothing is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _lacking(self, condition_ids: Iterable[str]) -> list[str]:
        """Those that must be waited for; those that are merely old are renewed meanwhile."""
        now_ms = self._now_ms()
        found = {each: self._known.get(each) for each in condition_ids}
        for each, known in found.items():
            if known is not None:
                known.used_ms = now_ms
                self._known.move_to_end(each)
        old = [each for each, known in found.items() if known is not None and self._is_old(known, now_ms)]
        if old:
            self._spawn(self._ask(old))
        return [each for each, known in found.items() if known is None]

    def _is_old(self, known: _Known, now_ms: float) -> bool:
        """One that leaves something out is good only as long as one that is missing."""
        good_s = self._settings.unknown_s if known.facts.terms.unsaid else self._settings.fresh_s
        return known.read_ms < now_ms - good_s * 1_000

    async def _ask(self, ids: Sequence[Id]) -> None:
        """Wait until these were asked for, by this caller or by another."""
        now_ms = self._now_ms()
        waited = []
        for each in ids:
            if self._unknown_until_ms.get(each, 0.0) > now_ms:
                continue
            if each not in self._under_way:
                self._under_way[each] = asyncio.get_running_loop().create_future()
                self._gathering[each] = None
                if len(self._gathering) == 1:
                    self._spawn(self._gather())
            waited.append(self._under_way[each])
        if waited:
            # Others wait for the same futures: whoever is cancelled must not take them along.
            done, _pending = await asyncio.wait(waited)
            for future in done:
                future.result()

    async def _gather(self) -> None:
        """Wait for company, then find everything that has gathered, batch by batch."""
        await self._doors.clock.sleep(self._settings.gather_s)
        ids, self._gathering = list(self._gathering), {}
        for batch in (ids[begin : begin + BATCH_MAX] for begin in range(0, len(ids), BATCH_MAX)):
            try:
                await self._find(batch)
            except Exception as error:  # noqa: BLE001  (whoever waits is told, and decides)
                self._release(batch, error)
            else:
                self._release(batch, None)

    def _release(self, ids: Iterable[Id], error: Exception | None) -> None:
        for each in ids:
            future = self._under_way.pop(each)
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # seen: of several who waited, all may have gone

    async def _find(self, ids: Sequence[Id]) -> None:
        conditions = [each for each in ids if isinstance(each, str)]
        tokens = [each for each in ids if isinstance(each, int)]
        not_before = self._doors.clock.now() - timedelta(seconds=self._settings.fresh_s)
        self._note_tokens(await self._doors.database.run(conditions_of, tokens))
        stored = await self._doors.database.run(stored_markets, conditions, not_before=not_before)
        self._remember(stored)
        conditions = [each for each in conditions if each not in stored]
        tokens = [each for each in tokens if each not in self._condition_of]
        if not conditions and not tokens:
            return
        try:
            by_condition = await self._doors.client.by_conditions(conditions)
            by_token = await self._doors.client.by_tokens(tokens)
        except HostDown as error:
            log.warning("Markets could not be asked for.", action="market", markets=len(ids), why=str(error))
            MARKETS_ASKED_TOTAL.labels("failed").inc(len(conditions) + len(tokens))
            return
        found = {each.condition_id: each for each in (*by_condition.values(), *by_token.values())}
        await self._store(list(found.values()))
        self._note_unknown([*(c for c in conditions if c not in found), *(t for t in tokens if t not in by_token)])
        MARKETS_ASKED_TOTAL.labels("found").inc(len(found))

    async def _store(self, found: Sequence[MarketDescription]) -> None:
        if not found:
            return
        now = self._doors.clock.now()
        ids = [each.condition_id for each in found]
        await self._doors.database.run(load_markets, found, now)
        self._remember(await self._doors.database.run(markets, ids))

    def _note_unknown(self, ids: Sequence[Id]) -> None:
        until_ms = self._now_ms() + self._settings.unknown_s * 1_000
        for each in ids:
            self._unknown_until_ms[each] = until_ms
            self._unknown_until_ms.move_to_end(each)
        while len(self._unknown_until_ms) > self._settings.markets_max:
            self._unknown_until_ms.popitem(last=False)
        MARKETS_ASKED_TOTAL.labels("unknown").inc(len(ids))

    def _remember(self, found: Mapping[str, MarketFacts]) -> None:
        now_ms = self._now_ms()
        for condition_id, facts in found.items():
            self._known[condition_id] = _Known(facts=facts, read_ms=now_ms, used_ms=now_ms)
            self._known.move_to_end(condition_id)
            self._unknown_until_ms.pop(condition_id, None)
            tokens = (facts.first_token_id, facts.second_token_id)
            self._note_tokens({token: condition_id for token in tokens if token is not None})
        self._make_room(now_ms)

    def _note_tokens(self, conditions: Mapping[int, str]) -> None:
        for token, condition_id in conditions.items():
            self._condition_of[token] = condition_id
            self._condition_of.move_to_end(token)
            self._unknown_until_ms.pop(token, None)
        while len(self._condition_of) > 2 * self._settings.markets_max:
            self._condition_of.popitem(last=False)

    def _make_room(self, now_ms: float) -> None:
        old_ms = now_ms - self._settings.keep_s * 1_000
        while self._known:
            condition_id, known = next(iter(self._known.items()))
            too_many = len(self._known) > self._settings.markets_max
            if not too_many and known.used_ms >= old_ms:
                break
            self._forget(condition_id, why="room" if too_many else "age")
        MARKETS_CACHED.set(len(self._known))

    def _forget(self, condition_id: str, *, why: str) -> None:
        if self._known.pop(condition_id, None) is not None:
            MARKETS_EVICTED_TOTAL.labels(why).inc()

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nobody may wait for it: whoever needs the market asks again, and meets the trouble itself.
            log.error("Reading markets failed.", action="market", error=f"{type(error).__name__}: {error}")

    def _now_ms(self) -> float:
        return self._doors.clock.monotonic_ms()


def stored_markets(condition_ids: Collection[str], *, not_before: datetime) -> dict[str, MarketFacts]:
    """Those of these markets whose description was read since then and left nothing out that an order needs."""
    rows = Market.objects.filter(condition_id__in=condition_ids, loaded_at__gte=not_before)
    found = markets(rows.values_list("condition_id", flat=True))
    return {key: facts for key, facts in found.items() if not facts.terms.unsaid}


def conditions_of(token_ids: Collection[int]) -> dict[int, str]:
    """The conditions of these tokens that a row names, whether from the venue's description or from a trade."""
    if not token_ids:
        return {}
    rows = Market.objects.filter(Q(first_token_id__in=token_ids) | Q(second_token_id__in=token_ids))
    found = rows.values_list("condition_id", "first_token_id", "second_token_id")
    wanted = set(token_ids)
    return {token: condition for condition, *tokens in found for token in tokens if token in wanted}


def mark_unread(condition_ids: Collection[str]) -> None:
    """What these rows say is no longer what the venue says."""
    Market.objects.filter(condition_id__in=condition_ids).update(loaded_at=None)
