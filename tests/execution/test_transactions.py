"""Sending: the hash is known first, what was not answered is asked about, and nothing is signed twice."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from execution.eip1559 import raw_transaction, transaction_hash
from execution.http import HttpDown
from execution.rpc import Rpc, RpcSettings
from execution.signing import LocalSigner, sign_transaction
from execution.transactions import (
    TIP_MIN_WEI,
    ChainTrouble,
    Mined,
    NotTaken,
    Sender,
    SendingTerms,
    Transactions,
    Unmined,
)
from ledger.system import SeededRandomness
from tests.canaries import PRIVATE_KEY
from tests.doors import VirtualClock
from tests.execution.signers import FAY, GWEI, approval
from tests.execution.test_rpc import GOOD, OTHER, ScriptedHttp, refusal

RAW = raw_transaction(approval(), sign_transaction(LocalSigner({FAY: PRIVATE_KEY}), approval(), wallet=FAY))
HASH = transaction_hash(RAW)
RECEIPT = {"transactionHash": HASH, "blockNumber": "0x10", "status": "0x1"}
MINED = Mined(tx_hash=HASH, block_number=16, succeeded=True)
SEND, ASK, BY_HASH = "eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getTransactionByHash"

Answers = Mapping[str, Any]


def node(answers: Answers) -> Callable[[str], Any]:
    """A node that answers each method, by a list one after the other and then as at last."""
    told = {method: list(each) if isinstance(each, list) else [each] for method, each in answers.items()}
    return lambda method: told[method].pop(0) if len(told[method]) > 1 else told[method][0]


def sending(first: Answers, second: Answers | None = None) -> tuple[Transactions, ScriptedHttp]:
    clock = VirtualClock()
    http = ScriptedHttp(clock, good=node(first), other=node(second or first))
    rpc = Rpc(http, clock, SeededRandomness(1), urls=[GOOD, OTHER], settings=RpcSettings(chain_id=137))
    return Transactions(rpc, clock, SendingTerms(chain_id=137, wait_s=10.0)), http


def sent(http: ScriptedHttp) -> int:
    return sum(methods.count(SEND) for _url, methods in http.asked)


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({SEND: HASH, ASK: RECEIPT}, MINED),
        ({SEND: HASH, ASK: [None, None, RECEIPT]}, MINED),
        ({SEND: HASH, ASK: {**RECEIPT, "status": "0x0"}}, Mined(tx_hash=HASH, block_number=16, succeeded=False)),
        ({SEND: HASH, ASK: None}, Unmined(tx_hash=HASH)),
        ({SEND: HASH, ASK: {**RECEIPT, "transactionHash": "0x" + "11" * 32}}, Unmined(tx_hash=HASH)),
        ({SEND: HASH, ASK: {**RECEIPT, "status": None}}, Unmined(tx_hash=HASH)),
        ({SEND: refusal(-32000, "already known"), ASK: RECEIPT}, MINED),
        ({SEND: refusal(-32003, "transaction already imported"), ASK: RECEIPT}, MINED),
        ({SEND: refusal(-32000, "nonce too low"), ASK: RECEIPT, BY_HASH: {"hash": HASH}}, MINED),
    ],
)
async def test_it_is_followed_by_its_hash_and_sent_once(answers: Answers, found: object) -> None:
    transactions, http = sending(answers)
    assert (await transactions.send(RAW), sent(http)) == (found, 1)


async def test_what_the_nodes_refuse_and_do_not_know_was_not_taken() -> None:
    transactions, http = sending({SEND: refusal(-32000, "insufficient funds for gas"), ASK: None, BY_HASH: None})
    told = await transactions.send(RAW)
    assert isinstance(told, NotTaken) and "insufficient funds for gas" in told.why
    assert sent(http) == 1


async def test_a_lost_answer_is_asked_about_and_the_same_bytes_reach_the_next_node() -> None:
    lost = {SEND: HttpDown("timeout"), ASK: RECEIPT}
    transactions, http = sending(lost, {SEND: refusal(-32000, "nonce too low"), BY_HASH: {"hash": HASH}, ASK: RECEIPT})
    assert (await transactions.send(RAW), sent(http)) == (MINED, 2)


async def test_where_no_node_answers_it_may_still_be_mined() -> None:
    transactions, _http = sending({SEND: HttpDown("timeout"), ASK: HttpDown("timeout")})
    assert await transactions.send(RAW) == Unmined(tx_hash=HASH)
    refused = {SEND: refusal(-32000, "no"), ASK: HttpDown("timeout"), BY_HASH: HttpDown("timeout")}
    assert await sending(refused)[0].send(RAW) == Unmined(tx_hash=HASH)


@pytest.mark.parametrize(("tip", "paid"), [("0x1", TIP_MIN_WEI), (hex(40 * GWEI), 40 * GWEI)])
async def test_a_draft_has_the_fees_of_now_and_room_for_the_next_blocks(tip: str, paid: int) -> None:
    answers = {"eth_estimateGas": "0xb2d1", "eth_maxPriorityFeePerGas": tip}
    transactions, _http = sending({**answers, "eth_getBlockByNumber": {"baseFeePerGas": hex(70 * GWEI)}})
    wanted = approval(gas=57_222, max_priority_fee_per_gas=paid, max_fee_per_gas=140 * GWEI + paid)
    assert await transactions.draft(FAY, to=wanted.to, calldata=wanted.calldata, nonce=wanted.nonce) == wanted


@pytest.mark.parametrize(
    ("gas", "block", "sentence"),
    [
        (refusal(3, "execution reverted"), {"baseFeePerGas": "0x1"}, "execution reverted"),
        ("a lot", {"baseFeePerGas": "0x1"}, "where a number was asked for"),
        ("0x1", {}, "'None' where a number"),
        ("0x1", None, "No node has it"),
    ],
)
async def test_without_gas_or_fees_there_is_no_draft(gas: Any, block: Any, sentence: str) -> None:
    answers = {"eth_estimateGas": gas, "eth_maxPriorityFeePerGas": "0x1", "eth_getBlockByNumber": block}
    with pytest.raises(ChainTrouble, match=sentence):
        await sending(answers)[0].draft(FAY, to=approval().to, calldata=b"", nonce=0)


async def test_a_wallet_is_known_by_its_nonce_what_waits_and_its_pol() -> None:
    plenty = 2**70
    transactions, _http = sending({"eth_getTransactionCount": ["0x5", "0x7"], "eth_getBalance": hex(plenty)})
    assert await transactions.sender(FAY) == Sender(nonce=5, waiting=2, balance_wei=plenty)
    with pytest.raises(ChainTrouble):
        await sending({"eth_getTransactionCount": "0x5", "eth_getBalance": HttpDown("away")})[0].sender(FAY)
