"""A world whose followers trade on the venue: scripted answers, an account that is ready, and a limit that can fill up.

The venue is told what to answer; the rest of the engine is the real one.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from copytrading.facts import MarketsReady
from copytrading.models import CopyTrade, Follower
from copytrading.sending import Route
from copytrading.wiring import EngineDoors, ExchangeDoors, build_engine
from copytrading.wiring_choices import Choices
from execution.accounts import AccountFacts, Holding
from execution.models import TradingAccount
from execution.orders import ExchangeDomain, OrderPlan
from execution.ports import OrderRef, Resting, VenueTrade
from guardrails.stores.memory import memory_stores
from ledger.system import SeededRandomness
from ledger.units import Micros
from tests.doors import InlineDatabase, SequentialIds
from tests.tracking.trades import trade
from tests.venues import ScriptedVenue
from tests.world import World, _LaterIds


class Rates:
    """The venue's limit: room for everybody, or for how long nobody has any."""

    def __init__(self) -> None:
        self.wait_ms = 0.0
        self.asked: list[str] = []

    def peek_ms(self, signer: str, tier: str = "STANDARD", *, ahead: int = 0, ahead_of_all: int = 0) -> float:
        self.asked.append(signer)
        return self.wait_ms


class Funds:
    """Every account has plenty, and the shares that our books say."""

    async def of_buyers(self, accounts: Collection[AccountFacts]) -> Mapping[int, AccountFacts]:
        plenty = dict.fromkeys(ExchangeDomain, 10**15)
        return {each.follower_id: replace(each, available_micros=10**15, allowances=plenty) for each in accounts}

    async def of_sellers(self, wanted: Collection[Holding]) -> Mapping[tuple[int, int], Micros]:
        return {}


class ExchangeVenue(ScriptedVenue):
    """Matches everything; trades confirm when a test says so, and what was not sent is not found."""

    name = "clob"

    def __init__(self) -> None:
        super().__init__()
        self.lets_go = True

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Any:
        self.submitted.append(plan)
        self.on_submit(plan)
        return self.answer or Resting(matched=True, matched_micros=plan.size_micros, final=True)

    async def cancel(self, order: OrderRef) -> bool:
        self.cancelled.append(order.order_hash)
        return self.lets_go

    def show(self, row: CopyTrade, *trades: VenueTrade, final: bool = True) -> None:
        """What it answers when asked about a copy's order."""
        matched = sum(each.size_micros for each in trades)
        self.states[str(row.order_hash)] = Resting(
            matched=bool(trades), matched_micros=matched, trades=trades, final=final
        )


class ExchangeWorld(World):
    """Followers are on the venue unless said; `at_once` are its connections for orders."""

    def __init__(self, *, at_once: int | None = None, **choices: Any) -> None:
        self.exchange, self.rates, self.at_once = ExchangeVenue(), Rates(), at_once
        super().__init__(**{"live": True, **choices})

    def start(self) -> None:
        """A fresh engine, with the way to the venue."""
        doors = EngineDoors(
            clock=self.clock,
            ids=_LaterIds() if hasattr(self, "engine") else SequentialIds(),
            randomness=SeededRandomness(1),
            database=InlineDatabase(),
            stores=memory_stores(self.clock, queue_max=1_000, reclaim_ms=30_000),
            markets=self.markets(),
            exchange=ExchangeDoors(
                route=Route(venue=self.exchange, sign=_signed, at_once=self.at_once), funds=Funds(), rates=self.rates
            ),
        )
        self.engine = build_engine(Choices(quotes=self.books, **self._choices), doors)
        (self.waiting,) = self.engine.deciding

    def markets(self) -> MarketsReady | None:
        """Who describes markets; nobody unless a test says: the world's own market is described."""
        return None

    def follower(self, name: str = "Fay", *, cash: int = 10_000, **config: Any) -> Follower:
        """A follower of Lena with an account that is ready."""
        row = super().follower(name, cash=cash, **config)
        Follower.objects.filter(pk=row.pk).update(mode="EXCHANGE")
        TradingAccount.objects.create(follower=row, signer=row.wallet, missing=[], checked_at=self.clock.now())
        row.refresh_from_db()
        return row

    def look(self, *, after: float = 0.2) -> None:
        """Time passes, and the waiting room is looked at."""
        self.clock.advance(after)

        async def looking() -> None:
            await self.waiting.run_once()
            await self._settle()

        self.run(looking)

    def confirm(self, row: CopyTrade, shares: int = 100, price: str = "0.50", *, status: str = "CONFIRMED") -> None:
        """The venue tells of a trade that filled it."""
        fills = self.engine.rescue.fills
        self.run(lambda: fills.note([trade(row, shares, price, name=f"t{row.pk}", status=status)]))


async def _signed(plan: OrderPlan) -> bytes:
    return b"s" * 65


@pytest.fixture
def make_exchange() -> Iterator[Callable[..., ExchangeWorld]]:
    """A maker of such worlds, closed at the end."""
    made: list[ExchangeWorld] = []

    def make(**choices: Any) -> ExchangeWorld:
        made.append(ExchangeWorld(**choices))
        return made[-1]

    yield make
    for world in made:
        world.close()


@pytest.fixture
def exchange(make_exchange: Callable[..., ExchangeWorld]) -> ExchangeWorld:
    """Lena, her market with a deep book at 0.50, a venue that matches everything, and nobody else."""
    return make_exchange()


def statuses(world: ExchangeWorld) -> list[str]:
    """Of all copies, oldest first."""
    return [each.status for each in world.trades()]
