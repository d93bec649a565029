"""What shares are worth now, as far as the engine has heard: for measuring profit, never for an order.

A closed market's own word comes first. Then the newer of two: the best bid of a book at hand (what a holder would
get), or the last trade of any leader in the token or against it. Then what the market's description said.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max

from copytrading.models import Signal
from execution.queries import MarketFacts
from execution.quotes import KnownQuotes
from ledger.units import ONE, Micros

SIGNALS_MAX = 5_000
"""Newest signals read in one round; older ones of the same round are superseded by these anyway."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A price in micros of pUSD a share, and when it was heard."""

    price_micros: Micros
    at: datetime


class LastPrices:
    """The last price of each token that leaders traded, kept by reading only what is new."""

    def __init__(self) -> None:
        self._heard: dict[int, Heard] = {}
        self._asked: set[int] = set()
        self._last_id = 0

    def read(self, token_ids: Iterable[int]) -> None:
        """Read signals since the last time, and the last one of tokens not asked about before. On a database thread."""
        rows = Signal.objects.filter(pk__gt=self._last_id).order_by("-pk").values_list("pk", *_COLUMNS)
        for signal_id, token, price, at in reversed(rows[:SIGNALS_MAX]):
            self._last_id = max(self._last_id, signal_id)
            self._heard[token] = Heard(Micros(price), at)
        self.ask(token_ids)

    def ask(self, token_ids: Iterable[int]) -> None:
        """Read the last signal of tokens not asked about before, by the index of each. On a database thread."""
        new = set(token_ids) - self._asked
        self._asked |= new
        newest = Signal.objects.filter(token_id__in=new).values("token_id").annotate(newest=Max("pk"))
        ids = [row["newest"] for row in newest] if new else []
        for token, price, at in Signal.objects.filter(pk__in=ids).values_list(*_COLUMNS) if ids else ():
            self._heard.setdefault(token, Heard(Micros(price), at))

    def of(self, token_id: int, other_id: int | None) -> Heard | None:
        """The last price heard of this token, also by a trade of the market's other one."""
        own = self._heard.get(token_id)
        other = self._heard.get(other_id) if other_id is not None else None
        if other is None or (own is not None and own.at >= other.at):
            return own
        return Heard(Micros(ONE - other.price_micros), other.at)


_COLUMNS = ("token_id", "price_micros", "detected_at")


def price_of(token_id: int, market: MarketFacts | None, last: LastPrices, quotes: KnownQuotes | None) -> Micros | None:
    """What a share of this token is worth, None when nobody knows. `quotes` is None where no books are at hand."""
    described = market.price_of(token_id) if market is not None else None
    if market is not None and market.terms.closed and described is not None:
        return described
    heard = last.of(token_id, market.complement_of(token_id) if market is not None else None)
    quote = quotes.last(token_id) if quotes is not None else None
    # A book that is made around trades is as old as the last one that somebody wanted to copy.
    if quote is not None and quote.book.bids and (heard is None or quote.as_of >= heard.at):
        return quote.book.bids[0].price_micros
    return described if heard is None else heard.price_micros


def worths(
    tokens: Mapping[int, str], markets: Mapping[str, MarketFacts], last: LastPrices, quotes: KnownQuotes | None
) -> dict[int, Micros]:
    """Prices of these tokens (token id to condition id); those that nobody knows are left out."""
    found = {token: price_of(token, markets.get(tokens[token]), last, quotes) for token in tokens}
    return {token: price for token, price in found.items() if price is not None}


def worths_without_books(tokens: Mapping[int, str], markets: Mapping[str, MarketFacts]) -> dict[int, Micros]:
    """The same where no engine runs: from the last trades of leaders and what the venue said; two queries.

    The caller bounds the number of tokens. On a database thread.
    """
    last = LastPrices()
    others = (markets[condition].complement_of(token) for token, condition in tokens.items() if condition in markets)
    last.ask({*tokens, *(other for other in others if other is not None)})
    return worths(tokens, markets, last, None)
