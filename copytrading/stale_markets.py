"""Reads markets again that the venue says are not what is remembered of them: their tick, their version, their end.

And those whose fee is missing when something was filled, which nobody else might ever ask for again.
"""

import asyncio
from collections.abc import Collection
from typing import Protocol

import structlog
from django.db import InterfaceError, OperationalError

from copytrading.pauses import sleep_or_stop
from ledger.clock import Clock

LOOK_S = 0.2
TOKENS_MAX = 1_000
"""Waiting to be looked at; with more the venue changes everything at once, and markets are read again by themselves."""

log = structlog.get_logger(__name__)


class Markets(Protocol):
    """Where markets are known; `execution.directory` is one."""

    async def condition_of(self, token_id: int) -> str | None:
        """The market of a token."""
        ...

    async def tick_changed(self, condition_id: str) -> None:
        """Read a market's terms again."""
        ...

    async def load(self, condition_ids: Collection[str]) -> None:
        """Read these markets, unless that was just done."""
        ...


class StaleMarkets:
    """A service: `note` and `learn` never block, and each market is read once however many orders met the same."""

    name = "stale markets"

    def __init__(self, markets: Markets, clock: Clock) -> None:
        self._markets, self._clock = markets, clock
        self._tokens: set[int] = set()
        self._missing: set[int] = set()

    def note(self, token_id: int) -> None:
        """The terms of this token's market are out of date."""
        if len(self._tokens) < TOKENS_MAX:
            self._tokens.add(token_id)

    def learn(self, token_id: int) -> None:
        """Something about this token's market was never said."""
        if len(self._missing) < TOKENS_MAX:
            self._missing.add(token_id)

    async def run(self, stop: asyncio.Event) -> None:
        """Read what was noted, until stopped."""
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._clock, stop, LOOK_S)

    async def run_once(self) -> int:
        """Read every market that was noted; how many."""
        tokens, self._tokens = self._tokens, set()
        missing, self._missing = self._missing, set()
        try:
            found = await self._conditions(tokens)
            for condition in found:
                await self._markets.tick_changed(condition)
            lacking = await self._conditions(missing) - found
            if lacking:
                await self._markets.load(lacking)
        except (OperationalError, InterfaceError):
            log.warning("The database is away; markets are read again later.", action="market")
            self._tokens |= tokens
            self._missing |= missing
            return 0
        return len(found | lacking)

    async def _conditions(self, tokens: Collection[int]) -> set[str]:
        found = [await self._markets.condition_of(token) for token in tokens]
        return {each for each in found if each is not None}
