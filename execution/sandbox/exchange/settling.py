"""The life of a trade after its match: broadcast, mined, confirmed; or retried and failed. Each step by the clock."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from execution.sandbox.exchange.funds import Funds
from execution.sandbox.exchange.records import TradeRecord, TradeState
from execution.sandbox.happenings import Match
from execution.sandbox.later import Later
from execution.sandbox.world import Event, World


@dataclass(frozen=True, slots=True, kw_only=True)
class SettlementTimes:
    """Milliseconds between the steps. On a chain, mined also waits for the block."""

    broadcast_ms: int = 150
    mined_ms: int = 1_500
    confirmed_ms: int = 2_000
    retrying_ms: int = 2_000


@runtime_checkable
class Headed(Protocol):
    """A settlement with blocks of its own."""

    @property
    def head(self) -> int:
        """The latest block."""
        ...

    def listen_to_heads(self, listener: Callable[[int], None]) -> None:
        """Be told of each new block."""
        ...


@runtime_checkable
class CanFail(Protocol):
    """A settlement where a transaction can be mined and fail."""

    async def broadcast_failing(self, match: Match) -> str:
        """Send it so that it fails; answers its hash."""
        ...


TradeListener = Callable[[TradeRecord], None]


class Settling:
    """Takes matched trades to their end, in the background."""

    def __init__(self, world: World, later: Later, funds: Funds) -> None:
        self.times = SettlementTimes()
        self.factor = 1.0
        self._world = world
        self._later = later
        self._funds = funds
        self._listeners: list[TradeListener] = []
        self._sent: dict[int, tuple[Match, TradeRecord]] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._block = asyncio.Event()
        if isinstance(world.settlement, Headed):
            world.settlement.listen_to_heads(self._mined_block)
        world.listen(self._heard)

    def listen(self, listener: TradeListener) -> None:
        """Be told whenever a trade's state changed, its first one too."""
        self._listeners.append(listener)

    def begin(self, trade: TradeRecord) -> None:
        """A trade was matched just now."""
        self._funds.matched(trade)
        self._tell(trade, "MATCHED")
        task = self._later.keep(self._run(trade))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def is_own(self, match: Match) -> bool:
        """Whether a match that just happened is one of these trades."""
        return id(match) in self._sent

    async def idle(self) -> None:
        """Return when no trade is on its way. Raises what one of them raised."""
        while self._running:
            await asyncio.gather(*self._running)

    async def _run(self, trade: TradeRecord) -> None:
        await self._wait(self.times.broadcast_ms)
        if trade.fails:
            await self._fail(trade)
            return
        match = trade.match
        self._sent[id(match)] = (match, trade)
        try:
            event = await self._world.happen(match)
        finally:
            del self._sent[id(match)]
        await self._wait(self.times.mined_ms)
        await self._until_block(event.settled.block_number)
        self._funds.mined(trade)
        self._tell(trade, "MINED")
        await self._wait(self.times.confirmed_ms)
        self._tell(trade, "CONFIRMED")

    async def _fail(self, trade: TradeRecord) -> None:
        if isinstance(self._world.settlement, CanFail):
            trade.tx_hash = await self._world.settlement.broadcast_failing(trade.match)
        await self._wait(self.times.mined_ms)
        self._tell(trade, "RETRYING")
        await self._wait(self.times.retrying_ms)
        self._funds.failed(trade)
        self._tell(trade, "FAILED")

    def _heard(self, event: Event) -> None:
        # In the same breath in which the truth counted it.
        _match, trade = self._sent.get(id(event.happening), (None, None))
        if trade is not None:
            trade.tx_hash = event.settled.tx_hash
            self._funds.broadcast(trade)

    def _tell(self, trade: TradeRecord, status: TradeState) -> None:
        trade.status = status
        trade.updated_ms = self._world.now_ms()
        for listener in self._listeners:
            listener(trade)

    async def _wait(self, ms: int) -> None:
        if ms * self.factor > 0:
            await self._world.clock.sleep(ms * self.factor / 1_000)

    async def _until_block(self, number: int) -> None:
        settlement = self._world.settlement
        while isinstance(settlement, Headed) and settlement.head < number:
            await self._block.wait()

    def _mined_block(self, _number: int) -> None:
        self._block.set()
        self._block = asyncio.Event()
