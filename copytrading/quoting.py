"""One book for each signal, token and mode that somebody wants to trade: pretend, the venue's, or a stand-in."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from copytrading.decide import SignalFacts
from copytrading.deciding import Answer, BookKey
from copytrading.facts import Gathered
from execution.ports import Quote, QuoteSource
from guardrails.intents import TradeIntent
from ledger.units import Micros


class LiveQuotes(QuoteSource, Protocol):
    """Books of the venue, which have to be fetched."""

    async def ready(self, token_ids: Collection[int]) -> None:
        """Return when these can be quoted without waiting, or cannot be had in time: all are asked for together."""
        ...

    def without_book(
        self, token_id: int, *, price_micros: Micros, priced_at: datetime, tick_micros: Micros
    ) -> Quote | None:
        """What to go by when there is no book: the leader's price while it is fresh enough."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """Where books come from: `paper` for pretend money, `live` for real orders. They may be one and the same."""

    paper: QuoteSource
    live: LiveQuotes | None = None

    def of(self, mode: str) -> QuoteSource:
        """The source of a follower's mode."""
        return self.paper if self.live is None or mode == "PAPER" else self.live


async def quotes_for(answers: Sequence[Answer], gathered: Gathered, books: Books) -> dict[BookKey, Quote]:
    """One quote for each signal, token and mode that is wanted; where there is none, none."""
    wanted: dict[BookKey, SignalFacts] = {}
    for each in answers:
        if isinstance(each.answer, TradeIntent):
            signal, config = each.pair
            wanted[signal.signal_id, signal.token_id, config.mode] = signal
    live = books.live
    if live is not None:
        await live.ready({token for _signal, token, mode in wanted if books.of(mode) is live})
    found: dict[BookKey, Quote] = {}
    for key, signal in wanted.items():
        source = books.of(key[2])
        quote = await source.quote(signal.token_id, around_micros=signal.price_micros)
        if quote is None and live is not None and source is live:
            quote = live.without_book(
                signal.token_id,
                price_micros=signal.price_micros,
                priced_at=signal.traded_at,
                tick_micros=gathered.market(signal.condition_id).terms.tick_micros,
            )
        if quote is not None:
            found[key] = quote
    return found
