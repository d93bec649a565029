"""What becomes of a match: nothing is filled before it is confirmed, and a failed one never happened."""

import asyncio
from typing import Any

import pytest

from execution.sandbox.exchange.settling import SettlementTimes
from ledger.system import SystemClock
from tests.sandbox.exchange.traders import PLENTY, Trader, asks, bids, floor, hear, heard
from tests.sandbox.stage import ONE, Stage

TURNS = 50
"""Of the event loop, more than any step takes."""


class StepClock(SystemClock):
    """Sleeps end when they are told to; everything else is the real time."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        """Until `step` comes to it."""
        waits: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((seconds, waits))
        await waits

    async def step(self, seconds: float) -> None:
        """End the first sleep of that length, and let happen what follows from it."""
        found = next(each for each in self.waiting if each[0] == seconds)
        self.waiting.remove(found)
        found[1].set_result(None)
        for _ in range(TURNS):
            await asyncio.sleep(0)


def _stepping(clock: StepClock) -> Any:
    return floor(clock=clock, delay_factor=1)


async def _bought(on: Stage, lena: Trader) -> tuple[str, int]:
    """An order of ten shares that was matched, and its token."""
    market = on.box.markets[0]
    posted = await lena.post(market, price=asks(on, market)[0])
    return posted["orderID"], market.token_ids[0]


def _status(on: Stage, order_hash: str) -> str:
    (trade,) = on.box.exchange.trades(order_hash)
    return trade.status


async def test_a_match_is_broadcast_mined_and_confirmed_each_in_its_time() -> None:
    clock = StepClock()
    async with _stepping(clock) as (on, lena):
        on.box.exchange.times = SettlementTimes(broadcast_ms=10, mined_ms=20, confirmed_ms=30)
        order_hash, token = await _bought(on, lena)
        (row,) = await lena.rows("/data/trades")
        assert (row["status"], row["transaction_hash"]) == ("MATCHED", "")
        await clock.step(0.01)
        (row,) = await lena.rows("/data/trades")
        assert (row["status"], row["transaction_hash"][:2]) == ("MATCHED", "0x")
        assert on.box.exchange.shares(lena.wallet, token) == 0
        assert on.box.exchange.cash(lena.wallet) == PLENTY
        await clock.step(0.02)
        assert (_status(on, order_hash), on.box.exchange.shares(lena.wallet, token)) == ("MINED", 10 * ONE)
        await clock.step(0.03)
        assert _status(on, order_hash) == "CONFIRMED"


async def test_what_is_matched_and_not_mined_cannot_be_spent_twice_nor_sold() -> None:
    clock = StepClock()
    async with _stepping(clock) as (on, lena):
        order_hash, token = await _bought(on, lena)
        (trade,) = on.box.exchange.trades(order_hash)
        assert on.box.exchange.free(lena.wallet) == PLENTY - trade.cash_micros - trade.fee_micros
        market = on.box.markets[0]
        refused = await lena.refused(market, price=bids(on, market)[0], side="SELL")
        assert "not enough balance / allowance" in refused[1]
        assert on.box.exchange.free(lena.wallet, token) == 0


async def test_what_was_bought_and_sold_ends_in_whole_micros() -> None:
    async with floor() as (on, lena):
        order_hash, token = await _bought(on, lena)
        await on.box.exchange.settled()
        (trade,) = on.box.exchange.trades(order_hash)
        assert on.box.exchange.cash(lena.wallet) == PLENTY - trade.cash_micros - trade.fee_micros
        assert trade.fee_micros > 0
        assert trade.fee_micros % 10 == 0
        before = on.box.exchange.cash(lena.wallet)
        market = on.box.markets[0]
        sold = await lena.post(market, price=bids(on, market)[0], side="SELL")
        await on.box.exchange.settled()
        (sale,) = on.box.exchange.trades(sold["orderID"])
        assert on.box.exchange.cash(lena.wallet) == before + sale.cash_micros - sale.fee_micros
        assert on.box.exchange.shares(lena.wallet, token) == 0


async def test_a_market_without_fees_takes_none() -> None:
    async with floor() as (on, lena):
        market = next(each for each in on.box.markets if not each.fee_rate_bps)
        posted = await lena.post(market, price=asks(on, market)[0], shares=100 * ONE)
        assert on.box.exchange.trades(posted["orderID"])[0].fee_micros == 0


async def test_a_failed_trade_never_happened() -> None:
    async with floor() as (on, lena):
        socket = await hear(on, lena)
        await on.box.faults.apply("clob-orders:match_then_fail=1")
        order_hash, token = await _bought(on, lena)
        await on.box.exchange.settled()
        statuses = [each["status"] for each in await heard(socket) if each["event_type"] == "trade"]
        assert statuses == ["MATCHED", "RETRYING", "FAILED"]
        assert _status(on, order_hash) == "FAILED"
        assert on.box.exchange.cash(lena.wallet) == on.box.exchange.free(lena.wallet) == PLENTY
        assert on.box.exchange.shares(lena.wallet, token) == 0
        assert on.box.truth.held(lena.wallet.lower(), token) == 0


async def test_one_trade_of_an_order_may_fail_and_another_be_confirmed() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        price, offered = asks(on, market)
        await on.box.faults.apply("clob-orders:match_then_fail=1")
        posted = await lena.post(market, price=price + 10_000, shares=(offered // ONE + 10) * ONE)
        await on.box.exchange.settled()
        assert [each.status for each in on.box.exchange.trades(posted["orderID"])] == ["FAILED", "CONFIRMED"]


@pytest.mark.parametrize("by", ["market", "fault"])
async def test_a_delayed_order_is_matched_later_with_the_book_of_that_moment(by: str) -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        if by == "market":
            on.box.exchange.hold_up(market.condition_id, 1)
        else:
            await on.box.faults.apply("clob-orders:delay=1,1ms")
        socket = await hear(on, lena)
        posted = await lena.post(market, price=asks(on, market)[0])
        assert (posted["status"], posted["tradeIDs"], posted["takingAmount"]) == ("delayed", [], "")
        first = await socket.receive_json(timeout=10)
        assert (first["type"], first["status"]) == ("PLACEMENT", "DELAYED")
        assert (await socket.receive_json(timeout=10))["event_type"] == "trade"
        assert on.box.exchange.trades(posted["orderID"])


async def test_a_delayed_order_that_finds_nothing_any_more_is_killed() -> None:
    clock = StepClock()
    async with _stepping(clock) as (on, lena):
        market = on.box.markets[0]
        on.box.exchange.hold_up(market.condition_id, 1_000)
        price, offered = asks(on, market)
        posted = await lena.post(market, price=price)
        assert (await lena.get(f"/data/order/{posted['orderID']}"))["status"] == "DELAYED"
        on.box.board.take(market.token_ids[0], "BUY", offered)
        await clock.step(1.0)
        truth = on.box.exchange.order(posted["orderID"])
        assert truth is not None
        assert truth.status.startswith("CANCELED_no orders found to match")
        assert on.box.exchange.free(lena.wallet) == PLENTY


async def test_a_delayed_order_can_be_cancelled() -> None:
    clock = StepClock()
    async with _stepping(clock) as (on, lena):
        market = on.box.markets[0]
        on.box.exchange.hold_up(market.condition_id, 1_000)
        posted = await lena.post(market, price=asks(on, market)[0])
        cancelled = await lena.ask("DELETE", "/order", {"orderID": posted["orderID"]})
        assert cancelled[1]["canceled"] == [posted["orderID"]]
        await clock.step(1.0)
        assert on.box.exchange.trades(posted["orderID"]) == ()


async def test_the_terms_of_a_market_name_its_delay() -> None:
    async with floor() as (on, _):
        market = on.box.markets[0]
        on.box.exchange.hold_up(market.condition_id, 1_500)
        terms = await on.get(f"{on.box.urls.clob}/clob-markets/{market.condition_id}")
        assert terms["sd"] == 2
