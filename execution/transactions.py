"""Sends transactions to the chain and follows them: nonce, gas and fees are asked for, the bytes are broadcast, and the
receipt is awaited. One wallet's transactions go one after another: nothing is queued and nothing replaced here.

What was broadcast and not answered is asked about by its hash, which is known before the first byte leaves; it is
never signed again, with other fees or at all.
"""

import re
from dataclasses import dataclass

import structlog

from execution.eip1559 import Transaction, transaction_hash, with_digest
from execution.rpc import SENDING, Call, NodeRefused, Rpc, RpcError
from ledger.clock import Clock

GWEI = 10**9

TIP_MIN_WEI = 30 * GWEI
"""Polygon's nodes refuse less than 25 gwei, some less than 30 (polymarket.md 8)."""

GAS_MARGIN_PERCENT = 125
"""Of what a node estimates: by the block in which it is mined, the contract's storage may cost more."""

BASE_FEE_GROWTH = 2
"""The base fee grows by an eighth a block: it has doubled after six full ones. What is not needed is not paid."""

_QUANTITY = re.compile(r"0x[0-9a-fA-F]{1,64}")
_KNOWN = re.compile(r"already (known|imported)|known transaction", re.IGNORECASE)

log = structlog.get_logger(__name__)


class ChainTrouble(Exception):
    """The chain could not be asked, or said something else than was asked; nothing was sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """It is in a block; a transaction that failed there changed nothing and cost its fee."""

    tx_hash: str
    block_number: int
    succeeded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTaken:
    """The nodes refused it and do not know it."""

    tx_hash: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmined:
    """It may have been broadcast and was not mined in time: it can still be. Ask by its hash; send no other one."""

    tx_hash: str


Sent = Mined | NotTaken | Unmined


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingTerms:
    """A transaction is followed for `wait_s` with a question each `poll_s`; blocks come every 1.5 s."""

    chain_id: int
    wait_s: float = 90.0
    poll_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """What the chain knows of a wallet: its next nonce, how many of its transactions wait, and its POL."""

    nonce: int
    waiting: int
    balance_wei: int


class Transactions:
    """Makes, sends and follows transactions. It holds no key: signatures come from outside."""

    def __init__(self, rpc: Rpc, clock: Clock, terms: SendingTerms) -> None:
        self._rpc, self._clock, self._terms = rpc, clock, terms

    async def sender(self, wallet: str) -> Sender:
        """Raises ChainTrouble."""
        mined, pending, balance = await self._numbers(
            Call("eth_getTransactionCount", (wallet, "latest")),
            Call("eth_getTransactionCount", (wallet, "pending")),
            Call("eth_getBalance", (wallet, "latest")),
        )
        return Sender(nonce=mined, waiting=max(0, pending - mined), balance_wei=balance)

    async def draft(self, wallet: str, *, to: str, calldata: bytes, nonce: int) -> Transaction:
        """A call with the gas and the fees of now, and its digest. Raises ChainTrouble, also where it would fail."""
        asked = {"from": wallet, "to": to, "data": f"0x{calldata.hex()}"}
        gas, tip = await self._numbers(Call("eth_estimateGas", (asked,)), Call("eth_maxPriorityFeePerGas"))
        tip = max(tip, TIP_MIN_WEI)
        return with_digest(
            Transaction(
                chain_id=self._terms.chain_id,
                nonce=nonce,
                to=to,
                calldata=calldata,
                gas=-(-gas * GAS_MARGIN_PERCENT // 100),
                max_fee_per_gas=await self._base_fee() * BASE_FEE_GROWTH + tip,
                max_priority_fee_per_gas=tip,
            )
        )

    async def send(self, raw: bytes) -> Sent:
        """Broadcast signed bytes and follow them. The same bytes may reach several nodes. Never raises RpcError."""
        tx_hash, refused = transaction_hash(raw), ""
        log.info("A transaction is sent.", action="transaction", tx_hash=tx_hash)
        try:
            await self._rpc.call(SENDING, f"0x{raw.hex()}")
        except NodeRefused as error:
            refused = "" if _KNOWN.search(str(error)) else str(error)
        except RpcError as error:
            log.warning("It is not known whether a transaction was taken.", action="transaction", tx_hash=tx_hash)
            log.info("A node failed.", action="transaction", why=str(error))
        if refused and await self._is_unknown(tx_hash):
            return NotTaken(tx_hash=tx_hash, why=refused)
        return await self._followed(tx_hash)

    async def _followed(self, tx_hash: str) -> Sent:
        began_ms = self._clock.monotonic_ms()
        while True:
            try:
                mined = _mined(tx_hash, await self._rpc.call("eth_getTransactionReceipt", tx_hash))
            except RpcError:
                mined = None
            if mined is not None:
                return mined
            if self._clock.monotonic_ms() - began_ms >= self._terms.wait_s * 1_000:
                return Unmined(tx_hash=tx_hash)
            await self._clock.sleep(self._terms.poll_s)

    async def _is_unknown(self, tx_hash: str) -> bool:
        """Whether the nodes answer that there is no such transaction: one of them may have taken it before."""
        try:
            found = await self._rpc.batch(
                [Call("eth_getTransactionByHash", (tx_hash,)), Call("eth_getTransactionReceipt", (tx_hash,))]
            )
        except RpcError:
            return False
        return found == [None, None]

    async def _base_fee(self) -> int:
        try:
            block = await self._rpc.call("eth_getBlockByNumber", "latest", *_HASHES_ONLY, must_exist=True)
        except RpcError as error:
            raise ChainTrouble(str(error)) from None
        return _number(block.get("baseFeePerGas") if isinstance(block, dict) else None)

    async def _numbers(self, *calls: Call) -> list[int]:
        try:
            return [_number(each) for each in await self._rpc.batch(calls)]
        except RpcError as error:
            raise ChainTrouble(str(error)) from None


_HASHES_ONLY = (False,)


def _mined(tx_hash: str, receipt: object) -> Mined | None:
    """None while there is no receipt, or one that cannot be read."""
    if not isinstance(receipt, dict) or receipt.get("transactionHash") != tx_hash:
        return None
    try:
        block_number, status = _number(receipt.get("blockNumber")), _number(receipt.get("status"))
    except ChainTrouble:
        return None
    return Mined(tx_hash=tx_hash, block_number=block_number, succeeded=status == 1)


def _number(value: object) -> int:
    """A JSON-RPC quantity of at most 256 bits. Raises ChainTrouble."""
    if not isinstance(value, str) or not _QUANTITY.fullmatch(value):
        raise ChainTrouble(f"A node answered {str(value)[:40]!r} where a number was asked for.")
    return int(value, 16)
