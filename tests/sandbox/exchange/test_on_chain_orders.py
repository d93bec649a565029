"""With a chain at hand, the matches of users' orders are transactions on it, under the hashes that the venue told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from execution.deployments import PUBLISHED
from execution.http import SharedHttp
from execution.order_status import OrdersOnChain
from execution.rpc import Rpc, RpcSettings
from execution.sandbox.exchange.settling import SettlementTimes
from execution.sandbox.markets import SandboxMarket
from execution.sandbox.on_chain import OnChain, OnChainSettings
from execution.sandbox.sandbox import open_sandbox
from ledger.system import SeededRandomness, SystemClock
from tests.sandbox.chain_stage import needs_chain
from tests.sandbox.exchange.traders import Trader, asks, bids, session_trader, trader
from tests.sandbox.stage import ONE, QUIET, Stage

pytestmark = needs_chain
FILLED = "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee"


@asynccontextmanager
async def _chain_floor() -> AsyncIterator[tuple[Stage, Trader, OnChain]]:
    """A sandbox that settles on a chain which mines when asked, and one trader."""
    clock = SystemClock()
    chain = OnChain(clock, OnChainSettings(block_ms=0))
    async with (
        open_sandbox(clock, SeededRandomness, QUIET, settlement=chain) as box,
        aiohttp.ClientSession() as session,
    ):
        on = Stage(box, session)
        box.exchange.times = SettlementTimes(broadcast_ms=0, mined_ms=0, confirmed_ms=0)
        yield on, await trader(on), chain


async def _mined(on: Stage, chain: OnChain, order_hash: str) -> list[dict[str, Any]]:
    """The logs of an order's own fills, once all its trades are in blocks."""
    # A trade is sent in the background; asking for its balance waits for nothing, so the trade is looked at instead.
    while not all(each.tx_hash for each in on.box.exchange.trades(order_hash)):
        await on.box.world.clock.sleep(0.01)
    await chain.mine()
    await on.box.exchange.settled()
    found: list[dict[str, Any]] = []
    for trade in on.box.exchange.trades(order_hash):
        receipt = await chain.node.call("eth_getTransactionReceipt", trade.tx_hash)
        found += [log for log in receipt["logs"] if log["topics"][:2] == [FILLED, order_hash]]
    return found


def _markets(on: Stage) -> list[SandboxMarket]:
    kinds = {(each.version, each.neg_risk): each for each in on.box.markets}
    return list(kinds.values())


async def test_an_order_is_filled_on_chain_under_its_own_hash_in_each_kind_of_market() -> None:
    async with _chain_floor() as (on, lena, chain):
        assert len(_markets(on)) == 3
        for market in _markets(on):
            posted = await lena.post(market, price=asks(on, market)[0])
            (log,) = await _mined(on, chain, posted["orderID"])
            assert int(log["topics"][2], 16) == int(lena.wallet, 16)
            (trade,) = on.box.exchange.trades(posted["orderID"])
            words = [int(log["data"][2 + 64 * number : 66 + 64 * number], 16) for number in range(5)]
            assert words == [0, market.token_ids[0], trade.cash_micros, trade.shares_micros, trade.fee_micros]
            assert trade.status == "CONFIRMED"


async def test_a_trade_is_mined_only_when_its_block_is() -> None:
    async with _chain_floor() as (on, lena, chain):
        market = on.box.markets[0]
        posted = await lena.post(market, price=asks(on, market)[0])
        while not on.box.exchange.trades(posted["orderID"])[0].tx_hash:
            await on.box.world.clock.sleep(0.01)
        assert on.box.exchange.trades(posted["orderID"])[0].status == "MATCHED"
        assert on.box.exchange.shares(lena.wallet, market.token_ids[0]) == 0
        await _mined(on, chain, posted["orderID"])
        assert on.box.exchange.shares(lena.wallet, market.token_ids[0]) == 10 * ONE
        key = (lena.wallet.lower(), market.token_ids[0])
        assert await chain.balances([key]) == {key: 10 * ONE}


async def test_an_order_that_walks_the_book_fills_one_hash_several_times() -> None:
    async with _chain_floor() as (on, lena, chain):
        market = on.box.markets[0]
        price, offered = asks(on, market)
        posted = await lena.post(market, price=price + 20_000, shares=(offered // ONE + 10) * ONE)
        assert len(await _mined(on, chain, posted["orderID"])) == 2


@pytest.mark.parametrize("side", ["SELL", "BUY"], ids=["handed over", "mint"])
async def test_two_users_meet_on_chain(side: str) -> None:
    async with _chain_floor() as (on, lena, chain):
        market, fay = on.box.markets[0], await trader(on, 2)
        on.box.board.take(market.token_ids[0], "BUY", asks(on, market)[1])
        price = bids(on, market)[0] + 10_000
        await on.box.exchange.give(fay.wallet, market.token_ids[0], 50 * ONE)
        await chain.mine()
        resting = await lena.post(market, price=price, shares=30 * ONE, kind="GTC")
        outcome = 0 if side == "SELL" else 1
        own = price if outcome == 0 else ONE - price
        taken = await fay.post(market, price=own, shares=20 * ONE, side=side, outcome=outcome)
        for order in (taken["orderID"], resting["orderID"]):
            assert len(await _mined(on, chain, order)) == 1
        assert on.box.exchange.shares(lena.wallet, market.token_ids[0]) == 20 * ONE


async def test_an_order_of_a_session_key_is_filled_for_its_deposit_wallet() -> None:
    async with _chain_floor() as (on, lena, chain):
        session, market = await session_trader(on, owner=lena), on.box.markets[0]
        posted = await session.post(market, price=asks(on, market)[0])
        (log,) = await _mined(on, chain, posted["orderID"])
        assert int(log["topics"][2], 16) == int(session.wallet, 16)


async def test_the_exchange_itself_tells_which_orders_were_filled() -> None:
    async with _chain_floor() as (on, lena, chain):
        http = SharedHttp()
        urls, settings = [chain.anvil.http_url], RpcSettings(chain_id=137)
        rpc = Rpc(http, on.box.world.clock, SeededRandomness(1), urls=urls, settings=settings)
        asked = OrdersOnChain(rpc, PUBLISHED[137].filling_exchanges)
        for market in _markets(on):
            posted = await lena.post(market, price=asks(on, market)[0])
            assert await asked.has_fills(posted["orderID"]) is False  # matched, and in no block yet
            await _mined(on, chain, posted["orderID"])
            assert await asked.has_fills(posted["orderID"]) is True
        resting = await lena.post(on.box.markets[0], price=bids(on, on.box.markets[0])[0], kind="GTC")
        assert await asked.has_fills(resting["orderID"]) is False
        await http.close()


async def test_a_trade_that_fails_is_mined_as_a_failure() -> None:
    async with _chain_floor() as (on, lena, chain):
        market = on.box.markets[0]
        await on.box.faults.apply("clob-orders:match_then_fail=1")
        posted = await lena.post(market, price=asks(on, market)[0])
        on.box.exchange.times = SettlementTimes(broadcast_ms=0, mined_ms=0, retrying_ms=0)
        assert await _mined(on, chain, posted["orderID"]) == []
        (trade,) = on.box.exchange.trades(posted["orderID"])
        receipt = await chain.node.call("eth_getTransactionReceipt", trade.tx_hash)
        assert (trade.status, receipt["status"]) == ("FAILED", "0x0")
