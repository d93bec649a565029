"""What concerns every account here is asked seldom, remembered, and None where nobody can say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from copytrading.accounts.place import AGAIN_MS, Place
from execution.http import SharedHttp
from execution.rpc import Rpc, RpcSettings
from ledger.system import SeededRandomness
from tests.doors import VirtualClock
from tests.execution.clob.clob_double import ClobDouble
from tests.execution.test_rpc import GOOD, ScriptedHttp

TIME, GEOBLOCK = "GET /time", "GET /geoblock"
WALLET = "0x" + "ab" * 20


@dataclass
class Scene:
    clock: VirtualClock
    double: ClobDouble
    place: Place

    def later(self) -> None:
        self.clock.advance(AGAIN_MS / 1_000)


@asynccontextmanager
async def scene(*, geoblock: bool = True) -> AsyncIterator[Scene]:
    clock, double, http = VirtualClock(), ClobDouble(), SharedHttp()
    try:
        async with double.serving(clock) as client:
            url = f"{double.url}/geoblock" if geoblock else ""
            yield Scene(clock, double, Place(client, http, clock, geoblock_url=url))
    finally:
        await http.close()


async def test_the_clock_is_compared_seldom_and_the_last_answer_stays_while_nobody_answers() -> None:
    async with scene() as on:
        assert await on.place.skew_s() is None
        on.double.reply(TIME, (200, int(on.clock.now().timestamp()) + 30))
        ahead = await on.place.skew_s()
        assert ahead is not None and 29 <= ahead <= 31
        assert (await on.place.skew_s(), len(on.double.to(TIME))) == (ahead, 2)
        on.double.reply(TIME, (500, {}))
        on.later()
        assert await on.place.skew_s() == ahead
        assert len(on.double.to(TIME)) == 3


@pytest.mark.parametrize(
    ("answer", "blocked"),
    [
        ((200, {"blocked": True}), True),
        ((200, {"blocked": False, "country": "IE"}), False),
        ((200, {"blocked": "no"}), None),
        ((200, [1]), None),
        ((200, b"<html>"), None),
        ((503, {"blocked": True}), None),
    ],
)
async def test_the_place_is_what_the_venue_says_in_so_many_words(answer: Any, blocked: bool | None) -> None:
    async with scene() as on:
        on.double.reply(GEOBLOCK, answer)
        assert await on.place.blocked() is blocked


async def test_the_place_is_asked_again_after_its_time_or_when_an_order_was_blocked() -> None:
    async with scene() as on:
        on.double.reply(GEOBLOCK, (200, {"blocked": False}), (200, {"blocked": True}))
        assert [await on.place.blocked() for _ in range(2)] == [False, False]
        on.place.look_again()
        assert await on.place.blocked() is True
        on.later()
        await on.place.blocked()
        assert len(on.double.to(GEOBLOCK)) == 3


async def test_without_somebody_to_ask_nothing_is_known_of_the_place() -> None:
    async with scene(geoblock=False) as on:
        assert (await on.place.blocked(), on.double.asked) == (None, [])


@pytest.mark.parametrize(
    ("code", "deployed", "questions"),
    [("0x6080", True, 1), ("0x", False, 2), ({"code": -32000, "message": "no"}, None, 2)],
    ids=["a contract", "nothing there", "no answer"],
)
async def test_a_wallet_is_asked_about_until_its_contract_is_there(
    code: Any, deployed: bool | None, questions: int
) -> None:
    clock = VirtualClock()
    nodes = ScriptedHttp(clock, good=lambda _method: code)
    rpc = Rpc(nodes, clock, SeededRandomness(1), urls=[GOOD], settings=RpcSettings(chain_id=137, rest_s=0.0))
    async with scene() as on:
        place = Place(on.place._client, on.place._http, clock, rpc=rpc)
        assert [await place.deployed(WALLET) for _ in range(2)] == [deployed, deployed]
    assert len([methods for _url, methods in nodes.asked if methods == ["eth_getCode"]]) == questions


async def test_without_a_node_nothing_is_known_of_a_wallet() -> None:
    async with scene() as on:
        assert await on.place.deployed(WALLET) is None
