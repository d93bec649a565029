"""The user channel: each account hears of its own orders and trades, and of nobody else's."""

import json
from typing import Any

import aiohttp
import pytest

from tests.sandbox.exchange.traders import asks, bids, floor, hear, heard, session_trader, trader
from tests.sandbox.stage import ONE


def _kinds(frames: list[dict[str, Any]]) -> list[str]:
    return [f"{each['type']} {each['status']}" for each in frames]


async def test_an_order_and_its_trades_are_told_from_beginning_to_end() -> None:
    async with floor() as (on, lena):
        socket = await hear(on, lena)
        market = on.box.markets[0]
        posted = await lena.post(market, price=asks(on, market)[0])
        await on.box.exchange.settled()
        frames = await heard(socket)
        orders = [each for each in frames if each["event_type"] == "order"]
        trades = [each for each in frames if each["event_type"] == "trade"]
        assert _kinds(orders) == ["PLACEMENT LIVE", "UPDATE MATCHED"]
        assert _kinds(trades) == ["TRADE MATCHED", "TRADE MINED", "TRADE CONFIRMED"]
        assert {each["id"] for each in orders} == {posted["orderID"]}
        assert {each["taker_order_id"] for each in trades} == {posted["orderID"]}
        assert orders[-1]["size_matched"] == "10"


async def test_a_row_and_an_event_of_a_trade_say_the_same() -> None:
    async with floor() as (on, lena):
        socket = await hear(on, lena)
        market = on.box.markets[0]
        await lena.post(market, price=asks(on, market)[0])
        await on.box.exchange.settled()
        last = (await heard(socket))[-1]
        (row,) = await lena.rows("/data/trades")
        assert {name: last[name] for name in row} == row


async def test_a_cancelled_order_is_told() -> None:
    async with floor() as (on, lena):
        socket = await hear(on, lena)
        await lena.post(on.box.markets[0], price=50_000, shares=20 * ONE, kind="GTC")
        await lena.ask("DELETE", "/cancel-all")
        assert _kinds(await heard(socket)) == ["PLACEMENT LIVE", "CANCELLATION CANCELED"]


async def test_both_sides_of_a_trade_hear_of_it_and_nobody_else() -> None:
    async with floor() as (on, lena):
        fay, fred = await trader(on, 2), await trader(on, 3)
        sockets = [await hear(on, who) for who in (lena, fay, fred)]
        market = on.box.markets[0]
        on.box.board.take(market.token_ids[0], "BUY", asks(on, market)[1])
        price = bids(on, market)[0] + 10_000
        await lena.post(market, price=price, shares=20 * ONE, kind="GTC")
        await fay.post(market, price=ONE - price + 0, shares=20 * ONE, outcome=1)
        await on.box.exchange.settled()
        sides = [{each["trader_side"] for each in await heard(socket) if "trader_side" in each} for socket in sockets]
        assert sides == [{"MAKER"}, {"TAKER"}, set()]


async def test_a_session_hears_its_own_orders_and_the_owner_does_not() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        sockets = [await hear(on, who) for who in (session, lena)]
        await session.post(on.box.markets[0], price=50_000, shares=20 * ONE, kind="GTC")
        assert [len(await heard(socket)) for socket in sockets] == [1, 0]


async def test_a_socket_may_listen_to_some_markets_only() -> None:
    async with floor() as (on, lena):
        first, second = on.box.markets[:2]
        socket = await on.open(on.box.urls.user)
        await socket.send_json({**lena.greeting(), "markets": [second.condition_id]})
        await heard(socket)
        for market in (first, second):
            await lena.post(market, price=50_000, shares=20 * ONE, kind="GTC")
        assert {each["market"] for each in await heard(socket)} == {second.condition_id}


@pytest.mark.parametrize("wrong", [{"apiKey": "x"}, {"secret": "x"}, {"passphrase": "x"}])
async def test_wrong_credentials_end_the_connection(wrong: dict[str, str]) -> None:
    async with floor() as (on, lena):
        greeting = lena.greeting()
        greeting["auth"] |= wrong
        socket = await on.open(on.box.urls.user)
        await socket.send_str(json.dumps(greeting))
        message = await socket.receive(timeout=10)
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED)


async def test_what_is_no_request_is_answered_so() -> None:
    async with floor() as (on, _):
        socket = await on.open(on.box.urls.user)
        for text in ("nonsense", "[]", '{"operation": "dance"}'):
            await socket.send_str(text)
            assert await socket.receive_str(timeout=10) == "INVALID OPERATION"


async def test_a_revoked_session_loses_its_socket() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        mine, other = await hear(on, session), await hear(on, lena)
        on.box.exchange.revoke_session(session.wallet, session.address)
        message = await mine.receive(timeout=10)
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert await heard(other) == []
        again = await on.open(on.box.urls.user)
        await again.send_json(session.greeting())
        assert (await again.receive(timeout=10)).type is aiohttp.WSMsgType.CLOSE


async def test_events_can_be_lost_and_doubled() -> None:
    async with floor() as (on, lena):
        socket = await hear(on, lena)
        await on.box.faults.apply("user:drop=1")
        await on.box.faults.apply("user:duplicate=1")
        market = on.box.markets[0]
        for _ in range(3):
            await lena.post(market, price=50_000, shares=20 * ONE, kind="GTC")
        frames = [each["id"] for each in await heard(socket)]
        posted = [each.order_hash for each in on.box.exchange.orders()]
        assert frames == [posted[1], posted[1], posted[2]]


async def test_all_sockets_can_be_cut() -> None:
    async with floor() as (on, lena):
        socket = await hear(on, lena)
        assert on.box.exchange.users.connected(lena.address) == 1
        on.box.exchange.cut_users()
        assert (await socket.receive(timeout=10)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
