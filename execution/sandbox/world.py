"""The world: what happened, settled once, told to every door. The truth is kept here and nowhere else."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from execution.sandbox.happenings import Happening, Settled, Settlement
from execution.sandbox.markets import SandboxMarket, siblings
from execution.sandbox.off_chain import epoch_ms
from execution.sandbox.truth import Truth
from ledger.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A settled happening. `matched_ms` is the moment of the match, from which each door counts its delay."""

    number: int
    happening: Happening
    settled: Settled
    matched_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """A market ended: its winning token pays one, the other nothing."""

    market: SandboxMarket
    winner: int
    at_ms: int


Listener = Callable[[Event], None]


class MarketListener(Protocol):
    """A door that tells of markets."""

    def opened(self, market: SandboxMarket) -> None:
        """A market was added."""
        ...

    def resolved(self, resolution: Resolution) -> None:
        """A market ended."""
        ...


class World:
    """Markets by condition and by token, the truth, and those who listen."""

    def __init__(self, clock: Clock, settlement: Settlement, markets: Sequence[SandboxMarket]) -> None:
        """`settlement` is started, and `markets` are what its `prepare` answered."""
        self.clock = clock
        self.settlement = settlement
        self.markets: dict[str, SandboxMarket] = {each.condition_id: each for each in markets}
        self.market_of: dict[int, SandboxMarket] = {token: each for each in markets for token in each.token_ids}
        self.resolutions: dict[str, Resolution] = {}
        self.truth = Truth(self.markets, self.market_of)
        self._listeners: list[Listener] = []
        self._market_listeners: list[MarketListener] = []
        self._count = 0
        self._turn = asyncio.Lock()

    def now_ms(self) -> int:
        """Milliseconds since 1970 by the sandbox's clock."""
        return epoch_ms(self.clock.now())

    def siblings(self, market: SandboxMarket) -> tuple[SandboxMarket, ...]:
        """The other markets of a neg-risk event."""
        return siblings(market, tuple(self.markets.values()))

    def listen(self, listener: Listener) -> None:
        """Be told of each event, in order, as soon as it is settled. The listener must not block."""
        self._listeners.append(listener)

    def listen_to_markets(self, listener: MarketListener) -> None:
        """Be told of new and ended markets."""
        self._market_listeners.append(listener)

    async def happen(self, happening: Happening) -> Event:
        """Settle it, count it in the truth, tell the doors. One at a time."""
        async with self._turn:
            matched_ms = self.now_ms()
            settled = await self.settlement.settle(happening)
            self._count += 1
            event = Event(number=self._count, happening=happening, settled=settled, matched_ms=matched_ms)
            self.truth.add(happening, settled)
            for listener in self._listeners:
                listener(event)
        return event

    async def open(self, market: SandboxMarket) -> SandboxMarket:
        """Add a market, and answer it with the ids that the settlement gave it."""
        async with self._turn:
            (known,) = await self.settlement.prepare([market])
            self.markets[known.condition_id] = known
            self.market_of |= dict.fromkeys(known.token_ids, known)
            for listener in self._market_listeners:
                listener.opened(known)
        return known

    async def resolve(self, market: SandboxMarket, winner: int) -> None:
        """End a market: `winner` pays one, the other token nothing; from now on both can be redeemed."""
        async with self._turn:
            await self.settlement.resolve(market, winner)
            resolution = Resolution(market=market, winner=winner, at_ms=self.now_ms())
            self.resolutions[market.condition_id] = resolution
            self.truth.payouts |= {token: 1_000_000 if token == winner else 0 for token in market.token_ids}
            for listener in self._market_listeners:
                listener.resolved(resolution)
