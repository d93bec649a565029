"""One book for each signal, token and mode that somebody wants to trade: pretend, the venue's, or a stand-in."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
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

    def last(self, token_id: int) -> Quote | None:
        """The book known at this moment, and not too old; fetches nothing."""
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
    theirs = {key: signal for key, signal in wanted.items() if live is not None and books.of(key[2]) is live}
    found: dict[BookKey, Quote] = {}
    for key, signal in wanted.items():
        if key not in theirs:
            quote = await books.of(key[2]).quote(signal.token_id, around_micros=signal.price_micros)
            if quote is not None:
                found[key] = quote
    if live is not None and theirs:
        found |= await _live_quotes(theirs, gathered, live)
    return found


async def _live_quotes(
    wanted: Mapping[BookKey, SignalFacts], gathered: Gathered, live: LiveQuotes
) -> dict[BookKey, Quote]:
    await live.ready({signal.token_id for signal in wanted.values()})
    # Side by side too: what grew too old meanwhile is waited for once, and not one after the other.
    asked = [live.quote(each.token_id, around_micros=each.price_micros) for each in wanted.values()]
    answers = [await asked[0]] if len(asked) == 1 else await asyncio.gather(*asked)
    # What counts is known now, for all of them at one moment.
    newest = {
        key: _newest(live, signal, gathered, had=answer is not None)
        for (key, signal), answer in zip(wanted.items(), answers, strict=True)
    }
    return {key: quote for key, quote in newest.items() if quote is not None}


def _newest(live: LiveQuotes, signal: SignalFacts, gathered: Gathered, *, had: bool) -> Quote | None:
    """The book as it is known now; where there was none, or it has grown too old, what stands in for it."""
    quote = live.last(signal.token_id) if had else None
    return quote or live.without_book(
        signal.token_id,
        price_micros=signal.price_micros,
        priced_at=signal.traded_at,
        tick_micros=gathered.market(signal.condition_id).terms.tick_micros,
    )
