"""The taker fees of markets by their tokens, from the database, for fills whose rows do not say them."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from execution.fees import FeeTerms
from execution.queries import fee_of_token
from ledger.clock import Clock
from ledger.db import Database

TOKENS_MAX = 20_000
FRESH_MS = 300_000
"""A market's schedule hardly ever changes while it trades."""


class FeeBook(Protocol):
    """Whose fee is known."""

    async def fee_terms(self, token_id: int) -> FeeTerms | None:
        """The taker fee of the market with this token; None while the market is not known or has not said it."""
        ...


@dataclass(frozen=True, slots=True)
class _Read:
    terms: FeeTerms
    at_ms: float


def nobody(_token_id: int) -> None:
    """Nobody reads the market of a token whose fee is not known."""


class StoredFees:
    """`FeeBook` over the rows of markets, with a memory.

    `learn` is told of each token whose fee is not known, and must not block: what was filled is booked only with it.
    """

    def __init__(self, database: Database, clock: Clock, *, learn: Callable[[int], None] = nobody) -> None:
        self._database, self._clock, self._learn = database, clock, learn
        self._known: OrderedDict[int, _Read] = OrderedDict()

    async def fee_terms(self, token_id: int) -> FeeTerms | None:
        """As it was read at most five minutes ago."""
        known = self._known.get(token_id)
        now_ms = self._clock.monotonic_ms()
        if known is not None and now_ms - known.at_ms < FRESH_MS:
            return known.terms
        terms = await self._database.run(fee_of_token, token_id)
        if terms is None:
            self._learn(token_id)
            return None
        self._known[token_id] = _Read(terms, now_ms)
        self._known.move_to_end(token_id)
        if len(self._known) > TOKENS_MAX:
            self._known.popitem(last=False)
        return terms
