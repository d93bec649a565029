"""What the venue takes, in its own words: each rule on an order's numbers, and each kind of order."""

import json
from pathlib import Path
from typing import Any

import pytest

from execution.sandbox.exchange import refusals
from execution.sandbox.exchange.floor import Floor
from tests.sandbox.exchange.traders import PLENTY, asks, bids, floor, trader
from tests.sandbox.stage import ONE

HASH = "0x" + "ab" * 32


async def test_a_fak_order_takes_what_there_is_at_its_price() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        price, offered = asks(on, market)
        posted = await lena.post(market, price=price, shares=(offered // ONE + 100) * ONE)
        assert (posted["status"], posted["success"], posted["errorMsg"]) == ("matched", True, "")
        truth = on.box.exchange.order(posted["orderID"])
        assert truth is not None
        assert (truth.filled_micros, truth.got_micros) == (offered, offered)
        assert truth.spent_micros == offered * price // ONE
        assert await lena.rows("/data/orders") == []


async def test_amounts_of_an_answer_are_texts_of_what_was_matched() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        price = asks(on, market)[0]
        posted = await lena.post(market, price=price)
        assert posted["takingAmount"] == "10"
        assert int(float(posted["makingAmount"]) * ONE) == price * 10
        assert (posted["transactionsHashes"], len(posted["tradeIDs"])) == ([], 1)


async def test_a_better_price_than_asked_for_is_given() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        price = asks(on, market)[0]
        posted = await lena.post(market, price=price + 20_000)
        truth = on.box.exchange.order(posted["orderID"])
        assert truth is not None
        assert truth.spent_micros == 10 * price


async def test_an_order_that_walks_the_book_has_a_trade_for_each_price() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        price, offered = asks(on, market)
        shares = (offered // ONE + 10) * ONE
        posted = await lena.post(market, price=price + 10_000, shares=shares)
        trades = on.box.exchange.trades(posted["orderID"])
        assert [each.trade_id for each in trades] == posted["tradeIDs"]
        assert [each.shares_micros for each in trades] == [offered, shares - offered]


async def test_a_fok_order_is_filled_whole_or_killed() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        price, offered = asks(on, market)
        refused = await lena.refused(market, price=price, shares=(offered // ONE + 100) * ONE, kind="FOK")
        assert refused == (400, refusals.NOT_FILLED_FOK)
        assert on.box.exchange.orders() == ()
        assert asks(on, market) == (price, offered)
        assert (await lena.post(market, price=price, kind="FOK"))["status"] == "matched"


async def test_a_fak_order_that_meets_nobody_is_killed() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        assert await lena.refused(market, price=50_000, shares=100 * ONE) == (400, refusals.NOT_FILLED_FAK)


async def test_what_a_gtc_order_does_not_get_rests_and_shows_in_the_book() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        price, offered = asks(on, market)
        shares = (offered // ONE + 100) * ONE
        posted = await lena.post(market, price=price, shares=shares, kind="GTC")
        row = await lena.get(f"/data/order/{posted['orderID']}")
        assert (row["status"], int(float(row["size_matched"]) * ONE)) == ("LIVE", offered)
        assert bids(on, market) == (price, shares - offered)
        await lena.ask("DELETE", "/order", {"orderID": posted["orderID"]})
        assert bids(on, market)[0] < price


async def test_an_open_order_holds_its_money_back() -> None:
    async with floor() as (on, lena):
        box, market = on.box, on.box.markets[0]
        posted = await lena.post(market, price=50_000, shares=100 * ONE, kind="GTC")
        assert box.exchange.free(lena.wallet) == PLENTY - 5 * ONE
        assert box.exchange.cash(lena.wallet) == PLENTY
        await lena.ask("DELETE", "/order", {"orderID": posted["orderID"]})
        assert box.exchange.free(lena.wallet) == PLENTY


RULES: list[tuple[dict[str, Any], str]] = [
    ({"price": 505_000, "shares": 10 * ONE, "kind": "GTC"}, "Price (0.505) breaks minimum tick size rule: 0.01"),
    ({"price": 505_000, "shares": 20 * ONE}, "Price (0.505) breaks minimum tick size rule: 0.01"),
    ({"price": ONE, "shares": 20 * ONE}, "Price (1) breaks minimum tick size rule: 0.01"),
    ({"price": 50_000, "shares": 4 * ONE, "kind": "GTC"}, "Size (4) lower than the minimum: 5"),
    ({"price": 50_000, "shares": 20 * ONE, "kind": "GTD", "expiration": 5}, "invalid expiration"),
    ({"price": 50_000, "shares": 20 * ONE, "kind": "GTD"}, "invalid expiration"),
    ({"price": 50_000, "shares": 20 * ONE, "kind": "GTC", "expiration": 2_000_000_000}, "invalid expiration"),
    ({"price": 990_000, "shares": 88 * ONE // 100 + 120_000, "kind": "FAK"}, "min size: $1"),
    ({"price": 990_000, "shares": 20 * ONE, "kind": "GTC", "post_only": True}, "order crosses book"),
    ({"price": 50_000, "shares": 20 * ONE, "kind": "FAK", "post_only": True}, "Invalid order payload"),
    ({"price": 510_000, "shares": 1_110_000}, "supports a max accuracy of 2 decimals, taker amount a max of 4"),
]


@pytest.mark.parametrize(("order", "text"), RULES)
async def test_an_order_against_the_rules_is_refused_with_the_venues_words(order: dict[str, Any], text: str) -> None:
    async with floor() as (on, lena):
        status, told = await lena.refused(on.box.markets[0], **order)
        assert (status, text in told) == (400, True), told
        assert on.box.exchange.orders() == ()


async def test_the_same_order_twice_is_a_duplicate() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        body = lena.body(market, price=asks(on, market)[0])
        _, first, _ = await lena.ask("POST", "/order", body)
        status, second, _ = await lena.ask("POST", "/order", body)
        assert (status, second) == (400, {"error": f"order {first['orderID']} is invalid. Duplicated."})
        assert on.box.exchange.received[first["orderID"]] == 2
        assert len(on.box.exchange.orders()) == 1


async def test_a_killed_order_may_come_again() -> None:
    async with floor() as (on, lena):
        body = lena.body(on.box.markets[0], price=50_000, shares=100 * ONE)
        for _ in range(2):
            assert (await lena.ask("POST", "/order", body))[1] == {"error": refusals.NOT_FILLED_FAK}


async def test_a_buyer_needs_the_money_and_the_fee() -> None:
    async with floor() as (on, _):
        market = on.box.markets[0]
        price = asks(on, market)[0]
        fay = await trader(on, 2, pusd=10 * price)
        status, told = await fay.refused(market, price=price)
        assert status == 400
        assert told.startswith("not enough balance / allowance: the balance is not enough -> balance: ")
        on.box.exchange.fund(fay.wallet, ONE)
        assert (await fay.post(market, price=price))["status"] == "matched"


async def test_a_seller_needs_the_shares_and_the_approval() -> None:
    async with floor() as (on, lena):
        box, market = on.box, on.box.markets[0]
        price, token = bids(on, market)[0], market.token_ids[0]
        assert "balance" in (await lena.refused(market, price=price, side="SELL"))[1]
        await box.exchange.give(lena.wallet, token, 10 * ONE)
        box.exchange.allow(lena.wallet, 0)
        assert "the allowance is not enough" in (await lena.refused(market, price=price, side="SELL"))[1]
        box.exchange.allow(lena.wallet)
        posted = await lena.post(market, price=price, side="SELL")
        await box.exchange.settled()
        assert posted["makingAmount"] == "10"
        assert box.exchange.shares(lena.wallet, token) == 0


async def test_an_allowance_shrinks_by_what_it_paid_for() -> None:
    async with floor() as (on, lena):
        box, market = on.box, on.box.markets[0]
        box.exchange.allow(lena.wallet, 100 * ONE)
        posted = await lena.post(market, price=asks(on, market)[0])
        await box.exchange.settled()
        (trade,) = box.exchange.trades(posted["orderID"])
        told = await lena.get("/balance-allowance", asset_type="COLLATERAL", signature_type="0")
        left = 100 * ONE - trade.cash_micros - trade.fee_micros
        assert str(left) in told["allowances"].values()


async def test_a_tick_that_became_finer_is_taken() -> None:
    async with floor() as (on, lena):
        market = next(each for each in on.box.markets if each.tick_micros == 1_000)
        posted = await lena.post(market, price=50_000 + 1_000, shares=20 * ONE, kind="GTC")
        assert posted["status"] == "live"


async def test_an_unknown_or_ended_token_has_no_book() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        body = lena.body(market, price=asks(on, market)[0])
        await on.box.world.resolve(market, market.token_ids[0])
        told = (await lena.ask("POST", "/order", body))[1]["error"]
        assert told == f"the orderbook {market.token_ids[0]} does not exist"


async def test_accounts_and_markets_can_be_stopped() -> None:
    async with floor() as (on, lena):
        exchange, market = on.box.exchange, on.box.markets[0]
        price = asks(on, market)[0]
        exchange.close_only(lena.address)
        assert "closed only mode" in (await lena.refused(market, price=price))[1]
        assert await lena.get("/auth/ban-status/closed-only") == {"closed_only": True}
        exchange.close_only(lena.address, closed=False)
        exchange.ban(lena.address)
        assert (await lena.refused(market, price=price))[1] == f"'{lena.address}' address banned"
        exchange.ban(lena.address, banned=False)
        exchange.stop_market(market.condition_id)
        assert (await lena.refused(market, price=price))[1] == refusals.NOT_READY


async def test_a_batch_is_answered_leg_by_leg_in_its_order() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        bodies = [lena.body(market, price=50_000, kind="GTC", shares=shares * ONE) for shares in (20, 4, 30)]
        status, legs, _ = await lena.ask("POST", "/orders", bodies)
        assert (status, [bool(leg["orderID"]) for leg in legs]) == (200, [True, False, True])
        assert [leg["success"] for leg in legs] == [True, True, True]
        assert "lower than the minimum" in legs[1]["errorMsg"]


async def test_a_batch_has_an_end() -> None:
    async with floor() as (on, lena):
        bodies = [lena.body(on.box.markets[0], price=50_000, kind="GTC", shares=20 * ONE)] * 16
        told = (await lena.ask("POST", "/orders", bodies))[1]
        assert told == {"error": "Too many orders in payload: 16, max allowed: 15"}


async def test_pages_of_orders_and_trades_follow_the_cursor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution.sandbox.exchange.words.PAGE_ROWS", 2)
    async with floor() as (on, lena):
        market = on.box.markets[0]
        for _ in range(5):
            await lena.post(market, price=50_000, kind="GTC", shares=20 * ONE)
        first = await lena.get("/data/orders", next_cursor="MA==")
        assert (first["count"], first["next_cursor"]) == (2, "Mg==")
        assert len({row["id"] for row in await lena.rows("/data/orders")}) == 5
        assert (await lena.ask("GET", "/data/orders", next_cursor="x"))[0] == 400


async def test_trades_are_found_by_their_time_and_their_names() -> None:
    async with floor() as (on, lena):
        market, other = on.box.markets[0], on.box.markets[1]
        posted = await lena.post(market, price=asks(on, market)[0])
        await lena.post(other, price=asks(on, other)[0])
        now_s = on.box.world.now_ms() // 1_000
        assert len(await lena.rows("/data/trades")) == 2
        assert [row["taker_order_id"] for row in await lena.rows("/data/trades", market=market.condition_id)] == [
            posted["orderID"]
        ]
        assert len(await lena.rows("/data/trades", after=str(now_s - 100), before=str(now_s + 100))) == 2
        assert await lena.rows("/data/trades", before=str(now_s - 100)) == []
        assert len(await lena.rows("/data/trades", maker_address=lena.wallet)) == 2
        assert await lena.rows("/data/trades", maker_address="0x" + "12" * 20) == []


async def test_balances_are_those_of_the_wallet_that_the_key_trades_for() -> None:
    async with floor() as (on, lena):
        wallet, token = "0x" + "5a" * 20, on.box.markets[0].token_ids[0]
        on.box.exchange.register_wallet(wallet, lena.address, signature_type=2)
        on.box.exchange.fund(wallet, 7 * ONE, approve=False)
        await on.box.exchange.give(wallet, token, 3 * ONE)
        cash = await lena.get("/balance-allowance", asset_type="COLLATERAL", signature_type="2")
        assert (cash["balance"], set(cash["allowances"].values())) == (str(7 * ONE), {"0"})
        for kind in ("CONDITIONAL", "CONDITIONAL-V2"):
            shares = await lena.get("/balance-allowance", asset_type=kind, token_id=str(token), signature_type="2")
            assert shares["balance"] == str(3 * ONE)
        assert (await lena.ask("GET", "/balance-allowance", asset_type="GOLD"))[0] == 400


async def test_whoever_stops_his_heartbeats_loses_his_orders() -> None:
    async with floor() as (on, lena):
        first = await lena.ask("POST", "/v1/heartbeats", {"heartbeat_id": ""})
        status, told, _ = await lena.ask("POST", "/v1/heartbeats", {"heartbeat_id": "wrong"})
        assert (status, told["error"]) == (400, "Invalid Heartbeat ID")
        assert told["heartbeat_id"] == first[1]["heartbeat_id"]
        assert (await lena.ask("POST", "/v1/heartbeats", first[1]))[0] == 200
        posted = await lena.post(on.box.markets[0], price=50_000, kind="GTC", shares=20 * ONE)
        on.box.exchange.miss_heartbeats(lena.address)
        assert _status(on.box.exchange.floor, posted["orderID"]) == "CANCELED"


async def test_a_gtd_order_ends_a_minute_before_its_time() -> None:
    async with floor() as (on, lena):
        ends_s = on.box.world.now_ms() // 1_000 + 300
        posted = await lena.post(on.box.markets[0], price=50_000, kind="GTD", shares=20 * ONE, expiration=ends_s)
        on.box.exchange.floor.expire(ends_s - 61)
        assert _status(on.box.exchange.floor, posted["orderID"]) == "LIVE"
        on.box.exchange.floor.expire(ends_s - 60)
        assert _status(on.box.exchange.floor, posted["orderID"]) == "CANCELED_EXPIRED_ORDER"


def _status(place: Floor, order_hash: str) -> str:
    return place.orders[order_hash].status


def _texts() -> set[str]:
    """Every text that the sandbox can answer, with the numbers of the recorded ones."""
    plain = {value for name, value in vars(refusals).items() if name.isupper() and isinstance(value, str)}
    made = (
        refusals.duplicated("{id}"),
        refusals.too_small("{id}", 4 * ONE, 5 * ONE),
        refusals.too_little_money(880_000),
        refusals.too_fine("BUY", 4),
        refusals.not_enough("balance", 0, open_orders_micros=0, order_micros=1),
    )
    return plain | {each.text for each in made} | {"order {id} is invalid. Price ({price}) breaks minimum"}


SPOKEN_ELSEWHERE = ("No orderbook exists", "Request exception!", "matching engine restarting", "error code: 1015")
"""Of the public doors, of a client's own making, or in other words for what the sandbox says with 425."""

NOT_BELIEVED = ("invalid amount for a marketable SELL order", "ws user channel")
"""A third party's literal that nobody saw; a status that is an event."""


def test_the_recorded_texts_of_order_errors_are_spoken(shared_data: Path) -> None:
    rows = json.loads((shared_data / "errors" / "clob_errors.json").read_text())
    for row in rows:
        body = row["body"]["error"] if isinstance(row["body"], dict) else row["body"]
        if body is None or body.startswith((*SPOKEN_ELSEWHERE, *NOT_BELIEVED)):
            continue
        assert any(body.startswith(text) or text.startswith(body) for text in _texts()), body
