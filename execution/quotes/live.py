"""Books of the venue for orders that cost money: from its market channel while that is heard, else fetched."""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog

from execution.books import BookShape, book_around
from execution.hosts import HostDown
from execution.metrics import (
    FALLBACK_PRICES_TOTAL,
    QUOTE_AGE_MS,
    QUOTE_HITS_TOTAL,
    QUOTE_MISSES_TOTAL,
    QUOTES_EVICTED_TOTAL,
    QUOTES_KEPT,
)
from execution.ports import FALLBACK, Quote
from execution.quotes.base import remember
from execution.quotes.fetched import Fetched
from execution.quotes.streamed import STREAM, StreamedBooks
from ledger.clock import Clock
from ledger.units import MAX_MICROS, Micros

BOOK = "book"

AGE_MS_MAX = 5_000
"""No book is older, whatever is set: counted from its request, or from the last frame about its token."""

TRIED_MS = 500
"""A token whose book could not be had is not asked for again within this: the others of a batch must not wait too."""

FALLBACKS_MAX = 2_048

ANY_DEPTH = BookShape(spread_bps=0, depth_micros=Micros(MAX_MICROS), levels=1)
"""Nobody knows the depth; what bounds an order is its limit price."""

log = structlog.get_logger(__name__)


class BooksAsked(Protocol):
    """Where single books are fetched."""

    @property
    def paused(self) -> bool:
        """Whether it is left alone for now."""
        ...

    async def book(self, token_id: int) -> Fetched | None:
        """The book as it stands. Raises HostDown."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """`ttl_ms` of a fetched book, `wait_ms` for one; `fallback_ms` is the age of a leader's price that may stand in.

    `forced` puts the leader's price in the place of every book. Of `books_max` fetched books the one that was not
    renewed for longest goes first.
    """

    ttl_ms: int = 1_500
    wait_ms: int = 1_500
    fallback_ms: int = 10_000
    books_max: int = 2_000
    forced: bool = False


class LiveBooks:
    """`KnownQuotes` of the venue. One request is under way for a token, whoever asks for it meanwhile and whatever for.

    A streamed book counts as old as the last frame about its token: a channel that fell silent stops counting by
    itself. Failures and absent books are not kept.
    """

    def __init__(self, asked: BooksAsked, streamed: StreamedBooks, clock: Clock, *, settings: LiveSettings) -> None:
        self._asked, self.streamed, self._clock, self._settings = asked, streamed, clock, settings
        self._ttl_ms = min(settings.ttl_ms, AGE_MS_MAX)
        self._kept: OrderedDict[int, tuple[float, Quote]] = OrderedDict()
        self._running: dict[int, asyncio.Task[Fetched | None]] = {}
        self._quoted: set[int] = set()
        self._tried: OrderedDict[int, float] = OrderedDict()
        self._wanted: OrderedDict[int, float] = OrderedDict()
        self._fallbacks: OrderedDict[str, Quote] = OrderedDict()
        self._brought: set[int] = set()
        self._made = 0

    async def ready(self, token_ids: Collection[int]) -> None:
        """Fetch what is missing of these, all together, and wait for it no longer than is set."""
        if not self._settings.forced:
            await self._fetch_all([token for token in token_ids if self._fresh(token) is None])

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:  # noqa: ARG002  # the port's name
        """The book as it is known, or fetched now; None when there is none or it cannot be had in time."""
        if self._settings.forced:
            return None
        remember(self._wanted, token_id, self._clock.monotonic_ms(), bound=self._settings.books_max)
        found = self._fresh(token_id)
        if found is None:
            await self._fetch_all([token_id])
            found = self._fresh(token_id)
        elif token_id not in self._brought:
            QUOTE_HITS_TOTAL.labels(found[1].source).inc()
        self._brought.discard(token_id)
        if found is None:
            return None
        QUOTE_AGE_MS.labels(found[1].source).observe(self._clock.monotonic_ms() - found[0])
        return found[1]

    def last(self, token_id: int, *, version: str = "") -> Quote | None:
        """The book known now and not too old; or the stand-in that an order of this version was priced on."""
        if version in self._fallbacks:
            return self._fallbacks[version]
        newest = self._newest(token_id)
        young = newest is not None and self._clock.monotonic_ms() - newest[0] <= AGE_MS_MAX
        return newest[1] if newest is not None and young else None

    def without_book(
        self, token_id: int, *, price_micros: Micros, priced_at: datetime, tick_micros: Micros
    ) -> Quote | None:
        """One level a side at the leader's price, on the tick; None when that price is too old to go by."""
        age_ms = (self._clock.now() - priced_at).total_seconds() * 1_000
        if age_ms > self._settings.fallback_ms or not self._settings.fallback_ms:
            FALLBACK_PRICES_TOTAL.labels("too old").inc()
            return None
        FALLBACK_PRICES_TOTAL.labels("used").inc()
        self._made += 1
        version = f"{FALLBACK}-{self._made}"
        book = book_around(token_id, price_micros, tick_micros=tick_micros, shape=ANY_DEPTH, version=version)
        quote = Quote(book=book, source=FALLBACK, as_of=priced_at)
        remember(self._fallbacks, version, quote, bound=FALLBACKS_MAX)
        return quote

    @property
    def paused(self) -> bool:
        """Whether the venue is left alone for now: nothing is asked of it."""
        return self._asked.paused

    async def anew(self, token_id: int) -> Fetched | None:
        """The venue's book by a request that begins after this question, to hold another against; None without one.

        Whoever wants a quote meanwhile shares the request; it is kept for them alone.
        """
        before = self._running.get(token_id)
        if before is not None:
            # It may have been answered already; a second one beside it would be one too many.
            await asyncio.wait([before])
        fetching = self._fetching(token_id)
        await asyncio.wait([fetching])
        return None if fetching.cancelled() else fetching.result()

    def wanted_since(self, since_ms: float) -> list[int]:
        """Tokens that somebody asked for since this moment of the monotonic clock."""
        return [token for token, at_ms in self._wanted.items() if at_ms >= since_ms]

    def forget_old(self) -> None:
        """Let go of books that are too old for any use."""
        now_ms = self._clock.monotonic_ms()
        for token, (asked_ms, _quote) in list(self._kept.items()):
            if now_ms - asked_ms > AGE_MS_MAX:
                del self._kept[token]
                QUOTES_EVICTED_TOTAL.labels(BOOK, "age").inc()
        QUOTES_KEPT.set(len(self._kept))

    async def close(self) -> None:
        """End the requests that are still under way."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _fresh(self, token_id: int) -> tuple[float, Quote] | None:
        newest = self._newest(token_id)
        if newest is None:
            return None
        age_ms = self._clock.monotonic_ms() - newest[0]
        return newest if age_ms <= (AGE_MS_MAX if newest[1].source == STREAM else self._ttl_ms) else None

    def _newest(self, token_id: int) -> tuple[float, Quote] | None:
        heard, kept = self.streamed.quote(token_id), self._kept.get(token_id)
        if heard is None or kept is None:
            return heard or kept
        return heard if heard[0] >= kept[0] else kept

    async def _fetch_all(self, token_ids: Iterable[int]) -> None:
        now_ms = self._clock.monotonic_ms()
        wanted = [
            token
            for token in token_ids
            if now_ms - self._tried.get(token, -TRIED_MS) >= TRIED_MS and not self._left_alone(token)
        ]
        if not wanted:
            return
        self._quoted.update(wanted)
        tasks = [self._fetching(token) for token in wanted]
        enough = asyncio.ensure_future(self._clock.sleep(self._settings.wait_ms / 1_000))
        everything = asyncio.ensure_future(asyncio.wait(tasks))
        try:
            await asyncio.wait({enough, everything}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # The requests go on: others may wait for them, and the next question finds what they bring.
            enough.cancel()
            everything.cancel()
        for token, running in list(self._running.items()):
            if running in tasks:
                QUOTE_MISSES_TOTAL.labels("late").inc()
                self._gave_up(token)
        for task in tasks:
            if task.done():
                task.result()

    def _left_alone(self, token_id: int) -> bool:
        if token_id in self._running or not self._asked.paused:
            return False
        QUOTE_MISSES_TOTAL.labels("paused").inc()
        return True

    def _fetching(self, token_id: int) -> asyncio.Task[Fetched | None]:
        running = self._running.get(token_id)
        if running is None:
            running = asyncio.create_task(self._fetch(token_id), name=f"book of {token_id}")
            self._running[token_id] = running
        return running

    async def _fetch(self, token_id: int) -> Fetched | None:
        asked_ms, as_of = self._clock.monotonic_ms(), self._clock.now()
        found, without = None, "none"
        try:
            found = await self._asked.book(token_id)
        except HostDown as down:
            without = "down"
            log.warning("A book cannot be had.", action="quote", token=str(token_id), why=str(down))
        finally:
            del self._running[token_id]
            quoted = token_id in self._quoted
            self._quoted.discard(token_id)
        if quoted:
            self._keep(token_id, found, asked_ms=asked_ms, as_of=as_of, without=without)
        return found

    def _keep(self, token_id: int, found: Fetched | None, *, asked_ms: float, as_of: datetime, without: str) -> None:
        """Remember an answer for those who want a quote, or that there is none."""
        if found is None or found.is_stale(self.streamed.stamp_ms(token_id)):
            QUOTE_MISSES_TOTAL.labels(without if found is None else "stale").inc()
            self._gave_up(token_id)
            return
        QUOTE_MISSES_TOTAL.labels("fetched").inc()
        self._brought.add(token_id)
        self._tried.pop(token_id, None)
        if len(self._kept) >= self._settings.books_max and token_id not in self._kept:
            QUOTES_EVICTED_TOTAL.labels(BOOK, "room").inc()
        quote = Quote(book=found.book, source=BOOK, as_of=as_of)
        remember(self._kept, token_id, (asked_ms, quote), bound=self._settings.books_max)
        QUOTES_KEPT.set(len(self._kept))

    def _gave_up(self, token_id: int) -> None:
        remember(self._tried, token_id, self._clock.monotonic_ms(), bound=self._settings.books_max)
