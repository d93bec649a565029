"""Books that are made: around each leader's price, or by whoever puts them here."""

from collections import OrderedDict
from collections.abc import Callable

from execution.books import Book, BookShape, book_around
from execution.ports import Quote
from execution.quotes.base import TOKENS_MAX, VERSIONS_KEPT_MS, VERSIONS_MAX, remember
from execution.recent import Recent
from ledger.clock import Clock
from ledger.units import Micros


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
        self._by_version: Recent[str, Quote] = Recent(bound=VERSIONS_MAX, kept_ms=VERSIONS_KEPT_MS)

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
        self._by_version.put(book.version, quote, now_ms=self._clock.monotonic_ms())
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
