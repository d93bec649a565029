"""What is done when the market channel tells something: the market's row follows, and with it every order."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

import structlog
from django.db import OperationalError

from copytrading.sources.market_frames import NewMarket
from execution.operations import change_tick, close_market
from execution.preflight import MarketTerms
from execution.terms import USUAL, KnownTerms
from ledger.clock import Clock
from ledger.db import Database
from ledger.units import Micros

TRIES, PAUSE_S = 3, 1.0
"""While the database is away nothing is decided either; what is lost after these, the directory finds by itself."""

log = structlog.get_logger(__name__)

Refresh = Callable[[str], Awaitable[None]]


async def nobody_else(condition_id: str) -> None:
    """Nothing else remembers markets."""


class RecordedNews:
    """`MarketNews` that writes rows. `refresh` is told of each market that has changed; it must not fail.

    Gathered facts of markets are a second old at most, so that an order planned then has the new tick.
    """

    def __init__(self, database: Database, clock: Clock, terms: KnownTerms, *, refresh: Refresh = nobody_else) -> None:
        self._database, self._clock, self._terms, self._refresh = database, clock, terms, refresh

    async def tick_changed(self, condition_id: str, token_id: int, *, tick_micros: int) -> None:
        """The row first, then whoever remembers it."""
        tokens = await self._write(lambda: change_tick(condition_id, tick_micros), condition_id)
        if tokens is not None:
            self._note({*tokens, token_id}, lambda known: replace(known, tick_micros=Micros(tick_micros)))
            log.info("A market's tick has changed.", action="market", condition=condition_id, tick_micros=tick_micros)
            await self._refresh(condition_id)

    async def resolved(self, condition_id: str, winning_token: int | None) -> None:
        """Nobody can trade in it any more; what its tokens are worth follows from the winner."""
        tokens = await self._write(lambda: close_market(condition_id, winning_token), condition_id)
        if tokens is not None:
            self._note(tokens, lambda known: replace(known, accepting_orders=False, closed=True))
            log.info("A market is resolved.", action="market", condition=condition_id)
            await self._refresh(condition_id)

    async def new_market(self, market: NewMarket) -> None:
        """Only told: it is described when somebody first needs it, and thousands open that nobody here ever does."""
        log.debug("A market has opened.", action="market", condition=market.condition_id)

    def _note(self, tokens: Iterable[int], changed: Callable[[MarketTerms], MarketTerms]) -> None:
        for token in tokens:
            known = self._terms.of(token)
            if known is not USUAL:
                self._terms.note(token, changed(known))

    async def _write(self, work: Callable[[], tuple[int, ...] | None], condition_id: str) -> tuple[int, ...] | None:
        for _try in range(TRIES):
            try:
                return await self._database.run(work)
            except OperationalError:
                log.warning("The database is away; a market's news waits.", action="market", condition=condition_id)
                await self._clock.sleep(PAUSE_S)
        log.error("A market's news is lost; its description is read again with age.", condition=condition_id)
        return None
