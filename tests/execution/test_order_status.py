"""What the chain says of an order, by scripted nodes; a real one is asked in tests/sandbox/exchange."""

from typing import Any

import pytest
from eth_utils.crypto import keccak

from execution.http import HttpDown
from execution.order_status import SELECTOR, OrdersOnChain
from execution.rpc import Rpc, RpcSettings
from ledger.system import SeededRandomness
from tests.doors import VirtualClock
from tests.execution.test_rpc import GOOD, ScriptedHttp, refusal

ORDER = "0x" + "ab" * 32
EXCHANGES = ("0x" + "e1" * 20, "0x" + "e2" * 20)
NOTHING, FILLED, IN_PART = (0, 0), (1, 0), (0, 7)


def told(*words: int) -> str:
    return "0x" + "".join(f"{word:064x}" for word in words)


def orders(*answers: Any) -> tuple[OrdersOnChain, ScriptedHttp]:
    clock, left = VirtualClock(), list(answers)
    http = ScriptedHttp(clock, good=lambda _method: left.pop(0))
    rpc = Rpc(http, clock, SeededRandomness(1), urls=[GOOD], settings=RpcSettings(chain_id=137, rest_s=0.0))
    return OrdersOnChain(rpc, EXCHANGES), http


def test_the_selector_is_that_of_its_signature() -> None:
    assert "0x" + keccak(text="orderStatus(bytes32)")[:4].hex() == SELECTOR


@pytest.mark.parametrize(
    ("first", "second", "has_fills"),
    [(NOTHING, NOTHING, False), (FILLED, NOTHING, True), (NOTHING, FILLED, True), (NOTHING, IN_PART, True)],
)
async def test_one_question_asks_every_exchange(first: Any, second: Any, has_fills: bool) -> None:
    chain, http = orders(told(*first), told(*second))
    assert await chain.has_fills(ORDER) is has_fills
    assert http.asked[-1][1] == ["eth_call", "eth_call"]


@pytest.mark.parametrize(
    "answer", ["0x", told(1), None, 7, HttpDown("gone"), refusal(3, "execution reverted"), refusal(-32602)]
)
async def test_what_is_no_answer_says_nothing(answer: Any) -> None:
    chain, _http = orders(answer, told(*NOTHING))
    assert await chain.has_fills(ORDER) is None


async def test_an_exchange_that_cannot_say_hides_no_fill_of_another() -> None:
    chain, _http = orders("0x", told(*FILLED))
    assert await chain.has_fills(ORDER) is True
