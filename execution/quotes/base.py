"""What every source of books promises beside `QuoteSource`, and the one way in which they bound their memory."""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Protocol, TypeVar

from execution.ports import Quote, QuoteSource

TOKENS_MAX = 10_000
"""Tokens whose newest book is kept; the one not renewed for longest goes first."""

VERSIONS_MAX, VERSIONS_KEPT_MS = 2_048, 60_000
"""Books made for one trade that are kept for the orders priced on them, which meet them within seconds: 3 kB each."""

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


def remember(memory: OrderedDict[K, V], key: K, value: V, *, bound: int) -> None:
    """Keep a value as the newest and let the oldest beyond the bound go."""
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > bound:
        memory.popitem(last=False)
