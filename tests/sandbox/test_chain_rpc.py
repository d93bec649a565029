"""The chain's door: what it answers, what it hides, and each fault of a provider."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
from eth_account import Account

from execution.sandbox.faults import UnknownFault
from execution.sandbox.rpc_rules import block_number, log_matches
from tests.sandbox.chain_stage import LENA, WAIT_S, ChainStage, chain_stage, complementary, needs_chain

pytestmark = needs_chain

ORDER_FILLED = "0xd543adfd945773f1a62f74f0ee55a5e3b9b1a28262980ba90b1a89f2ea84d8ee"
OF_LENA = {"topics": [ORDER_FILLED, None, ["0x" + LENA[2:].rjust(64, "0")]]}
KEY = "0x" + "42" * 32
GWEI = 10**9


async def told(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """The next notification's result."""
    return (await socket.receive_json(timeout=WAIT_S))["params"]["result"]


async def answered(socket: aiohttp.ClientWebSocketResponse) -> list[Any]:
    """What the socket told until it answered a question that is asked now."""
    await socket.send_json({"jsonrpc": "2.0", "id": 99, "method": "eth_chainId"})
    heard = []
    while "method" in (frame := await socket.receive_json(timeout=WAIT_S)):
        heard.append(frame["params"]["result"])
    assert frame["result"] == "0x89"
    return heard


async def settled_and_told(stage: ChainStage) -> None:
    """A match, mined, and time for the node to have told of it: it tells two sockets in the order of the blocks."""
    witness = await stage.session.ws_connect(stage.chain.anvil.ws_url)
    await witness.send_json({"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe", "params": ["logs", OF_LENA]})
    await witness.receive_json(timeout=WAIT_S)
    await stage.settled(complementary(stage.market))
    await witness.receive_json(timeout=WAIT_S)
    await witness.close()


async def fault(stage: ChainStage, words: str) -> None:
    await stage.faults.apply(f"chain:{words}")


async def test_a_leaders_fills_are_told_as_they_are_mined() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        (settled,) = await stage.settled(complementary(stage.market))
        log = await told(socket)
        assert (log["transactionHash"], log["topics"][0]) == (settled.tx_hash, ORDER_FILLED)
        assert await stage.ask("eth_getLogs", {**OF_LENA, "fromBlock": "0x1"}) == [
            {key: value for key, value in log.items() if key != "x"}
        ]


async def test_heads_and_waiting_transactions_are_told() -> None:
    async with chain_stage() as stage:
        heads = await stage.subscribe("newHeads")
        waiting = await stage.subscribe("newPendingTransactions", True)  # noqa: FBT003 (whole transactions)
        settled = await stage.chain.settle(complementary(stage.market))
        assert (await told(waiting))["hash"] == settled.tx_hash
        number = await stage.chain.mine()
        assert int((await told(heads))["number"], 16) == number


async def test_a_reorg_takes_its_logs_back_and_tells_of_the_new_ones() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        await stage.settled(complementary(stage.market))
        first = await told(socket)
        await fault(stage, "reorg=2")
        back, again = await told(socket), await told(socket)
        assert back == {**first, "removed": True}
        assert not again["removed"] and again["blockHash"] != first["blockHash"]
        assert again["transactionHash"] == first["transactionHash"]


async def test_a_batch_is_answered_in_order_and_nonsense_with_an_error() -> None:
    async with chain_stage() as stage:
        batch = [{"jsonrpc": "2.0", "id": each, "method": "eth_chainId"} for each in (3, 1)] + [{"id": 2}]
        async with stage.session.post(stage.url, json=batch) as response:
            answers = await response.json(content_type=None)
        assert [each["id"] for each in answers] == [3, 1, None]
        async with stage.session.post(stage.url, data=b"{") as response:
            assert (await response.json(content_type=None))["error"]["code"] == -32700


@pytest.mark.parametrize("method", ["anvil_setBalance", "evm_mine", "eth_accounts", "eth_sendTransaction"])
async def test_what_only_a_test_node_can_do_is_hidden(method: str) -> None:
    async with chain_stage() as stage:
        assert (await stage.ask(method))["code"] == -32601


def signed(nonce: int, cap_gwei: int, tip_gwei: int) -> str:
    transaction = {
        "chainId": 137,
        "nonce": nonce,
        "to": Account.from_key(KEY).address,
        "value": 0,
        "gas": 21_000,
        "maxFeePerGas": cap_gwei * GWEI,
        "maxPriorityFeePerGas": tip_gwei * GWEI,
    }
    return "0x" + Account.sign_transaction(transaction, KEY).raw_transaction.hex()


@pytest.mark.parametrize(
    ("cap_gwei", "tip_gwei", "taken"), [(109, 33, False), (110, 30, False), (100, 33, False), (110, 33, True)]
)
async def test_a_replacement_must_raise_both_fees_by_a_tenth(cap_gwei: int, tip_gwei: int, taken: bool) -> None:
    async with chain_stage() as stage:
        wallet = Account.from_key(KEY).address
        await stage.chain.node.call("anvil_setBalance", wallet, hex(10**20))
        first = await stage.ask("eth_sendRawTransaction", signed(0, 100, 30))
        assert len(first) == 66
        second = await stage.ask("eth_sendRawTransaction", signed(0, cap_gwei, tip_gwei))
        assert isinstance(second, str) == taken
        assert taken or second == {"code": -32000, "message": "replacement transaction underpriced"}


async def test_the_same_transaction_again_is_known_already() -> None:
    async with chain_stage() as stage:
        await stage.chain.node.call("anvil_setBalance", Account.from_key(KEY).address, hex(10**20))
        await stage.ask("eth_sendRawTransaction", signed(0, 100, 30))
        assert (await stage.ask("eth_sendRawTransaction", signed(0, 100, 30)))["message"] == "already known"


@pytest.mark.parametrize(("words", "status"), [("429=1", 429), ("5xx=1", 503)])
async def test_a_refused_request_is_refused_once(words: str, status: int) -> None:
    async with chain_stage() as stage:
        await fault(stage, words)
        assert await stage.ask("eth_chainId") == status
        assert await stage.ask("eth_chainId") == "0x89"


async def test_a_half_open_door_answers_nothing_and_closes_nothing() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        await fault(stage, "half-open")
        question = asyncio.ensure_future(stage.ask("eth_chainId"))
        await settled_and_told(stage)
        await socket.send_json({"jsonrpc": "2.0", "id": 5, "method": "eth_chainId"})
        with pytest.raises(TimeoutError):
            await socket.receive(timeout=0.1)
        assert not question.done() and not socket.closed
        question.cancel()


async def test_a_silent_door_answers_but_tells_nothing() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        await fault(stage, "silence")
        await settled_and_told(stage)
        assert await answered(socket) == []
        assert len(await stage.ask("eth_getLogs", {**OF_LENA, "fromBlock": "0x1"})) == 1


async def test_a_cut_ends_the_sockets_and_new_ones_work() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("newHeads")
        await fault(stage, "disconnect")
        assert (await socket.receive(timeout=WAIT_S)).type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        fresh = await stage.subscribe("newHeads")
        await stage.chain.mine()
        assert int((await told(fresh))["number"], 16) == stage.chain.head


@pytest.mark.parametrize(("words", "times"), [("drop=1", 0), ("duplicate=1", 2), ("delay=1,50ms", 1)])
async def test_notifications_are_lost_doubled_and_late(words: str, times: int) -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        await fault(stage, words)
        await settled_and_told(stage)
        (after,) = await stage.settled(complementary(stage.market))
        heard = [(await told(socket))["transactionHash"] for _ in range(times + 1)]
        assert heard.count(after.tx_hash) == 1 and len(set(heard)) == min(times, 1) + 1


async def test_notifications_overtake_each_other() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        await fault(stage, "reorder=1")
        await settled_and_told(stage)
        (second,) = await stage.settled(complementary(stage.market))
        assert (await told(socket))["transactionHash"] == second.tx_hash
        assert (await told(socket))["transactionHash"] != second.tx_hash


async def test_a_node_behind_shows_blocks_later_everywhere() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        await fault(stage, "behind=2")
        await settled_and_told(stage)
        head = stage.chain.head
        assert await stage.ask("eth_blockNumber") == hex(head - 2)
        assert (await stage.block("latest"))["number"] == hex(head - 2)
        assert await stage.block(hex(head)) is None
        assert await stage.ask("eth_getLogs", {**OF_LENA, "fromBlock": "0x1"}) == []
        assert await answered(socket) == []
        await stage.chain.mine()
        await stage.chain.mine()
        assert int((await told(socket))["blockNumber"], 16) == head


async def test_a_node_behind_takes_back_only_what_it_told() -> None:
    async with chain_stage() as stage:
        socket = await stage.subscribe("logs", OF_LENA)
        await fault(stage, "behind=4")
        await settled_and_told(stage)
        await stage.chain.reorg(3)
        stage.faults.lift("chain", "behind")
        await stage.chain.mine()
        assert not (await told(socket))["removed"]
        assert await answered(socket) == []


async def test_a_limited_range_of_blocks_is_enforced() -> None:
    async with chain_stage() as stage:
        await fault(stage, "range=2")
        head = stage.chain.head
        assert (
            "block range"
            in (await stage.ask("eth_getLogs", {"fromBlock": hex(head - 2), "toBlock": hex(head)}))["message"]
        )
        assert isinstance(await stage.ask("eth_getLogs", {"fromBlock": hex(head - 1), "toBlock": hex(head)}), list)


async def test_a_reorg_that_is_too_deep_is_refused_in_a_sentence() -> None:
    async with chain_stage() as stage:
        with pytest.raises(UnknownFault, match="reorg of 99"):
            await fault(stage, "reorg=99")


@pytest.mark.parametrize(
    ("block", "number"),
    [("latest", 9), ("pending", 9), ("safe", 8), ("finalized", 7), ("earliest", 0), ("0x5", 5), ({"a": 1}, None)],
)
def test_a_block_parameter_means_a_number(block: object, number: int | None) -> None:
    assert block_number(block, 9) == number


@pytest.mark.parametrize(
    ("asked", "matches"),
    [
        ({}, True),
        ({"address": "0xA"}, True),
        ({"address": ["0xb", "0xc"]}, False),
        ({"topics": ["0x1"]}, True),
        ({"topics": [None, ["0x3", "0x2"]]}, True),
        ({"topics": [None, "0x1"]}, False),
        ({"topics": [None, None, "0x1"]}, False),
    ],
)
def test_a_filter_picks_logs_as_a_node_does(asked: dict[str, Any], matches: bool) -> None:
    assert log_matches({"address": "0xa", "topics": ["0x1", "0x2"]}, json.loads(json.dumps(asked))) == matches
