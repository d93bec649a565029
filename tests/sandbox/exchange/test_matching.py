"""Orders that rest: met by other users, by the crowd, and by the market's own moves."""

from typing import Any

import pytest

from execution.sandbox.exchange.records import OrderTruth
from execution.sandbox.markets import SandboxMarket
from tests.sandbox.exchange.traders import Trader, asks, bids, floor, heard, trader
from tests.sandbox.stage import ONE, Stage


def _inside(on: Stage, market: SandboxMarket) -> int:
    """A price that nobody of the crowd asks for or bids: the books here have room for it."""
    _widen(on, market)
    return bids(on, market)[0] + market.tick_micros


def _widen(on: Stage, market: SandboxMarket) -> None:
    """Eat the best offer, so that there is room inside the spread."""
    token = market.token_ids[0]
    on.box.board.take(token, "BUY", asks(on, market)[1])


def _truth(on: Stage, posted: dict[str, Any]) -> OrderTruth:
    found = on.box.exchange.order(posted["orderID"])
    assert found is not None
    return found


async def _two(on: Stage, lena: Trader) -> tuple[Trader, SandboxMarket, int]:
    market = on.box.markets[0]
    fay = await trader(on, 2)
    for token in market.token_ids:
        await on.box.exchange.give(fay.wallet, token, 100 * ONE)
        await on.box.exchange.give(lena.wallet, token, 100 * ONE)
    return fay, market, _inside(on, market)


@pytest.mark.parametrize(
    ("rests", "takes"),
    [
        (("BUY", 0), ("SELL", 0)),
        (("SELL", 0), ("BUY", 0)),
        (("BUY", 1), ("BUY", 0)),
        (("SELL", 1), ("SELL", 0)),
    ],
    ids=["buyer rests", "seller rests", "mint", "merge"],
)
async def test_two_users_meet_in_each_way_that_the_exchange_knows(
    rests: tuple[str, int], takes: tuple[str, int]
) -> None:
    async with floor() as (on, lena):
        fay, market, price = await _two(on, lena)
        own = price if rests[1] == 0 else ONE - price
        resting = await lena.post(market, price=own, kind="GTC", shares=20 * ONE, side=rests[0], outcome=rests[1])
        taken = await fay.post(market, price=price, shares=20 * ONE, side=takes[0], outcome=takes[1])
        await on.box.exchange.settled()
        assert (_truth(on, resting).status, _truth(on, resting).filled_micros) == ("MATCHED", 20 * ONE)
        (trade,) = on.box.exchange.trades(resting["orderID"])
        assert (trade.maker, trade.fee_micros, trade.orders[0]) == (True, 0, taken["orderID"])
        for who, side, outcome in ((lena, *rests), (fay, *takes)):
            change = 20 * ONE if side == "BUY" else -20 * ONE
            assert on.box.exchange.shares(who.wallet, market.token_ids[outcome]) == 100 * ONE + change


async def test_a_trade_is_the_takers_row_and_the_makers_row() -> None:
    async with floor() as (on, lena):
        fay, market, price = await _two(on, lena)
        resting = await lena.post(market, price=price, kind="GTC", shares=20 * ONE)
        taken = await fay.post(market, price=price, shares=20 * ONE, side="SELL")
        (mine,), (theirs,) = await lena.rows("/data/trades"), await fay.rows("/data/trades")
        assert (mine["trader_side"], theirs["trader_side"]) == ("MAKER", "TAKER")
        assert mine["taker_order_id"] == theirs["taker_order_id"] == taken["orderID"]
        (made,) = mine["maker_orders"]
        assert (made["order_id"], made["matched_amount"], made["maker_address"]) == (
            resting["orderID"],
            "20",
            lena.wallet.lower(),
        )


async def test_a_resting_order_of_a_better_price_comes_before_the_crowd() -> None:
    async with floor() as (on, lena):
        fay, market, price = await _two(on, lena)
        resting = await lena.post(market, price=price, kind="GTC", shares=10 * ONE)
        sold = await fay.post(market, price=price - 10_000, shares=30 * ONE, side="SELL")
        first, second = on.box.exchange.trades(sold["orderID"])
        assert resting["orderID"] in first.orders
        assert resting["orderID"] not in second.orders
        assert first.cash_micros == 10 * price


async def test_a_wallet_never_meets_itself() -> None:
    async with floor() as (on, lena):
        _, market, price = await _two(on, lena)
        await lena.post(market, price=price, kind="GTC", shares=20 * ONE)
        refused = await lena.refused(market, price=price, shares=20 * ONE, side="SELL")
        assert "no orders found to match" in refused[1]


async def test_an_order_that_is_hit_in_part_goes_on_resting() -> None:
    async with floor() as (on, lena):
        fay, market, price = await _two(on, lena)
        resting = await lena.post(market, price=price, kind="GTC", shares=20 * ONE)
        await fay.post(market, price=price, shares=5 * ONE, side="SELL")
        assert (_truth(on, resting).status, _truth(on, resting).filled_micros) == ("LIVE", 5 * ONE)
        assert bids(on, market) == (price, 15 * ONE)
        await on.box.exchange.settled()
        cash = on.box.exchange.cash(lena.wallet)
        assert on.box.exchange.free(lena.wallet) == cash - 15 * price


async def test_orders_in_one_trade_are_no_more_than_it_holds() -> None:
    async with floor() as (on, lena):
        fay, market, price = await _two(on, lena)
        on.box.exchange.makers_per_trade = 2
        for _ in range(3):
            await lena.post(market, price=price, kind="GTC", shares=5 * ONE)
        sold = await fay.post(market, price=price, shares=15 * ONE, side="SELL")
        assert [len(each.orders) for each in on.box.exchange.trades(sold["orderID"])] == [3, 2]
        rows = await fay.rows("/data/trades")
        assert sorted(row["bucket_index"] for row in rows) == [0, 1]


async def test_a_trade_of_a_leader_at_its_price_fills_a_resting_order() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        token, leader = market.token_ids[0], on.box.leaders[0].wallet
        await on.box.exchange.give(leader, token, 1_000 * ONE)
        price = bids(on, market)[0]
        resting = await lena.post(market, price=price, kind="GTC", shares=20 * ONE)
        await on.box.trade(leader, "SELL", token, shares_micros=8 * ONE)
        await on.box.exchange.settled()
        assert _truth(on, resting).filled_micros >= 8 * ONE
        (trade,) = on.box.exchange.trades(resting["orderID"])
        assert (trade.maker, trade.cash_micros) == (True, trade.shares_micros * price // ONE)
        assert on.box.exchange.shares(lena.wallet, token) == trade.shares_micros


async def test_a_market_that_comes_to_an_order_fills_it() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        resting = await lena.post(market, price=asks(on, market)[0] - 10_000, kind="GTC", shares=20 * ONE)
        for _ in range(300):
            if _truth(on, resting).status == "MATCHED":
                break
            await on.box.trade(on.box.leaders[0].wallet, "BUY", market.token_ids[1], shares_micros=200 * ONE)
        await on.box.exchange.settled()
        assert _truth(on, resting).filled_micros == 20 * ONE


async def test_a_side_that_was_eaten_whole_grows_back() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        on.box.exchange.fund(lena.wallet, 10**12)
        token = market.token_ids[0]
        total = sum(each.shares_micros for each in on.box.board.offers(token, "BUY"))
        posted = await lena.post(market, price=990_000, shares=(total // ONE + 1) * ONE)
        assert _truth(on, posted).filled_micros == total
        assert on.box.board.offers(token, "BUY")
        assert (await lena.post(market, price=990_000))["status"] == "matched"


async def test_the_end_of_a_market_ends_its_orders() -> None:
    async with floor() as (on, lena):
        market, other = on.box.markets[:2]
        gone = await lena.post(market, price=50_000, kind="GTC", shares=20 * ONE)
        kept = await lena.post(other, price=50_000, kind="GTC", shares=20 * ONE)
        await on.box.world.resolve(market, market.token_ids[0])
        assert (_truth(on, gone).status, _truth(on, kept).status) == ("CANCELED_MARKET_RESOLVED", "LIVE")
        assert on.box.exchange.cash(lena.wallet) - on.box.exchange.free(lena.wallet) == ONE


async def test_the_market_socket_tells_what_an_order_did_to_the_book() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        token = str(market.token_ids[0])
        socket = await on.open(on.box.urls.market)
        await socket.send_json({"assets_ids": [token], "type": "market"})
        assert [each["event_type"] for each in await heard(socket)] == ["book"]
        await lena.post(market, price=50_000, kind="GTC", shares=20 * ONE)
        (frame,) = await heard(socket)
        (change,) = frame["price_changes"]
        assert (change["price"], change["size"], change["side"]) == ("0.05", "20", "BUY")
        await lena.ask("DELETE", "/cancel-all")
        assert [each["price_changes"][0]["size"] for each in await heard(socket)] == ["0"]


async def test_an_order_that_was_filled_shows_as_the_wallets_trade_everywhere() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        posted = await lena.post(market, price=asks(on, market)[0])
        await on.box.exchange.settled()
        (trade,) = on.box.exchange.trades(posted["orderID"])
        (row,) = await on.rows("trades", user=lena.wallet.lower(), taker_only="false")
        assert row["transaction_hash"] == trade.tx_hash
        assert on.box.truth.held(lena.wallet.lower(), market.token_ids[0]) == 10 * ONE
