"""The activity stream speaks RTDS: every leg, takers again, silence for whoever forgets to ping, and its faults."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from execution.sandbox.activity import LATENCY, PING_GRACE_MS, SUBSCRIPTION_MS
from execution.sandbox.happenings import Match
from ledger.system import SeededRandomness
from tests.doors import VirtualClock
from tests.sandbox.stage import (
    BOTH,
    WAIT_S,
    Stage,
    frames_until_pong,
    ping,
    shown_in_frames,
    stage,
    subscribe,
    truth_of_trades,
)


async def test_trades_show_every_leg_to_the_last_micro() -> None:
    async with stage() as on:
        socket = await on.listen()
        await on.box.play(300)
        assert shown_in_frames(await frames_until_pong(socket)) == truth_of_trades(on.box)


async def test_orders_matched_shows_the_taker_once_for_each_match() -> None:
    async with stage() as on:
        takers: list[tuple[str, str]] = []

        def heard(event: Any) -> None:
            if isinstance(event.happening, Match):
                takers.append((event.happening.legs[0].wallet, event.settled.tx_hash))

        on.box.world.listen(heard)
        socket = await on.listen("orders_matched")
        await on.box.play(100)
        frames = await frames_until_pong(socket)
        assert [(row["payload"]["proxyWallet"], row["payload"]["transactionHash"]) for row in frames] == takers
        assert {row["type"] for row in frames} == {"orders_matched"}


async def test_a_frame_has_the_fields_and_the_envelope_of_the_venue() -> None:
    async with stage() as on:
        socket = await on.listen("trades")
        event = await on.box.trade(**on.first_trade())
        frame = (await frames_until_pong(socket))[0]
        assert {name: frame[name] for name in ("topic", "type")} == {"topic": "activity", "type": "trades"}
        assert frame["timestamp"] >= event.matched_ms
        assert frame["connection_id"]
        payload = frame["payload"]
        assert payload["proxyWallet"] == on.box.leaders[0].wallet
        assert payload["asset"] == str(on.box.markets[0].token_ids[0])
        assert (payload["side"], payload["outcome"], payload["outcomeIndex"]) == ("BUY", "Yes", 0)
        assert (payload["timestamp"], payload["transactionHash"]) == (event.settled.block_time_s, event.settled.tx_hash)


async def test_numbers_carry_the_noise_of_floats_and_round_to_exact_micros() -> None:
    async with stage() as on:
        socket = await on.listen("trades")
        await on.box.play(400)
        sizes = [frame["payload"]["size"] for frame in await frames_until_pong(socket)]
        exact = [Decimal(each) == Decimal(each).quantize(Decimal("1E-6")) for each in sizes]
        assert 0 < exact.count(False) < len(exact) // 4


async def test_nothing_comes_before_a_subscription_or_after_its_end() -> None:
    async with stage() as on:
        socket = await on.open(on.box.urls.activity)
        await on.box.play(5)
        assert await ping(socket) == ""
        await subscribe(socket, *BOTH)
        ends = [{"topic": "activity", "type": each} for each in BOTH]
        await socket.send_json({"action": "unsubscribe", "subscriptions": ends})
        assert await ping(socket) == ""
        await on.box.play(5)
        assert await frames_until_pong(socket) == []


@pytest.mark.parametrize(
    ("subscriptions", "status"),
    [
        ([{"topic": "activity", "type": "trades"}, {"topic": "activity", "type": "nonsense"}], 401),
        ([{"topic": "activity", "type": "trades"}, {"topic": "nonsense", "type": "*"}], 401),
        ([{"topic": "clob_user", "type": "*"}], 400),
        ([], 400),
    ],
)
async def test_one_bad_subscription_poisons_the_whole_request(subscriptions: list[Any], status: int) -> None:
    async with stage() as on:
        socket = await on.open(on.box.urls.activity)
        await socket.send_json({"action": "subscribe", "subscriptions": subscriptions})
        answer = json.loads(await socket.receive_str(timeout=WAIT_S))
        assert answer["statusCode"] == status
        assert answer["body"]["message"]
        await on.box.play(5)
        assert await frames_until_pong(socket) == []


async def test_a_subscription_with_a_filter_shows_nothing() -> None:
    async with stage() as on:
        socket = await on.open(on.box.urls.activity)
        filters = json.dumps({"event_slug": on.box.markets[0].event_slug})
        asked = [{"topic": "activity", "type": "trades", "filters": filters}]
        await socket.send_json({"action": "subscribe", "subscriptions": asked})
        await on.box.play(20)
        assert await frames_until_pong(socket) == []


async def test_without_a_ping_the_stream_falls_silent_and_a_ping_wakes_it() -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        socket = await on.listen("trades")
        clock.advance(PING_GRACE_MS / 1_000)
        await on.box.trade(**on.first_trade())
        assert await ping(socket) == ""
        await on.box.trade(**on.first_trade())
        assert await frames_until_pong(socket)


async def test_a_subscription_stops_after_a_while_until_it_is_made_again() -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        socket = await on.listen("trades")
        clock.advance(SUBSCRIPTION_MS / 1_000)
        await ping(socket)
        await on.box.trade(**on.first_trade())
        assert await frames_until_pong(socket) == []
        await subscribe(socket, "trades")
        await on.box.trade(**on.first_trade())
        assert await frames_until_pong(socket)


def test_a_frame_comes_a_median_of_nineteen_tenths_of_a_second_after_the_match() -> None:
    chance = SeededRandomness(1)
    drawn = sorted(LATENCY.draw_ms(chance, 1.0) for _ in range(2_000))
    assert 1_850 < drawn[1_000] < 1_950
    assert 2_600 < drawn[1_800] < 2_900
    assert LATENCY.draw_ms(chance, 0.0) == 0


async def test_the_delay_shows_in_the_envelope() -> None:
    clock = VirtualClock()
    async with stage(clock, delay_factor=1.0) as on:
        socket = await on.listen("trades")
        event = await on.box.trade(**on.first_trade())
        frame = json.loads(await socket.receive_str(timeout=WAIT_S))
        assert 1_400 < frame["timestamp"] - event.matched_ms < 4_200


async def test_noise_comes_at_its_rate_from_wallets_that_are_no_part_of_the_truth() -> None:
    clock = VirtualClock()
    async with stage(clock, noise=5_000) as on:
        socket = await on.listen()
        frames = [json.loads(await socket.receive_str(timeout=WAIT_S)) for _ in range(2_000)]
        assert not {frame["payload"]["proxyWallet"] for frame in frames} & set(on.box.truth.holdings)
        assert len({frame["payload"]["transactionHash"] for frame in frames}) == len(frames)
        assert {frame["type"] for frame in frames} == set(BOTH)
        # 2,000 frames are 400 ms of 5,000 a second.
        assert 350 <= frames[-1]["timestamp"] - frames[0]["timestamp"] <= 450


async def _after(on: Stage, fault: str, steps: int = 20) -> tuple[list[Any], list[Any]]:
    """What a listener heard under a fault, and what another sandbox without it shows of the same happenings."""
    socket = await on.listen()
    await on.box.faults.apply(fault)
    await on.box.play(steps)
    heard = await frames_until_pong(socket)
    async with stage() as calm:
        other = await calm.listen()
        await calm.box.play(steps)
        return _names(heard), _names(await frames_until_pong(other))


def _names(frames: list[Any]) -> list[tuple[str, ...]]:
    """Frames without what differs by the second in which a test runs."""
    fields = ("transactionHash", "proxyWallet", "asset", "size")
    return [(frame["type"], *(str(frame["payload"][name]) for name in fields)) for frame in frames]


async def test_drop_the_next_three_loses_exactly_them() -> None:
    async with stage() as on:
        heard, everything = await _after(on, "activity:drop=3")
        assert heard == everything[3:]
        assert on.box.faults.doors["activity"].struck["drop"] == 3


async def test_a_share_is_dropped_of_every_hundred_frames() -> None:
    async with stage() as on:
        heard, everything = await _after(on, "activity:drop=20%", steps=100)
        hundreds = len(everything) // 100
        assert 20 * hundreds <= len(everything) - len(heard) <= 20 * hundreds + 20


async def test_duplicates_are_the_same_frame_twice() -> None:
    async with stage() as on:
        socket = await on.listen("trades")
        await on.box.faults.apply("activity:duplicate")
        await on.box.trade(**on.first_trade())
        frames = await frames_until_pong(socket)
        assert frames[0::2] == frames[1::2]


async def test_reordered_frames_are_swapped_and_none_is_lost() -> None:
    async with stage() as on:
        heard, everything = await _after(on, "activity:reorder=1")
        assert heard == [everything[1], everything[0], *everything[2:]]


async def test_a_delayed_frame_comes_with_its_old_time() -> None:
    clock = VirtualClock()
    async with stage(clock) as on:
        socket = await on.listen("trades")
        await on.box.faults.apply("activity:delay=300s")
        event = await on.box.trade(**on.first_trade())
        frame = json.loads(await socket.receive_str(timeout=WAIT_S))
        assert frame["timestamp"] == event.matched_ms
        assert on.box.world.now_ms() - frame["timestamp"] >= 300_000


async def test_silence_answers_pings_shows_nothing_and_closes_nothing() -> None:
    async with stage() as on:
        socket = await on.listen()
        await on.box.faults.apply("activity:silence")
        await on.box.play(20)
        assert await frames_until_pong(socket) == []
        on.box.faults.lift("activity")
        await on.box.trade(**on.first_trade())
        assert await frames_until_pong(socket)


async def test_frozen_sockets_wake_up_when_they_subscribe_again() -> None:
    async with stage() as on:
        socket = await on.listen("trades")
        await on.box.faults.apply("activity:freeze")
        await on.box.trade(**on.first_trade())
        assert await frames_until_pong(socket) == []
        await subscribe(socket, "trades")
        await on.box.trade(**on.first_trade())
        assert await frames_until_pong(socket)


async def test_a_half_open_socket_neither_answers_nor_closes() -> None:
    async with stage() as on:
        socket = await on.listen()
        await on.box.faults.apply("activity:half-open")
        await socket.send_str("PING")
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.05)
        assert not socket.closed


async def test_a_half_open_door_accepts_and_never_answers() -> None:
    async with stage() as on:
        await on.box.faults.apply("activity:half-open")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(on.session.ws_connect(on.box.urls.activity), 0.05)


async def test_a_disconnect_cuts_every_socket_and_lets_them_come_back() -> None:
    async with stage() as on:
        socket = await on.listen()
        await on.box.faults.apply("activity:disconnect")
        assert (await socket.receive(timeout=WAIT_S)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert await ping(await on.open(on.box.urls.activity)) == ""


@pytest.mark.parametrize(("kind", "status"), [("429", 429), ("5xx", 503)])
async def test_a_handshake_can_be_refused(kind: str, status: int) -> None:
    async with stage() as on:
        await on.box.faults.apply(f"activity:{kind}=1")
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await on.open(on.box.urls.activity)
        assert refused.value.status == status
        assert await ping(await on.open(on.box.urls.activity)) == ""
