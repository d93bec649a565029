"""A real engine whose follower trades on the CLOB of the sandbox, by the real client; only its clock can be moved."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from copytrading.models import CopyConfig, CopyTrade, Follower, Leader
from copytrading.operations.cast import seed_followers, seed_leaders
from copytrading.sending import Route
from copytrading.signals import parse_row
from copytrading.supervisor import Engine
from copytrading.wiring import EngineDoors, ExchangeDoors, build_engine
from copytrading.wiring_choices import Choices
from execution.books import Book, Level
from execution.clob.credentials import Access
from execution.clob.rates import OrderRates, RateSettings
from execution.models import Market, TradingAccount
from execution.orders import OrderPlan
from execution.quotes import FixedBooks
from execution.venues.clob import ClobDoors, ClobVenue
from guardrails.models import Budget
from guardrails.stores.memory import memory_stores
from ledger.models import CashBalance
from ledger.system import SeededRandomness, SystemClock, SystemIds
from ledger.units import ONE, Micros, text_from_micros
from tests.doors import InlineDatabase, outside_loop
from tests.execution.clob.sandbox_trader import KEY, SandboxTrader, sandbox_trader
from tests.tracking.exchange import Funds

LENA = "0x" + "1e" * 20
SHARES = 20
DAY_LIMIT = 500 * ONE


class MovableClock(SystemClock):
    """The system's clock, which a test may put forward."""

    def __init__(self) -> None:
        super().__init__()
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead_s)

    def monotonic_ms(self) -> float:
        return super().monotonic_ms() + self.ahead_s * 1_000


class _Anybody:
    """`CredentialBook` with one account for whoever asks."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def of(self, follower_id: int) -> Access | None:
        return self._access


@dataclass
class Desk:
    """Lena buys on the sandbox, Fay copies 20 shares of it with her real account."""

    trader: SandboxTrader
    clock: MovableClock
    engine: Engine
    venue: ClobVenue
    follower: Follower
    leader: Leader
    traded: int = 0

    async def copy(self, *, side: str = "BUY") -> CopyTrade:
        """Lena trades; Fay's copy when everything that was started has ended."""
        market = self.trader.box.markets[0]
        best = self.trader.box.board.offers(market.token_ids[0], side)[0].price_micros
        self.traded += 1
        row = {
            "proxyWallet": LENA,
            "type": "TRADE",
            "side": side,
            "asset": str(market.token_ids[0]),
            "conditionId": market.condition_id,
            "size": str(10 * SHARES),
            "price": text_from_micros(best),
            "timestamp": int(self.clock.now().timestamp()),
            "transactionHash": f"0x{self.traded:064x}",
            "outcomeIndex": 0,
        }
        self._set_book(best)
        reading = parse_row(row, source="data-api", place="row 1")
        await self.engine.intake.offer(f"walk {self.traded}", [reading], complete=True)
        await self.settle()
        return self.row()

    async def settle(self) -> None:
        """Decide, send and record everything that waits."""
        engine = self.engine
        while await engine.stores.queue.size() or engine.sender.in_flight:
            working = asyncio.create_task(engine.pipeline.run_once())
            while not working.done() or engine.sender.in_flight:
                await asyncio.sleep(0.001)
                await engine.writer.run_once()
            await working

    async def ask(self, *, after: float = 6) -> CopyTrade:
        """Time passes, and rescue asks the venue."""
        self.clock.ahead_s += after
        await self.engine.lease.release()
        await self.engine.lease.acquire()
        await self.engine.rescue.run_once()
        return self.row()

    async def end(self, *, tries: int = 1) -> CopyTrade:
        """What became of the copy when the venue has settled and was asked often enough.

        With more `tries` the client's own pauses after a failure, which are real time, are waited for.
        """
        await self.trader.box.exchange.settled()
        row = self.row()
        for _try in range(tries):
            for seconds in (6, 31, 31) if tries > 1 else (6, 31, 31, 600, 31):
                row = await self.ask(after=seconds)
                if row.status in ("EXECUTED", "FAILED", "SKIPPED"):
                    return row
            await self.trader.box.world.clock.sleep(0.1)
        return row

    def row(self) -> CopyTrade:
        """The latest copy."""
        return outside_loop(lambda: CopyTrade.objects.order_by("-pk")[0])

    def money(self) -> tuple[int, int, int]:
        """Cash, reserved cash and the leader's budget of the day, in micros."""

        def read() -> tuple[int, int, int]:
            cash = CashBalance.objects.get(follower=self.follower)
            spent = sum(Budget.objects.filter(scope="LEADER").values_list("spent_micros", flat=True))
            return cash.cash_micros, cash.reserved_micros, spent

        return outside_loop(read)

    def venue_orders(self) -> int:
        """Orders that the venue ever took."""
        return len(self.trader.box.exchange.orders())

    def venue_cash(self) -> int:
        """What the account has on the venue."""
        return self.trader.box.exchange.cash(KEY)

    def _set_book(self, price: int) -> None:
        level = (Level(Micros(price), Micros(10**6 * ONE)),)
        token = self.trader.box.markets[0].token_ids[0]
        books: Any = self.engine.pipeline._doors.books.paper
        books.put(Book(token_id=token, bids=level, asks=level, version=f"v{self.traded}"))


@asynccontextmanager
async def open_desk(*, timeout_s: float = 0.3, **changes: Any) -> AsyncIterator[Desk]:
    """The engine on the sandbox, its shard's lease held."""
    async with sandbox_trader(timeout_s=timeout_s, **changes) as trader:
        clock = MovableClock()
        rates = OrderRates(clock, SeededRandomness(1), settings=RateSettings())
        access = _Anybody(trader.access)
        venue = ClobVenue(ClobDoors(client=trader.client, access=access, rates=rates, fees=trader, clock=clock))

        async def sign(plan: OrderPlan) -> bytes:
            return await trader.signer.sign_order(plan, key=KEY)

        doors = EngineDoors(
            clock=clock,
            ids=SystemIds(),
            randomness=SeededRandomness(1),
            database=InlineDatabase(),
            stores=memory_stores(clock, queue_max=1_000, reclaim_ms=30_000),
            exchange=ExchangeDoors(route=Route(venue=venue, sign=sign), funds=Funds(), rates=rates),
        )
        leader, follower = outside_loop(lambda: _cast(trader))
        engine = build_engine(Choices(quotes=FixedBooks(clock), live=True), doors)
        await engine.lease.acquire()
        try:
            yield Desk(trader, clock, engine, venue, follower, leader)
        finally:
            await engine.lease.release()


def _cast(trader: SandboxTrader) -> tuple[Leader, Follower]:
    market = trader.box.markets[0]
    Market.objects.create(
        condition_id=market.condition_id,
        first_token_id=market.token_ids[0],
        second_token_id=market.token_ids[1],
        tick_micros=market.tick_micros,
        fee_rate_bps=market.fee_rate_bps,
        neg_risk=market.neg_risk,
        version=market.version,
    )
    leader = seed_leaders({LENA: "Lena"}, holdings_complete=False)[0]
    Leader.objects.filter(pk=leader.pk).update(daily_limit_micros=DAY_LIMIT)
    follower = seed_followers(["Fay"], label="desk", cash_micros=10_000 * ONE)[0]
    Follower.objects.filter(pk=follower.pk).update(mode="EXCHANGE", wallet=KEY)
    TradingAccount.objects.create(follower=follower, signer=KEY, missing=[])
    CopyConfig.objects.create(
        follower=follower, leader=leader, percentage_bps=1_000, max_trade_micros=100 * ONE, slippage_bps_max=500
    )
    return leader, follower
