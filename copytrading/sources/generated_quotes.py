"""The generator's own books as quotes: the demo's copies meet the market that its leaders moved."""

from copytrading.sources.generator import MarketGenerator
from execution.ports import Quote
from ledger.clock import Clock
from ledger.units import Micros


class GeneratedQuotes:
    """`KnownQuotes` over the books of a generator as they stand now."""

    def __init__(self, generator: MarketGenerator, clock: Clock) -> None:
        self._generator, self._clock = generator, clock

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:  # noqa: ARG002  # the port's name
        """The generator's book of the token."""
        return self.last(token_id)

    def last(self, token_id: int, *, version: str = "") -> Quote | None:  # noqa: ARG002  # the market has moved on
        """The generator's book of the token, None for a token of no market there."""
        book = self._generator.book(token_id)
        return Quote(book=book, source="generator", as_of=self._clock.now()) if book else None
