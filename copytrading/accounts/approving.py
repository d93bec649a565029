"""Gives an account's missing approvals: reads them from the chain, then has each signed, sent and followed, in turn."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from execution.approvals import Approval, calldata_of, contract_of, is_given, question_of
from execution.eip1559 import Transaction, TransactionError, raw_transaction, transaction_hash
from execution.ports import Signer, SignerRefused
from execution.rpc import Call, Rpc, RpcError
from execution.transactions import ChainTrouble, Mined, NotTaken, Sender, Transactions
from ledger.clock import Clock
from ledger.units import text_from_micros

WEI_OF_MICROPOL = 10**12

LOOKS, LOOK_AGAIN_S = 10, 1.0
"""A node may be behind the one that told of the last receipt."""

Say = Callable[[str], None]


class NotApproved(Exception):
    """An approval was not given, or it is not known; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApproverDoors:
    """Where it is asked and sent. `needed` are the approvals by their names; of pUSD `enough_micros` is one."""

    clock: Clock
    rpc: Rpc
    transactions: Transactions
    signer: Signer
    needed: Mapping[str, Approval]
    enough_micros: int


class Approver:
    """One wallet that is its own key at a time. Stops at the first trouble; what is given by then stays given."""

    def __init__(self, doors: ApproverDoors) -> None:
        self._doors = doors

    async def missing(self, wallet: str) -> Mapping[str, Approval]:
        """The approvals that the chain does not have now. Raises NotApproved."""
        needed = self._doors.needed
        calls = [
            Call(
                "eth_call",
                ({"to": contract_of(each), "data": f"0x{question_of(each, wallet).hex()}"}, "latest"),
            )
            for each in needed.values()
        ]
        try:
            answers = await self._doors.rpc.batch(calls)
        except RpcError as error:
            raise NotApproved(str(error)) from None
        given = {
            name: is_given(each, _bytes(answer), enough=self._doors.enough_micros)
            for (name, each), answer in zip(needed.items(), answers, strict=True)
        }
        for name, found in given.items():
            if found is None:
                raise NotApproved(f"The contract {contract_of(needed[name])} does not tell of approvals: {name}.")
        return {name: each for name, each in needed.items() if not given[name]}

    async def sender(self, wallet: str) -> Sender:
        """What is known of the wallet before anything is sent. Raises NotApproved while others of its own wait."""
        try:
            sender = await self._doors.transactions.sender(wallet)
        except ChainTrouble as error:
            raise NotApproved(str(error)) from None
        if sender.waiting:
            raise NotApproved(
                f"{sender.waiting} transactions of the wallet wait to be mined; run this again when they are."
            )
        return sender

    async def give(self, wallet: str, wanted: Mapping[str, Approval], *, sender: Sender, say: Say) -> None:
        """Send one transaction for each and follow it. Raises NotApproved."""
        left_wei = sender.balance_wei
        for nonce, (name, approval) in enumerate(wanted.items(), start=sender.nonce):
            transaction = await self._draft(wallet, approval, nonce=nonce)
            if transaction.fee_max_wei > left_wei:
                raise NotApproved(
                    f"The wallet has {_pol(left_wei)} POL, and the next transaction may cost "
                    f"{_pol(transaction.fee_max_wei)}. Send it some POL."
                )
            await self._send(wallet, transaction, name=name, say=say)
            left_wei -= transaction.fee_max_wei
        await self._see(wallet)

    async def _draft(self, wallet: str, approval: Approval, *, nonce: int) -> Transaction:
        to, calldata = contract_of(approval), calldata_of(approval)
        try:
            return await self._doors.transactions.draft(wallet, to=to, calldata=calldata, nonce=nonce)
        except ChainTrouble as error:
            raise NotApproved(str(error)) from None

    async def _send(self, wallet: str, transaction: Transaction, *, name: str, say: Say) -> None:
        try:
            raw = raw_transaction(transaction, await self._doors.signer.sign_transaction(transaction, key=wallet))
        except (SignerRefused, TransactionError) as error:
            raise NotApproved(f"Not signed: {error}") from None
        # Told before it leaves: whatever happens then, it can be asked about.
        say(f"{name}: nonce {transaction.nonce}, transaction {transaction_hash(raw)}")
        told = await self._doors.transactions.send(raw)
        if isinstance(told, NotTaken):
            raise NotApproved(f"{name}: the chain did not take it. {told.why}")
        if not isinstance(told, Mined):
            raise NotApproved(
                f"{name}: it is not mined yet, and may still be. Look for {told.tx_hash} in an explorer of the chain; "
                "run this again when it is there or gone."
            )
        if not told.succeeded:
            raise NotApproved(f"{name}: the transaction {told.tx_hash} failed in block {told.block_number}.")
        say(f"{name}: mined in block {told.block_number}")

    async def _see(self, wallet: str) -> None:
        missing = await self.missing(wallet)
        for _look in range(LOOKS):
            if not missing:
                return
            await self._doors.clock.sleep(LOOK_AGAIN_S)
            missing = await self.missing(wallet)
        raise NotApproved(f"Every transaction was mined, and the chain still lacks: {', '.join(missing)}.")


def _bytes(answer: object) -> bytes:
    """Empty for what is no hexadecimal text."""
    try:
        return bytes.fromhex(answer.removeprefix("0x")) if isinstance(answer, str) else b""
    except ValueError:
        return b""


def _pol(wei: int) -> str:
    return text_from_micros(-(-wei // WEI_OF_MICROPOL))
