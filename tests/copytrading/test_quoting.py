"""Every order of a batch is priced on what is known when it is decided."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from copytrading.decide import SignalFacts
from copytrading.deciding import Answer
from copytrading.facts import UNKNOWN_MARKET
from copytrading.quoting import Books, quotes_for
from execution.quotes import FixedBooks
from tests.copytrading.test_batches import config, signal
from tests.execution.test_live_books import BOOK, UP, Desk, change
from tests.guardrails.test_rules import BUY
from tests.sources.stream import settle

MID, DOWN = 21, 22
GATHERED: Any = SimpleNamespace(market=lambda _condition: UNKNOWN_MARKET)


def wanted(desk: Desk, number: int, token: int, *, mode: str = "EXCHANGE") -> Answer:
    """A buy of Lena's, just now."""
    facts: SignalFacts = replace(signal(number, token=token), traded_at=desk.clock.now())
    return Answer((facts, replace(config(number), mode=mode)), BUY)


def books_of(desk: Desk) -> Books:
    return Books(paper=FixedBooks(desk.clock), live=desk.books)


async def test_a_book_that_grew_old_while_others_were_waited_for_is_not_priced_on() -> None:
    desk = Desk(ttl_ms=5_000, wait_ms=1_500)
    await desk.quote(MID)
    await desk.clock.advance(0.5)
    await desk.quote(UP)
    await desk.clock.advance(3.4)
    desk.venue.open.clear()
    answers = [wanted(desk, number, token) for number, token in enumerate((UP, MID, DOWN))]
    waiting = asyncio.create_task(quotes_for(answers, GATHERED, books_of(desk)))
    await settle()
    await desk.clock.advance(1.5)  # DOWN is given up, and MID is too old by then: it is waited for while UP grows older
    await desk.clock.advance(1.5)
    quotes = await waiting
    assert {key[1]: quote.source for key, quote in quotes.items()} == {
        UP: "fallback",
        MID: "fallback",
        DOWN: "fallback",
    }


async def test_the_newest_book_is_priced_on() -> None:
    desk = Desk()
    desk.hear(BOOK)
    desk.venue.open.clear()
    answers = [wanted(desk, 1, UP), wanted(desk, 2, DOWN)]
    waiting = asyncio.create_task(quotes_for(answers, GATHERED, books_of(desk)))
    await settle()
    desk.hear(change(("SELL", "0.51", "1")))
    await desk.clock.advance(1.5)
    quotes = await waiting
    assert quotes[1, UP, "EXCHANGE"].book.asks[0].size_micros == 1_000_000


async def test_paper_followers_see_their_own_books_whatever_the_venue_does() -> None:
    desk = Desk()
    desk.hear(BOOK)
    answers = [wanted(desk, 1, UP), wanted(desk, 1, UP, mode="PAPER")]
    quotes = await quotes_for(answers, GATHERED, books_of(desk))
    assert [key[2] for key in quotes] == ["EXCHANGE"]
    assert desk.venue.asked == []


async def test_forced_to_the_leaders_price_a_book_that_is_heard_is_not_looked_at() -> None:
    desk = Desk(forced=True)
    desk.hear(BOOK)
    (quote,) = (await quotes_for([wanted(desk, 1, UP)], GATHERED, books_of(desk))).values()
    assert (quote.source, desk.venue.asked) == ("fallback", [])
