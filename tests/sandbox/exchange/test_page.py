"""The control of the private CLOB over HTTP, for who runs the sandbox in another process."""

from typing import Any

import pytest

from execution.sandbox.exchange.order_door import Mode
from tests.sandbox.exchange.traders import DEPOSIT_WALLET, PLENTY, asks, floor
from tests.sandbox.stage import ONE, Stage


async def _do(on: Stage, *verbs: dict[str, Any]) -> tuple[int, Any]:
    url = on.box.urls.control + "/exchange"
    async with on.session.post(url, json=verbs[0] if len(verbs) == 1 else list(verbs)) as answer:
        return answer.status, await answer.json()


async def test_a_stage_is_set_in_one_request() -> None:
    async with floor() as (on, lena):
        token = on.box.markets[0].token_ids[0]
        done = await _do(
            on,
            {"do": "fund", "wallet": DEPOSIT_WALLET, "pusd_micros": 5 * ONE},
            {"do": "give", "wallet": DEPOSIT_WALLET, "token_id": str(token), "shares_micros": 7 * ONE},
            {"do": "register_wallet", "wallet": DEPOSIT_WALLET, "owner": lena.address},
            {"do": "authorize_session", "wallet": DEPOSIT_WALLET, "session": "0x" + "ee" * 20, "valid_until_s": 5},
            {"do": "set_tier", "address": lena.address, "tier": "Gold"},
            {"do": "set_times", "broadcast_ms": 1, "mined_ms": 2, "confirmed_ms": 3},
            {"do": "set_mode", "mode": "CANCEL_ONLY"},
        )
        assert done == (200, {"done": True})
        exchange = on.box.exchange
        assert (exchange.cash(DEPOSIT_WALLET), exchange.shares(DEPOSIT_WALLET, token)) == (5 * ONE, 7 * ONE)
        assert (exchange.mode, exchange.times.mined_ms) == (Mode.CANCEL_ONLY, 2)


@pytest.mark.parametrize(
    "verb",
    [
        *({"do": "dance"}, {"do": "fund"}, {"do": "set_mode", "mode": "ASLEEP"}, {}),
        {"do": "give_pol", "wallet": DEPOSIT_WALLET},  # there is no chain
    ],
)
async def test_what_is_no_verb_is_refused_with_a_sentence(verb: dict[str, Any]) -> None:
    async with floor() as (on, _):
        status, told = await _do(on, verb)
        assert (status, bool(told["error"])) == (400, True)


async def test_the_truth_is_told_as_a_whole_and_of_one_order() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        posted = await lena.post(market, price=asks(on, market)[0])
        await _do(on, {"do": "settled"})
        url = on.box.urls.control + "/exchange"
        whole = await on.get(url)
        assert whole["requests"]["POST /order"] == 1
        assert [each["order_hash"] for each in whole["orders"]] == [posted["orderID"]]
        one = await on.get(url, order=posted["orderID"])
        assert (one["order"]["status"], one["received"]) == ("MATCHED", 1)
        (trade,) = one["trades"]
        assert trade["status"] == "CONFIRMED"
        assert on.box.exchange.cash(lena.wallet) == PLENTY - trade["cash_micros"] - trade["fee_micros"]
