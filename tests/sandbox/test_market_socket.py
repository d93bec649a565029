"""The market channel: a snapshot for each new asset, changes that keep it right, trades without a wallet, lifecycle."""

import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from execution.sandbox.generator import WINDOW
from execution.sandbox.market_socket import PING_GRACE_MS
from execution.sandbox.markets import new_market
from tests.doors import VirtualClock
from tests.sandbox.stage import WAIT_S, Stage, stage


async def _listen(on: Stage, *tokens: int, **more: object) -> aiohttp.ClientWebSocketResponse:
    socket = await on.open(on.box.urls.market)
    await socket.send_json({"assets_ids": [str(each) for each in tokens], "type": "market", **more})
    return socket


async def _until_pong(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    await socket.send_str("PING")
    found = []
    while (text := await socket.receive_str(timeout=WAIT_S)) != "PONG":
        found.append(json.loads(text))
    return found


async def test_a_new_asset_brings_a_book_and_a_known_one_nothing() -> None:
    async with stage() as on:
        yes, no = on.box.markets[0].token_ids
        socket = await _listen(on, yes)
        assert [(each["event_type"], each["asset_id"]) for each in await _until_pong(socket)] == [("book", str(yes))]
        await socket.send_json({"operation": "subscribe", "assets_ids": [str(yes), str(no)]})
        assert [each["asset_id"] for each in await _until_pong(socket)] == [str(no)]
        await socket.send_json({"operation": "unsubscribe", "assets_ids": [str(yes)]})
        await socket.send_json({"operation": "subscribe", "assets_ids": [str(yes)]})
        assert [each["asset_id"] for each in await _until_pong(socket)] == [str(yes)]


async def test_snapshot_and_changes_together_are_the_book_at_every_moment() -> None:
    async with stage() as on:
        tokens = [token for market in on.box.markets for token in market.token_ids]
        socket = await _listen(on, *tokens)
        await on.box.play(200)
        books: dict[tuple[str, str], dict[Decimal, Decimal]] = {}
        for event in await _until_pong(socket):
            if event["event_type"] == "book":
                for side, name in (("BUY", "bids"), ("SELL", "asks")):
                    levels = {Decimal(each["price"]): Decimal(each["size"]) for each in event[name]}
                    books[event["asset_id"], side] = levels
            for change in event.get("price_changes", ()):
                levels = books[change["asset_id"], change["side"]]
                levels[Decimal(change["price"])] = Decimal(change["size"])
        for token in tokens:
            book = await on.get(f"{on.box.urls.clob}/book", token_id=token)
            for side, name in (("BUY", "bids"), ("SELL", "asks")):
                shown = {price: size for price, size in books[str(token), side].items() if size}
                assert shown == {Decimal(each["price"]): Decimal(each["size"]) for each in book[name]}


async def test_a_trade_is_told_with_its_transaction_and_without_a_wallet() -> None:
    async with stage() as on:
        trade = on.first_trade()
        socket = await _listen(on, trade["token_id"])
        await _until_pong(socket)
        event = await on.box.trade(**trade)
        (told,) = [each for each in await _until_pong(socket) if each["event_type"] == "last_trade_price"]
        assert (told["transaction_hash"], told["side"], told["size"]) == (event.settled.tx_hash, "BUY", "10")
        assert trade["wallet"] not in json.dumps(told)
        assert Decimal(told["price"]) % Decimal("0.01") == 0


async def test_other_assets_are_not_told() -> None:
    async with stage() as on:
        socket = await _listen(on, on.box.markets[1].token_ids[0])
        await _until_pong(socket)
        await on.box.trade(**on.first_trade())
        assert await _until_pong(socket) == []


async def test_openings_and_ends_are_told_to_who_asked_for_them() -> None:
    async with stage() as on:
        market = on.box.markets[0]
        told = await _listen(on, market.token_ids[0], custom_feature_enabled=True)
        plain = await _listen(on, market.token_ids[0])
        for socket in (told, plain):
            await _until_pong(socket)
        opened = await on.box.world.open(new_market(1, 77))
        await on.box.world.resolve(market, market.token_ids[1])
        first, second = await _until_pong(told)
        assert (first["event_type"], first["market"]) == ("new_market", opened.condition_id)
        assert (second["event_type"], second["winning_asset_id"]) == ("market_resolved", str(market.token_ids[1]))
        assert await _until_pong(plain) == []


async def test_a_finer_tick_is_told_for_both_tokens() -> None:
    async with stage() as on:
        windows = [each for each in on.box.markets if each.category == WINDOW]
        socket = await _listen(on, *windows[0].token_ids)
        ticks: list[dict[str, Any]] = []
        for _ in range(300):
            token = windows[0].token_ids[0]
            trade = {**on.first_trade(), "token_id": token, "shares_micros": 5_000_000}
            await on.box.trade(**trade)
            ticks = [each for each in await _until_pong(socket) if each["event_type"] == "tick_size_change"]
            if ticks:
                break
        assert {each["asset_id"] for each in ticks} == {str(token) for token in windows[0].token_ids}
        assert {(each["old_tick_size"], each["new_tick_size"]) for each in ticks} == {("0.01", "0.001")}
        size = await on.get(f"{on.box.urls.clob}/tick-size", token_id=windows[0].token_ids[0])
        assert size == {"minimum_tick_size": Decimal("0.001")}


async def test_a_socket_without_pings_is_reset() -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        socket = await _listen(on, on.box.markets[0].token_ids[0])
        await _until_pong(socket)
        clock.advance(PING_GRACE_MS / 1_000)
        await on.box.trade(**on.first_trade())
        assert (await socket.receive(timeout=WAIT_S)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


@pytest.mark.parametrize("words", ["nonsense", "[]", '{"assets_ids":"1","type":"market"}', '{"assets_ids":["1"]}'])
async def test_what_cannot_be_read_is_answered_so(words: str) -> None:
    async with stage() as on:
        socket = await on.open(on.box.urls.market)
        await socket.send_str(words)
        assert await socket.receive_str(timeout=WAIT_S) == "INVALID OPERATION"


@pytest.mark.parametrize("fault", ["market:silence", "market:freeze", "market:drop"])
async def test_a_silent_socket_still_answers_pings(fault: str) -> None:
    async with stage() as on:
        socket = await _listen(on, on.first_trade()["token_id"])
        await _until_pong(socket)
        await on.box.faults.apply(fault)
        await on.box.trade(**on.first_trade())
        assert await _until_pong(socket) == []


async def test_a_disconnect_cuts_the_socket() -> None:
    async with stage() as on:
        socket = await _listen(on, on.first_trade()["token_id"])
        await _until_pong(socket)
        await on.box.faults.apply("market:disconnect")
        assert (await socket.receive(timeout=WAIT_S)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
