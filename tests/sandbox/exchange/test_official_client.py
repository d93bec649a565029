"""The venue's own client trades at the sandbox unchanged, with nothing but its host set."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from py_clob_client_v2.client import ClobClient
from py_clob_client_v2.clob_types import (
    BalanceAllowanceParams,
    MarketOrderArgs,
    OpenOrderParams,
    OrderArgs,
    OrderMarketCancelParams,
    OrderPayload,
    PostOrdersV2Args,
    TradeParams,
)
from py_clob_client_v2.exceptions import PolyApiException

from execution.sandbox.markets import SandboxMarket
from tests.sandbox.exchange.traders import CHAIN_ID, DEPOSIT_WALLET
from tests.sandbox.stage import ONE, Stage, stage

KEY = "0x" + "11" * 32
ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
MONEY = 1_000 * ONE


def _client(on: Stage, **options: Any) -> ClobClient:
    client = ClobClient(on.box.urls.clob, CHAIN_ID, key=KEY, **options)
    client.set_api_creds(client.create_or_derive_api_key())
    return client


async def _trade(work: Callable[[Stage], Any]) -> Any:
    """The client waits for its answers, so it works beside the sandbox's loop."""
    async with stage(limited=True) as on:
        on.box.exchange.fund(ADDRESS, MONEY)
        answer = await asyncio.to_thread(work, on)
        await on.box.exchange.settled()
        return answer


def _first(on: Stage) -> str:
    return str(on.box.markets[0].token_ids[0])


async def test_it_derives_the_credentials_that_it_created() -> None:
    def work(on: Stage) -> None:
        client = _client(on)
        assert client.derive_api_key() == client.creds
        assert client.get_api_keys() == {"apiKeys": [client.creds.api_key]}
        assert client.get_closed_only_mode() == {"closed_only": False}

    await _trade(work)


async def test_it_reads_the_book_and_its_balance() -> None:
    def work(on: Stage) -> None:
        client = _client(on)
        book = client.get_order_book(_first(on))
        assert float(book["bids"][-1]["price"]) < float(book["asks"][-1]["price"])
        assert client.get_balance_allowance(BalanceAllowanceParams(asset_type="COLLATERAL"))["balance"] == str(MONEY)
        client.update_balance_allowance(BalanceAllowanceParams(asset_type="COLLATERAL"))

    await _trade(work)


@pytest.mark.parametrize("kind", ["FOK", "FAK"])
async def test_it_buys_and_sells_at_once_and_lists_the_trades(kind: str) -> None:
    def work(on: Stage) -> None:
        client = _client(on)
        bought = client.create_and_post_market_order(
            MarketOrderArgs(token_id=_first(on), amount=10, side="BUY", order_type=kind), order_type=kind
        )
        assert (bought["status"], bought["success"], len(bought["transactionsHashes"])) == ("matched", True, 1)
        sold = client.create_and_post_market_order(
            MarketOrderArgs(token_id=_first(on), amount=5, side="SELL", order_type=kind), order_type=kind
        )
        assert sold["makingAmount"] == "5"
        trades = client.get_trades(TradeParams(asset_id=_first(on)))
        assert [each["taker_order_id"] for each in trades] == [sold["orderID"], bought["orderID"]]

    await _trade(work)


@pytest.mark.parametrize(("kind", "post_only"), [("GTC", False), ("GTC", True), ("GTD", False), ("GTD", True)])
async def test_it_lets_an_order_rest_and_cancels_it(kind: str, post_only: bool) -> None:
    def work(on: Stage) -> None:
        client = _client(on)
        ends_s = on.box.world.now_ms() // 1_000 + 600 if kind == "GTD" else 0
        order = OrderArgs(token_id=_first(on), price=0.05, size=20, side="BUY", expiration=ends_s)
        posted = client.create_and_post_order(order, order_type=kind, post_only=post_only)
        assert posted["status"] == "live"
        assert client.get_order(posted["orderID"])["order_type"] == kind
        assert [each["id"] for each in client.get_open_orders(OpenOrderParams(asset_id=_first(on)))] == [
            posted["orderID"]
        ]
        assert client.cancel_order(OrderPayload(orderID=posted["orderID"]))["canceled"] == [posted["orderID"]]
        assert client.get_open_orders() == []

    await _trade(work)


async def test_it_posts_several_at_once_and_cancels_by_each_of_its_ways() -> None:
    def work(on: Stage) -> None:
        client = _client(on)
        orders = [
            PostOrdersV2Args(client.create_order(OrderArgs(token_id=_first(on), price=price, size=20, side="BUY")))
            for price in (0.05, 0.06, 0.07, 0.08)
        ]
        ids = [each["orderID"] for each in client.post_orders(orders)]
        assert client.cancel_orders(ids[:1])["canceled"] == ids[:1]
        assert client.cancel_market_orders(OrderMarketCancelParams(asset_id="12345"))["canceled"] == []
        assert (
            client.cancel_market_orders(OrderMarketCancelParams(market=on.box.markets[0].condition_id))["canceled"]
            == ids[1:]
        )
        assert client.cancel_all() == {"canceled": [], "not_canceled": {}}

    await _trade(work)


def _neg_risk(market: SandboxMarket) -> bool:
    return market.neg_risk


def _second_version(market: SandboxMarket) -> bool:
    return market.version == "v2"


@pytest.mark.parametrize("kind", [_neg_risk, _second_version])
async def test_it_trades_in_the_other_kinds_of_markets(kind: Callable[[SandboxMarket], bool]) -> None:
    def work(on: Stage) -> None:
        market = next(filter(kind, on.box.markets))
        name = "position_id" if market.version == "v2" else "token_id"
        order = MarketOrderArgs(amount=10, side="BUY", **{name: str(market.token_ids[0])})
        assert _client(on).create_and_post_market_order(order)["status"] == "matched"

    await _trade(work)


async def test_it_trades_for_a_deposit_wallet() -> None:
    def work(on: Stage) -> None:
        on.box.exchange.register_wallet(DEPOSIT_WALLET, ADDRESS)
        on.box.exchange.fund(DEPOSIT_WALLET, MONEY)
        client = _client(on, signature_type=3, funder=DEPOSIT_WALLET)
        order = MarketOrderArgs(token_id=_first(on), amount=10, side="BUY")
        assert client.create_and_post_market_order(order)["status"] == "matched"
        money = client.get_balance_allowance(BalanceAllowanceParams(asset_type="COLLATERAL"))["balance"]
        assert MONEY - 11 * ONE < int(money) < MONEY - 9 * ONE

    await _trade(work)


async def test_it_reads_the_reason_of_a_refusal() -> None:
    def work(on: Stage) -> str:
        order = MarketOrderArgs(token_id=_first(on), amount=900, side="BUY", price=0.99)
        client = _client(on)
        client.create_and_post_market_order(order)
        with pytest.raises(PolyApiException) as refused:
            client.create_and_post_market_order(order)
        return str(refused.value)

    assert "not enough balance / allowance" in await _trade(work)
