import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from execution.http import Answer, HttpDown, MayLeave
from execution.rpc import (
    BATCH_MAX,
    Call,
    NodeRefused,
    NodesBehind,
    NodeUrls,
    NoNode,
    RangeTooWide,
    Rpc,
    RpcSettings,
    name_of,
    read_urls,
)
from execution.rpc_health import Node, in_order
from ledger.system import SeededRandomness
from tests.doors import VirtualClock

GOOD, OTHER = "https://good.example/key", "https://other.example/key"
Frame = dict[str, Any]


class ScriptedHttp:
    """`Http` whose nodes are functions from a method to a result, an error object, or an exception."""

    def __init__(self, clock: VirtualClock, **nodes: Callable[[str], Any]) -> None:
        self._clock = clock
        self.nodes = {f"https://{name}.example/key": node for name, node in nodes.items()}
        self.asked: list[tuple[str, list[str]]] = []
        self.takes_s = dict.fromkeys(self.nodes, 0.0)

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        may_leave: MayLeave | None = None,
    ) -> Answer:
        told = json.loads(body)
        frames: list[Frame] = told if isinstance(told, list) else [told]
        self.asked.append((url, [frame["method"] for frame in frames]))
        self._clock.advance(self.takes_s[url])
        answers = []
        for frame in frames:
            result = "0x89" if frame["method"] == "eth_chainId" else self.nodes[url](frame["method"])
            if isinstance(result, Answer):
                return result
            if isinstance(result, Exception):
                raise result
            key = "error" if isinstance(result, dict) and "code" in result else "result"
            answers.append({"jsonrpc": "2.0", "id": frame["id"], key: result})
        return answer(answers if isinstance(told, list) else answers[0])

    async def get(self, url: str, *, query: Mapping[str, str] | None = None, timeout_s: float) -> Answer:
        raise AssertionError("a node is never asked by GET")

    async def close(self) -> None: ...

    def urls(self) -> list[str]:
        """Who was asked, but for the question who they are."""
        return [url for url, methods in self.asked if methods != ["eth_chainId"]]


def answer(value: object, status: int = 200, **headers: str) -> Answer:
    return Answer(status=status, headers=headers, body=json.dumps(value).encode())


def refusal(code: int, message: str = "no") -> dict[str, Any]:
    return {"code": code, "message": message}


class Asking:
    """Two nodes, the good one second in line."""

    def __init__(self, first: Callable[[str], Any], second: Callable[[str], Any] = lambda _method: "0x2") -> None:
        self.clock = VirtualClock()
        self.http = ScriptedHttp(self.clock, good=first, other=second)
        settings = RpcSettings(chain_id=137, rest_s=1.0)
        self.rpc = Rpc(self.http, self.clock, SeededRandomness(1), urls=[GOOD, OTHER], settings=settings)


async def test_the_first_node_answers_while_it_is_well() -> None:
    asking = Asking(lambda _method: "0x1")
    assert await asking.rpc.call("eth_blockNumber") == "0x1"
    assert asking.http.urls() == [GOOD]


@pytest.mark.parametrize(
    "trouble",
    [
        HttpDown("refused"),
        Answer(status=502, headers={}, body=b"<html>"),
        Answer(status=200, headers={}, body=b"[]"),
        answer({}, status=429),
        refusal(-32005, "daily request count exceeded"),
        refusal(-32000, "rate limit reached"),
        refusal(-32603, "internal error"),
    ],
    ids=str,
)
async def test_a_node_in_trouble_is_left_for_the_next_and_rests(trouble: object) -> None:
    asking = Asking(lambda _method: trouble)
    assert await asking.rpc.call("eth_blockNumber") == "0x2"
    assert await asking.rpc.call("eth_blockNumber") == "0x2"
    assert asking.http.urls() == [GOOD, OTHER, OTHER]


async def test_a_node_that_rested_is_asked_again() -> None:
    asking = Asking(lambda _method: HttpDown("reset"))
    await asking.rpc.call("eth_blockNumber")
    asking.http.nodes[GOOD] = lambda _method: "0x1"
    asking.http.nodes[OTHER] = lambda _method: HttpDown("reset")
    asking.clock.advance(5)
    assert await asking.rpc.call("eth_blockNumber") == "0x1"


@pytest.mark.parametrize(("retry_after", "rests_s"), [("7", 7), ("86400", 60)])
async def test_a_node_rests_as_long_as_it_asks_for_but_not_for_ever(retry_after: str, rests_s: int) -> None:
    limited = answer({}, 429, **{"retry-after": retry_after})
    asking = Asking(lambda _method: limited)
    await asking.rpc.call("eth_blockNumber")
    asking.http.nodes[GOOD] = lambda _method: "0x1"
    asking.http.nodes[OTHER] = lambda _method: HttpDown("reset")
    asking.clock.advance(rests_s - 0.1)
    before = len(asking.http.asked)
    await asking.rpc.call("eth_blockNumber")
    assert asking.http.asked[before][0] == OTHER, "still resting, so asked last"


async def test_nobody_left_is_one_error_without_an_address() -> None:
    asking = Asking(lambda _method: HttpDown("reset"), lambda _method: HttpDown("reset"))
    with pytest.raises(NoNode, match=r"other\.example") as told:
        await asking.rpc.call("eth_blockNumber")
    assert "key" not in str(told.value)


async def test_a_node_of_another_chain_is_refused_for_good() -> None:
    asking = Asking(lambda _method: "0x1")
    asking.http.nodes[GOOD] = lambda _method: "0x1"
    wrong = ScriptedHttp(asking.clock, good=lambda _method: "0x1")
    settings = RpcSettings(chain_id=80002)
    rpc = Rpc(wrong, asking.clock, SeededRandomness(1), urls=[GOOD], settings=settings)
    for _ in range(2):
        with pytest.raises(NoNode):
            await rpc.call("eth_blockNumber")
    assert wrong.asked == [(GOOD, ["eth_chainId"])]
    assert rpc.told()[0].refused == "It is on chain 137 and not on 80002."


@pytest.mark.parametrize("lacks", [None, refusal(-32000, "unknown block")])
async def test_a_node_that_lacks_it_yields_to_one_that_has_it(lacks: object) -> None:
    asking = Asking(lambda _method: lacks)
    assert await asking.rpc.call("eth_getBlockByHash", "0x", must_exist=True) == "0x2"
    assert await asking.rpc.call("eth_getBlockByHash", "0x", must_exist=True) == "0x2"
    assert asking.http.urls() == [GOOD, OTHER, GOOD, OTHER], "to lack something is no failure"


async def test_what_no_node_has_is_told_apart_from_no_answer() -> None:
    asking = Asking(lambda _method: None, lambda _method: HttpDown("reset"))
    with pytest.raises(NodesBehind):
        await asking.rpc.call("eth_getBlockByHash", "0x", must_exist=True)


async def test_null_is_an_answer_where_nothing_need_exist() -> None:
    asking = Asking(lambda _method: None)
    assert await asking.rpc.call("eth_getTransactionReceipt", "0x") is None
    assert asking.http.urls() == [GOOD]


@pytest.mark.parametrize(
    "message",
    [
        "query returned more than 10000 results",
        "eth_getLogs block range is too wide",
        "Log response size exceeded",
        "exceed maximum block range: 50000",
        "requested too many blocks from 1 to 9, maximum is set to 2",
        "eth_getLogs is limited to 1000 blocks",
    ],
)
@pytest.mark.parametrize("code", [-32005, -32000, -32602])
async def test_a_range_that_is_too_wide_is_told_at_once_and_nobody_rests(message: str, code: int) -> None:
    asking = Asking(lambda _method: refusal(code, message))
    with pytest.raises(RangeTooWide):
        await asking.rpc.call("eth_getLogs", {})
    assert asking.http.urls() == [GOOD]
    assert asking.rpc.told()[0].failed == 0


async def test_wrong_parameters_are_the_callers_trouble() -> None:
    asking = Asking(lambda _method: refusal(-32602, "invalid params"))
    with pytest.raises(NodeRefused, match="invalid params") as told:
        await asking.rpc.call("eth_getLogs", {})
    assert told.value.code == -32602


async def test_a_batch_comes_back_in_order_from_one_node_whatever_order_it_has() -> None:
    asking = Asking(lambda method: method)
    calls = [Call("a"), Call("b"), Call("c")]
    assert await asking.rpc.batch(calls) == ["a", "b", "c"]
    assert asking.http.asked[-1] == (GOOD, ["a", "b", "c"])


async def test_a_batch_of_which_one_fails_is_asked_elsewhere_whole() -> None:
    asking = Asking(lambda method: method if method == "a" else HttpDown("reset"))
    assert await asking.rpc.batch([Call("a"), Call("b")]) == ["0x2", "0x2"]


async def test_a_node_without_batches_is_asked_one_by_one_from_then_on() -> None:
    asking = Asking(lambda method: method)
    refused = answer({"jsonrpc": "2.0", "id": None, "error": refusal(-32600, "batch is not supported")})
    asking.http.nodes[GOOD] = lambda method: refused if len(asking.http.asked[-1][1]) > 1 else method
    assert await asking.rpc.batch([Call("a"), Call("b")]) == ["a", "b"]
    assert await asking.rpc.batch([Call("a"), Call("b")]) == ["a", "b"]
    assert [methods for _url, methods in asking.http.asked[1:]] == [["a", "b"], ["a"], ["b"], ["a"], ["b"]]


@pytest.mark.parametrize("number", [0, BATCH_MAX + 1])
async def test_a_batch_is_bounded(number: int) -> None:
    with pytest.raises(ValueError, match="A batch has"):
        await Asking(lambda method: method).rpc.batch([Call("a")] * number)


async def test_a_node_that_falls_behind_is_asked_last() -> None:
    asking = Asking(lambda _method: "0x10", lambda _method: "0x99")
    await asking.rpc.probe()
    assert await asking.rpc.call("eth_blockNumber") == "0x99"


async def test_a_slow_node_is_asked_after_a_fast_one() -> None:
    asking = Asking(lambda _method: "0x1")
    asking.http.takes_s[GOOD] = 0.5
    await asking.rpc.probe()
    assert await asking.rpc.call("eth_blockNumber") == "0x2"


async def test_a_probe_survives_every_trouble() -> None:
    asking = Asking(lambda _method: HttpDown("reset"), lambda _method: "no number")
    await asking.rpc.probe()
    assert [told.head for told in asking.rpc.told()] == [0, 0]


def test_without_an_address_there_is_a_sentence() -> None:
    clock = VirtualClock()
    with pytest.raises(ValueError, match="RPC_URLS"):
        Rpc(ScriptedHttp(clock), clock, SeededRandomness(1), urls=[], settings=RpcSettings(chain_id=137))


def node(name: str, **more: Any) -> Node:
    return Node(name=name, url="", **more)


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (node("worse", resting_until_ms=200.0), node("better", failures=9)),
        (node("worse", head=90), node("better", head=100, failures=9)),
        (node("worse", failures=1), node("better", latency_ms=900)),
        (node("worse", latency_ms=60), node("better", latency_ms=40)),
    ],
)
def test_the_order_of_asking(worse: Node, better: Node) -> None:
    assert in_order([worse, better], 100.0, lag_max=5) == [better, worse]
    assert in_order([better, worse], 100.0, lag_max=5) == [better, worse]


def test_equals_keep_the_operators_order_and_refused_ones_are_never_asked() -> None:
    first, second, refused = node("1", head=99, latency_ms=40), node("2", head=100), node("3", refused="other chain")
    assert in_order([refused, first, second], 0.0, lag_max=5) == [first, second]


def test_addresses_are_told_apart_by_their_scheme_and_keep_their_order() -> None:
    urls = read_urls(" https://b/1, wss://c/2 http://a/3,https://b/1,ws://d ")
    assert urls == NodeUrls(calls=("https://b/1", "http://a/3"), sockets=("wss://c/2", "ws://d"))
    assert read_urls("") == NodeUrls(calls=(), sockets=())


@pytest.mark.parametrize("text", ["b.example/secret", "ftp://b/secret", "https:///secret", "https://b, secret"])
def test_an_address_of_another_kind_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ValueError, match="of RPC_URLS") as told:
        read_urls(text)
    assert "secret" not in str(told.value)


def test_a_name_never_shows_the_key() -> None:
    assert name_of("wss://user:secret@node.example:8546/v2/key?token=1", 2) == "3:node.example"
