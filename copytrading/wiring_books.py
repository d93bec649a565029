"""The composition root's part about prices: where the venue's books come from, and who is priced on them."""

from django.conf import settings

from execution.hosts import Host
from execution.http import Http
from execution.limits import Allowance, HostLimits
from execution.quotes import ClobBooks, LiveBooks, LiveSettings, StreamedBooks
from execution.quotes.fetched import BOOK
from ledger.clock import Clock

TRIES = 2
"""Of one request for a book: whoever waits for it does so for a second or two."""

VENUE = "VENUE"


def book_allowance() -> Allowance:
    """What the CLOB lets an address ask for books."""
    return Allowance(kind=BOOK, requests=settings.CLOB_BOOK_COUNT)


def wants_venue_books() -> bool:
    """Whether anybody is priced on the venue's books."""
    return bool(settings.ENABLE_REAL_TRADING) or settings.PAPER_BOOKS == VENUE


def build_books(http: Http, limits: HostLimits, clock: Clock) -> LiveBooks | None:
    """The venue's books where somebody wants them; `limits` are those of the CLOB, with the allowance for books."""
    if not wants_venue_books():
        return None
    asked = ClobBooks(Host(http, limits, base_url=settings.CLOB_URL, tries=TRIES), limits)
    streamed = StreamedBooks(clock, books_max=settings.COPY_TRADING_BOOKS_COUNT)
    terms = LiveSettings(
        ttl_ms=settings.COPY_TRADING_QUOTE_TTL_MS,
        wait_ms=settings.COPY_TRADING_QUOTE_WAIT_MS,
        fallback_ms=settings.COPY_TRADING_FALLBACK_PRICE_MS,
        books_max=settings.COPY_TRADING_BOOKS_COUNT,
        forced=settings.COPY_TRADING_FORCE_FALLBACK_PRICE,
    )
    return LiveBooks(asked, streamed, clock, settings=terms)
