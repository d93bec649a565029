"""Where books come from when they do not come from the venue's own feed, and the cache before slow sources."""

import asyncio
import gzip
import zlib
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Protocol, TypeVar

from execution.books import Book, BookError, BookShape, Snapshot, book_around, snapshot_from_line
from execution.ports import Quote, QuoteSource
from ledger.clock import Clock
from ledger.units import Micros

TOKENS_MAX = 10_000
"""Tokens whose newest book is kept; the one not renewed for longest goes first."""
VERSIONS_MAX = 2_048
"""Books made around a leader's price that are kept for the orders priced on them: some 2 kB each, for seconds."""
SNAPSHOTS_MAX = 50_000
"""Lines taken from one recording: about 250 MB in memory at 20 levels a side."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class KnownQuotes(QuoteSource, Protocol):
    """A source that can be asked again about a book without being given a leader's price."""

    def last(self, token_id: int, *, version: str = "") -> Quote | None:
        """The book of a token as this source knows it now, without fetching or making one.

        `version` is the book that an order was priced on; a source whose books are moments of one market
        ignores it, for the market has moved on.
        """
        ...


class AroundLeader:
    """Makes a book of a stated spread and depth around each leader's price it is asked about.

    Every question makes a new version, because every leader's trade proves fresh liquidity: ask once for each
    signal, and put no cache before it, which would answer with the book around an older price.
    """

    def __init__(self, clock: Clock, tick_of: Callable[[int], Micros], *, shape: BookShape) -> None:
        self._clock = clock
        self._tick_of = tick_of
        self._shape = shape
        self._made = 0
        self._newest: OrderedDict[int, Quote] = OrderedDict()
        self._by_version: OrderedDict[str, Quote] = OrderedDict()

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:
        """A new book around the price, remembered for `last`."""
        self._made += 1
        book = book_around(
            token_id,
            around_micros,
            tick_micros=self._tick_of(token_id),
            shape=self._shape,
            version=f"around-{self._made}",
        )
        quote = Quote(book=book, source="around-leader", as_of=self._clock.now())
        remember(self._newest, token_id, quote, bound=TOKENS_MAX)
        remember(self._by_version, book.version, quote, bound=VERSIONS_MAX)
        return quote

    def last(self, token_id: int, *, version: str = "") -> Quote | None:
        """The book of this version: each leader's trade has its own; else the one made last for the token."""
        return self._by_version.get(version) or self._newest.get(token_id)


class FixedBooks:
    """The books that a generator or a test has put here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._books: OrderedDict[int, Quote] = OrderedDict()

    def put(self, book: Book) -> None:
        """Make this the current book of its token; a new version is new liquidity."""
        quote = Quote(book=book, source="fixed", as_of=self._clock.now())
        remember(self._books, book.token_id, quote, bound=TOKENS_MAX)

    def remove(self, token_id: int) -> None:
        """From now on the token has no book."""
        self._books.pop(token_id, None)

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:  # noqa: ARG002  # the port's name
        """The book put last for the token."""
        return self.last(token_id)

    def last(self, token_id: int, *, version: str = "") -> Quote | None:  # noqa: ARG002  # the market has moved on
        """The book put last for the token."""
        return self._books.get(token_id)


class RecordedBooks:
    """Plays recorded snapshots on the injected clock: the earliest one is taken to have happened when this began.

    A token keeps its last snapshot after the recording has ended, and has no book before its first.
    """

    def __init__(self, clock: Clock, snapshots: Iterable[Snapshot], *, tokens: Mapping[tuple[str, str], int]) -> None:
        """`tokens` gives the token of (market id, outcome); snapshots of others are left out."""
        self._clock = clock
        self._began_at = clock.now()
        self._played: dict[int, list[Snapshot]] = {}
        for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.at_ms):
            token_id = tokens.get((snapshot.market_id, snapshot.outcome))
            if token_id is not None:
                self._played.setdefault(token_id, []).append(snapshot)
        self._first_ms = min((played[0].at_ms for played in self._played.values()), default=0)

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:  # noqa: ARG002  # the port's name
        """The snapshot of the token that is current on the clock."""
        return self.last(token_id)

    def last(self, token_id: int, *, version: str = "") -> Quote | None:  # noqa: ARG002  # the market has moved on
        """The snapshot of the token that is current on the clock."""
        played = self._played.get(token_id, [])
        now_ms = self._first_ms + (self._clock.now() - self._began_at) // timedelta(milliseconds=1)
        count = bisect_right(played, now_ms, key=lambda snapshot: snapshot.at_ms)
        if count == 0:
            return None
        snapshot = played[count - 1]
        book = Book(token_id=token_id, bids=snapshot.bids, asks=snapshot.asks, version=f"recorded-{snapshot.at_ms}")
        as_of = self._began_at + timedelta(milliseconds=snapshot.at_ms - self._first_ms)
        return Quote(book=book, source="recorded", as_of=as_of)


def read_snapshots(path: Path) -> list[Snapshot]:
    """Read an l2 recording, one snapshot a line, gzipped or not. Blocking. Raises BookError naming file and line.

    The first line may describe the markets instead and is passed over.
    """
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            return list(_snapshots(lines))
    except (BookError, EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise BookError(f"{path} is no readable recording of books: {error}") from error


def _snapshots(lines: Iterable[str]) -> Iterator[Snapshot]:
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.startswith('{"markets"'):
            continue
        if number > SNAPSHOTS_MAX:
            raise BookError(f"there are more than {SNAPSHOTS_MAX} lines.")
        try:
            yield snapshot_from_line(line)
        except BookError as error:
            raise BookError(f"line {number}: {error}") from None


class CachedQuotes:
    """Answers from a recent book and lets all who ask for one token meanwhile share one request.

    Belongs before sources that fetch. Their failure reaches everyone who shared the request and is not kept,
    and neither is the absence of a book. Every running request has a caller waiting, who bounds them.
    """

    def __init__(self, source: KnownQuotes, clock: Clock, *, max_age_ms: int) -> None:
        """`max_age_ms` counts from the start of the request, so that a slow answer is not taken for a fresh one."""
        self._source = source
        self._clock = clock
        self._max_age_ms = max_age_ms
        self._kept: OrderedDict[int, tuple[float, Quote]] = OrderedDict()
        self._running: dict[int, asyncio.Task[Quote | None]] = {}

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:
        """The kept book when it is young enough, else the source's."""
        asked_ms, quote = self._kept.get(token_id, (0.0, None))
        if quote is not None and self._clock.monotonic_ms() - asked_ms <= self._max_age_ms:
            return quote
        running = self._running.get(token_id)
        if running is None:
            fetch = self._fetch(token_id, around_micros)
            running = self._running[token_id] = asyncio.create_task(fetch, name=f"quote of {token_id}")
            running.add_done_callback(lambda task: self._finish(token_id, task))
        # Shielded: one caller who gives up must not cancel the request that the others wait for.
        return await asyncio.shield(running)

    def last(self, token_id: int, *, version: str = "") -> Quote | None:
        """What the source knows now, which may be newer than what is kept here."""
        return self._source.last(token_id, version=version)

    async def _fetch(self, token_id: int, around_micros: Micros) -> Quote | None:
        asked_ms = self._clock.monotonic_ms()
        quote = await self._source.quote(token_id, around_micros=around_micros)
        if quote is not None:
            remember(self._kept, token_id, (asked_ms, quote), bound=TOKENS_MAX)
        return quote

    def _finish(self, token_id: int, task: asyncio.Task[Quote | None]) -> None:
        self._running.pop(token_id, None)
        if not task.cancelled():
            task.exception()  # Marks it as seen when every caller has gone.


def remember(memory: OrderedDict[K, V], key: K, value: V, *, bound: int) -> None:
    """Keep a value as the newest and let the oldest beyond the bound go."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > bound:
        memory.popitem(last=False)
