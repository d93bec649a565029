"""The sandbox as a whole: one trade at every door, its own page, and nothing left when it is closed."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from execution.sandbox.faults import UnknownFault
from execution.sandbox.happenings import Happening, Settled
from execution.sandbox.markets import make_markets
from execution.sandbox.off_chain import OffChain
from execution.sandbox.sandbox import open_sandbox
from ledger.system import SeededRandomness, SystemClock
from tests.doors import VirtualClock
from tests.sandbox.stage import (
    ONE,
    QUIET,
    WAIT_S,
    frames_until_pong,
    shown_in_frames,
    shown_in_rows,
    stage,
    truth_of_trades,
)


async def test_every_unfaulted_door_shows_the_same_and_that_is_the_truth() -> None:
    async with stage(opening=True) as on:
        socket = await on.listen()
        await on.box.play(500)
        truth = truth_of_trades(on.box)
        assert shown_in_frames(await frames_until_pong(socket)) == truth
        assert shown_in_rows(await on.rows("trades", taker_only="false", limit=1_000)) == truth
        told = await on.get(f"{on.box.urls.control}/truth")
        by_page = {
            (each["wallet"], each["tx_hash"], each["token_id"], each["side"]): each["shares_micros"]
            for each in told["groups"]
            if each["kind"] == "TRADE"
        }
        assert by_page == dict(truth)


async def test_the_same_seed_is_the_same_world_and_another_run_has_other_transactions() -> None:
    truths = []
    for changes in ({}, {}, {"seed": 2}, {"run": "again"}):
        async with stage(VirtualClock(), opening=True, **changes) as on:
            await on.box.play(200)
            truths.append(on.box.truth.as_json())
    assert truths[0] == truths[1]
    assert truths[0] != truths[2]
    without_hashes = [[{**each, "tx_hash": ""} for each in _groups(truth)] for truth in (truths[0], truths[3])]
    assert without_hashes[0] == without_hashes[1]
    assert not {each["tx_hash"] for each in _groups(truths[0])} & {each["tx_hash"] for each in _groups(truths[3])}


def _groups(truth: Any) -> list[dict[str, Any]]:
    return list(truth["groups"])


async def test_leaders_hold_something_before_anybody_watches() -> None:
    async with stage(opening=True) as on:
        for leader in on.box.leaders:
            rows = (await on.get(f"{on.box.urls.data_api}/v2/positions", user=leader.wallet))["data"]
            assert [row["mergeable"] for row in rows] == [True, True]


async def test_it_plays_by_itself_at_its_rate() -> None:
    clock = VirtualClock()
    async with stage(clock, rate=1.0) as on:
        began = clock.monotonic_ms()
        socket = await on.listen()
        while on.box.activity.frames < 2_000:
            assert await socket.receive_str(timeout=WAIT_S)
        trades = sum(1 for key, _ in on.box.truth.rows() if key.wallet in {each.wallet for each in on.box.leaders})
        # Leaders make about 3 trades a second, now and then two of them in one.
        assert 2 < trades / (clock.monotonic_ms() - began) * 1_000 < 4.5


async def test_a_trade_can_be_made_to_happen_and_only_one_that_is_possible() -> None:
    async with stage() as on:
        trade = on.first_trade()
        event = await on.box.trade(**trade)
        assert on.box.truth.held(trade["wallet"], trade["token_id"]) == 10 * ONE
        resting = await on.box.trade(**{**trade, "side": "SELL", "maker": True})
        assert (event.number, resting.number) == (1, 2)
        assert on.box.truth.held(trade["wallet"], trade["token_id"]) == 0
        for change in ({"side": "SELL"}, {"token_id": 12345}):
            with pytest.raises(ValueError, match=r"hold|token"):
                await on.box.trade(**{**trade, **change})


async def test_the_page_tells_where_everything_is_and_what_has_happened() -> None:
    async with stage() as on:
        await on.box.play(10)
        told = await on.get(on.box.urls.control)
        assert told["environment"] == on.box.environment()
        assert [each["wallet"] for each in told["leaders"]] == [each.wallet for each in on.box.leaders]
        assert told["groups"] == len(on.box.truth.totals)


async def test_the_page_makes_things_happen() -> None:
    async with stage() as on:
        async with on.session.post(f"{on.box.urls.control}/steps", json={"count": 20}) as answer:
            assert 0 < (await answer.json())["happenings"] <= 22
        asked = {**on.first_trade(), "token_id": str(on.first_trade()["token_id"])}
        async with on.session.post(f"{on.box.urls.control}/trades", json=asked) as answer:
            made = await answer.json()
        wallet_truth = await on.get(f"{on.box.urls.control}/truth", wallet=asked["wallet"].upper().replace("0X", "0x"))
        assert made["tx_hash"] in {each["tx_hash"] for each in wallet_truth["groups"]}


@pytest.mark.parametrize(
    "body", [{"fault": "activity:drop=2"}, {"door": "activity", "kind": "drop", "count": 2}], ids=["words", "fields"]
)
async def test_the_page_sets_tells_and_lifts_faults(body: dict[str, object]) -> None:
    async with stage() as on:
        url = f"{on.box.urls.control}/faults"
        async with on.session.post(url, json=body) as answer:
            assert (await answer.json())["activity"]["set"] == [{"kind": "drop", "count": 2}]
        async with on.session.delete(url, params={"door": "activity"}) as answer:
            assert (await answer.json())["activity"]["set"] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("faults", {"fault": "nowhere:drop"}),
        ("faults", {"fault": "activity:nonsense"}),
        ("faults", {"door": "activity", "kind": "drop", "count": 0}),
        ("faults", {"door": "activity", "kind": "drop", "share_percent": 101}),
        ("faults", []),
        ("steps", {"count": 0}),
        ("trades", {"wallet": "0x1"}),
    ],
)
async def test_the_page_refuses_what_it_does_not_understand(path: str, body: object) -> None:
    async with stage() as on, on.session.post(f"{on.box.urls.control}/{path}", json=body) as answer:
        assert (answer.status, bool((await answer.json())["error"])) == (400, True)


async def test_faults_can_be_set_before_anything_happens() -> None:
    async with stage(faults=("activity:drop=1", "data-api:429")) as on:
        assert on.box.faults.doors["activity"].lasts("drop")
        assert (await on.ask(f"{on.box.urls.data_api}/v2/trades"))[0] == 429


async def test_an_unknown_fault_starts_nothing() -> None:
    with pytest.raises(UnknownFault):
        async with stage(faults=("activity:nonsense",)):
            raise AssertionError("it started")


async def test_a_client_that_does_not_read_is_closed_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("execution.sandbox.serving.WAITING_FRAMES_MAX", 10)
    async with stage() as on:
        socket = await on.listen()
        await on.box.play(300)  # without a turn for the writer: far more than ten frames wait
        while not socket.closed:
            await socket.receive(timeout=WAIT_S)
        assert socket.close_code == 1013
        other = await on.listen()
        await on.box.trade(**on.first_trade())
        assert await frames_until_pong(other)


async def test_nothing_is_left_when_it_is_closed() -> None:
    before = asyncio.all_tasks()
    async with stage(rate=5.0, noise=500, delay_factor=1.0, opening=True) as on:
        url = on.box.urls.control
        await on.listen()
        async with on.session.get(url) as answer:
            assert answer.status == 200
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1].split("/")[0]))


class _Broken(OffChain):
    async def settle(self, happening: Happening) -> Settled:
        raise RuntimeError("the chain is gone")


async def test_what_fails_in_the_background_is_told_and_raised_at_the_end() -> None:
    clock = SystemClock()
    with pytest.raises(RuntimeError, match="the chain is gone"):
        async with open_sandbox(
            clock, SeededRandomness, replace(QUIET, rate=1_000), settlement=_Broken(clock, 1)
        ) as box:
            await asyncio.wait_for(box.until_broken(), WAIT_S)


async def test_a_settlement_may_give_the_markets_their_ids() -> None:
    class OwnIds(OffChain):
        async def prepare(self, markets: Any) -> Any:
            return tuple(
                each.with_ids(f"0x{number:064x}", (2 * number, 2 * number + 1))
                for number, each in enumerate(markets, 1)
            )

    clock = SystemClock()
    async with open_sandbox(clock, SeededRandomness, QUIET, settlement=OwnIds(clock, 1)) as box:
        await box.play(50)
        assert {key.token_id for key, _ in box.truth.rows() if key.token_id is not None} <= set(range(2, 100))


def test_markets_have_distinct_ids() -> None:
    markets = make_markets(1)
    assert len({each.condition_id for each in markets}) == len(markets)
    assert len({token for each in markets for token in each.token_ids}) == 2 * len(markets)
