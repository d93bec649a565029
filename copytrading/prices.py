"""What shares are worth now, as far as the engine has heard: for measuring profit, never for an order.

A closed market's own word comes first, then the best bid of a book at hand (what a holder would get), then the
last trade of any leader in the token or against it, then what the market's description said.
"""

from collections.abc import Iterable, Mapping

from django.db.models import Max

from copytrading.models import Signal
from execution.queries import MarketFacts
from execution.quotes import KnownQuotes
from ledger.units import ONE, Micros

SIGNALS_MAX = 5_000
"""Newest signals read in one round; older ones of the same round are superseded by these anyway."""


class LastPrices:
    """The last price of each token that leaders traded, kept by reading only what is new."""

    def __init__(self) -> None:
        self._prices: dict[int, Micros] = {}
        self._asked: set[int] = set()
        self._last_id = 0

    def read(self, token_ids: Iterable[int]) -> None:
        """Read signals since the last time, and the last one of tokens not asked about before. On a database thread."""
        rows = Signal.objects.filter(pk__gt=self._last_id).order_by("-pk")
        for signal_id, token, price in reversed(rows.values_list("pk", "token_id", "price_micros")[:SIGNALS_MAX]):
            self._last_id = max(self._last_id, signal_id)
            self._prices[token] = Micros(price)
        new = set(token_ids) - self._asked
        self._asked |= new
        newest = Signal.objects.filter(token_id__in=new).values("token_id").annotate(newest=Max("pk"))
        ids = [row["newest"] for row in newest] if new else []
        for token, price in Signal.objects.filter(pk__in=ids).values_list("token_id", "price_micros") if ids else ():
            self._prices.setdefault(token, Micros(price))

    def of(self, token_id: int) -> Micros | None:
        """The last price heard of this token."""
        return self._prices.get(token_id)


def price_of(token_id: int, market: MarketFacts | None, last: LastPrices, quotes: KnownQuotes) -> Micros | None:
    """What a share of this token is worth, None when nobody knows."""
    described = market.price_of(token_id) if market is not None else None
    if market is not None and market.terms.closed and described is not None:
        return described
    quote = quotes.last(token_id)
    if quote is not None and quote.book.bids:
        return quote.book.bids[0].price_micros
    heard = last.of(token_id)
    if heard is not None:
        return heard
    other = market.complement_of(token_id) if market is not None else None
    against = last.of(other) if other is not None else None
    return described if against is None else Micros(ONE - against)


def worths(
    tokens: Mapping[int, str], markets: Mapping[str, MarketFacts], last: LastPrices, quotes: KnownQuotes
) -> dict[int, Micros]:
    """Prices of these tokens (token id to condition id); those that nobody knows are left out."""
    found = {token: price_of(token, markets.get(tokens[token]), last, quotes) for token in tokens}
    return {token: price for token, price in found.items() if price is not None}
