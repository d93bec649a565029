"""Giving approvals when something goes wrong: what was sent is told, nothing is signed twice, and the rest is left."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from copytrading.accounts.approving import LOOKS, Approver, ApproverDoors, NotApproved
from execution.approvals import needed_approvals
from execution.eip1559 import Transaction
from execution.http import HttpDown
from execution.rpc import Rpc, RpcSettings
from execution.transactions import Sender, SendingTerms, Transactions
from ledger.system import SeededRandomness
from tests.doors import VirtualClock
from tests.execution.signers import FAY, POLYGON, local_signer, policy
from tests.execution.test_rpc import GOOD, ScriptedHttp, refusal
from tests.execution.test_transactions import node

NEEDED = dict(list(needed_approvals(POLYGON, amount=10).items())[:2])
GIVEN, NONE = "0x" + "0" * 63 + "1", "0x" + "0" * 64
RICH = Sender(nonce=4, waiting=0, balance_wei=10**18)
CHAIN: Mapping[str, Any] = {
    "eth_estimateGas": "0xb2d1",
    "eth_maxPriorityFeePerGas": "0x1",
    "eth_getBlockByNumber": {"baseFeePerGas": "0x1"},
    "eth_call": GIVEN,
    "eth_getTransactionByHash": None,
    "eth_getTransactionReceipt": None,
}


class Counting:
    """The real signer, counted."""

    def __init__(self) -> None:
        self.signed: list[int] = []
        self._signer = local_signer()

    async def sign_transaction(self, transaction: Transaction, *, key: str) -> bytes:
        self.signed.append(transaction.nonce)
        return await self._signer.sign_transaction(transaction, key=key)

    async def sign_order(self, plan: Any, *, key: str) -> bytes:
        raise AssertionError

    async def sign_login(self, login: Any, *, key: str) -> bytes:
        raise AssertionError


class Mining(ScriptedHttp):
    """A node on which every transaction is mined as soon as it is asked about, with this status."""

    def __init__(self, clock: VirtualClock, status: str, **answers: Any) -> None:
        chain = node({**CHAIN, "eth_sendRawTransaction": "0x", **answers})
        super().__init__(clock, good=chain)
        self.status = status

    async def post(self, url: str, *, body: bytes, **words: Any) -> Any:
        if b"eth_getTransactionReceipt" in body and b"eth_getTransactionByHash" not in body and self.status:
            tx_hash = body.split(b'"params": ["')[1][:66].decode()
            receipt = {"transactionHash": tx_hash, "blockNumber": "0x9", "status": self.status}
            self.nodes[GOOD] = lambda method, before=self.nodes[GOOD]: (
                receipt if method == "eth_getTransactionReceipt" else before(method)
            )
        return await super().post(url, body=body, **words)


class Scene:
    def __init__(self, status: str = "0x1", **answers: Any) -> None:
        self.clock, self.signer = VirtualClock(), Counting()
        self.told: list[str] = []
        http = Mining(self.clock, status, **answers)
        rpc = Rpc(http, self.clock, SeededRandomness(1), urls=[GOOD], settings=RpcSettings(chain_id=137))
        self.doors = ApproverDoors(
            clock=self.clock,
            rpc=rpc,
            transactions=Transactions(rpc, self.clock, SendingTerms(chain_id=137, wait_s=5.0)),
            signer=self.signer,
            needed=NEEDED,
            enough_micros=1,
        )

    async def give(self, sender: Sender = RICH) -> str:
        """The sentence in which it ends; empty when all is given."""
        try:
            await Approver(self.doors).give(FAY, NEEDED, sender=sender, say=self.told.append)
        except NotApproved as trouble:
            return str(trouble)
        return ""


async def test_each_is_signed_once_told_before_it_leaves_and_mined() -> None:
    scene = Scene()
    assert (await scene.give(), scene.signer.signed) == ("", [4, 5])
    assert [line.split(":")[1].split()[0] for line in scene.told] == ["nonce", "mined", "nonce", "mined"]


@pytest.mark.parametrize(
    ("status", "answers", "sentence"),
    [
        ("0x0", {}, "failed in block 9"),
        ("", {}, "is not mined yet, and may still be. Look for 0x"),
        ("", {"eth_sendRawTransaction": refusal(-32000, "nonce too low")}, "the chain did not take it. The node"),
        ("", {"eth_sendRawTransaction": HttpDown("timeout")}, "is not mined yet, and may still be"),
    ],
)
async def test_after_the_first_trouble_nothing_more_is_signed(
    status: str, answers: Mapping[str, Any], sentence: str
) -> None:
    scene = Scene(status, **answers)
    told = await scene.give()
    assert sentence in told and scene.signer.signed == [4]
    assert "transaction 0x" in scene.told[0]


async def test_what_the_signer_refuses_is_not_sent() -> None:
    scene = Scene()
    scene.doors = dataclasses.replace(scene.doors, signer=local_signer(policy(accounts={})))
    assert (await scene.give()).startswith("Not signed: There is no account with the wallet")
    assert scene.told == []


async def test_without_pol_nothing_is_signed() -> None:
    scene = Scene()
    told = await scene.give(dataclasses.replace(RICH, balance_wei=10**14))
    assert told.startswith("The wallet has 0.0001 POL, and the next transaction may cost 0.001717. Send it")
    assert scene.signer.signed == []


async def test_a_call_that_would_fail_is_not_signed() -> None:
    scene = Scene(eth_estimateGas=refusal(3, "execution reverted"))
    assert "execution reverted" in await scene.give()
    assert scene.signer.signed == []


async def test_a_chain_that_does_not_show_what_was_mined_is_told() -> None:
    scene = Scene(eth_call=NONE)
    assert "the chain still lacks: pUSD for CTF_V2, shares for CTF_V2" in await scene.give()
    late = Scene(eth_call=[NONE, GIVEN, GIVEN])
    assert (await late.give(), late.clock.monotonic_ms() < LOOKS * 1_000) == ("", True)


@pytest.mark.parametrize(
    ("answer", "sentence"), [("0x", "does not tell of approvals"), ("0xzz", "does not tell"), (None, "does not tell")]
)
async def test_what_does_not_answer_is_no_missing_approval(answer: Any, sentence: str) -> None:
    with pytest.raises(NotApproved, match=sentence):
        await Approver(Scene(eth_call=answer).doors).missing(FAY)
    with pytest.raises(NotApproved, match="No node of the chain answers"):
        await Approver(Scene(eth_call=HttpDown("away")).doors).missing(FAY)


async def test_while_transactions_of_the_wallet_wait_no_other_is_begun() -> None:
    scene = Scene(eth_getTransactionCount=["0x4", "0x6"], eth_getBalance="0x1")
    with pytest.raises(NotApproved, match="2 transactions of the wallet wait"):
        await Approver(scene.doors).sender(FAY)
