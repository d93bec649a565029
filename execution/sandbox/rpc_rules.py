"""What a node lets through and how it answers when it is behind: rules of the chain's door, on decoded JSON-RPC."""

from collections.abc import Mapping, Sequence
from typing import Any

import rlp
from eth_account import Account

from execution.sandbox.position_ids import keccak256

PRICE_BUMP_PERCENT = 10
"""geth's: a transaction in the pool is replaced by one whose two fees are both this much higher."""

UNDERPRICED = {"code": -32000, "message": "replacement transaction underpriced"}
ALREADY_KNOWN = {"code": -32000, "message": "already known"}
SERVER_BUSY = {"code": -32005, "message": "limit exceeded"}

CLOSED_PREFIXES = ("anvil_", "evm_", "hardhat_", "tenderly_", "debug_")
CLOSED_METHODS = (
    "eth_accounts",
    "eth_sendTransaction",
    "eth_sendUnsignedTransaction",
    "eth_sign",
    "eth_signTransaction",
)
"""What only a test node can do: no node of others would, so no program may come to rely on it."""

# How far each tag lies behind the newest block (the node runs with slots of one epoch; chain.md 1.3).
TAGS = {"latest": 0, "pending": 0, "safe": 1, "finalized": 2}

BLOCK_PARAMETER = {
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
    "eth_getBlockTransactionCountByNumber": 0,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_getBalance": 1,
    "eth_getCode": 1,
    "eth_getTransactionCount": 1,
    "eth_getStorageAt": 2,
}
"""Where each method takes the block that it looks at."""


def is_closed(method: str) -> bool:
    """Whether a node of others would not know the method."""
    return method.startswith(CLOSED_PREFIXES) or method in CLOSED_METHODS


def block_number(block: object, visible: int) -> int | None:
    """The number that a block parameter means to a node whose head is `visible`; None for what names no number."""
    if not isinstance(block, str):
        return None
    if block in TAGS:
        return max(0, visible - TAGS[block])
    if block == "earliest":
        return 0
    return int(block, 16) if block.startswith("0x") and len(block) < 66 else None


def seen_from_behind(method: str, parameters: Sequence[Any], visible: int) -> list[Any] | None:
    """The parameters with each block tag put in numbers; None where the asked block is not there yet."""
    changed = list(parameters)
    at = BLOCK_PARAMETER.get(method)
    if at is None:
        return changed
    number = block_number(changed[at] if len(changed) > at else "latest", visible)
    if number is None:
        return changed
    if number > visible:
        return None
    changed[at:] = [hex(number), *changed[at + 1 :]]
    return changed


def filter_seen_from_behind(asked: Mapping[str, Any], visible: int, *, lowest: int = 0) -> dict[str, Any] | None:
    """A filter of logs that ends at the visible head; None where it begins after it.

    It begins at `lowest` at the earliest: the node goes through each number, also of blocks that never were.
    """
    if "blockHash" in asked:
        return dict(asked)
    first = block_number(asked.get("fromBlock", "latest"), visible)
    last = block_number(asked.get("toBlock", "latest"), visible)
    if first is None or last is None:
        return dict(asked)
    if first > visible or last < lowest:
        return None
    return {**asked, "fromBlock": hex(max(first, lowest)), "toBlock": hex(min(last, visible))}


def range_of(asked: Mapping[str, Any], visible: int) -> int:
    """How many blocks a filter of logs covers."""
    if "blockHash" in asked:
        return 1
    first = block_number(asked.get("fromBlock", "latest"), visible) or 0
    last = block_number(asked.get("toBlock", "latest"), visible) or 0
    return last - first + 1


def hidden(method: str, result: Any, visible: int) -> bool:
    """Whether an answer tells of a block that a node behind does not have."""
    if method not in ("eth_getBlockByHash", "eth_getTransactionReceipt", "eth_getTransactionByHash"):
        return False
    number = (result or {}).get("number" if method == "eth_getBlockByHash" else "blockNumber")
    return number is not None and int(number, 16) > visible


def log_matches(log: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a subscription with this filter would have been told of the log."""
    addresses = asked.get("address") or ()
    wanted = [addresses] if isinstance(addresses, str) else list(addresses)
    if wanted and str(log["address"]).lower() not in {each.lower() for each in wanted}:
        return False
    topics = list(log["topics"])
    for number, option in enumerate(asked.get("topics") or ()):
        if option is None or option == []:
            continue
        options = {each.lower() for each in ([option] if isinstance(option, str) else option)}
        if number >= len(topics) or str(topics[number]).lower() not in options:
            return False
    return True


class Pooled:
    """A signed transaction as far as the pool's rule looks at it."""

    def __init__(self, raw: str) -> None:
        """Raises ValueError for what is no transaction."""
        try:
            encoded = bytes.fromhex(raw.removeprefix("0x"))
            self.tx_hash = "0x" + keccak256(encoded).hex()
            self.sender: str = Account.recover_transaction(raw).lower()
            kind = encoded[0] if encoded[0] < 0xC0 else 0
            fields = rlp.decode(encoded[1:] if kind else encoded, strict=False)
        except Exception as error:  # four libraries, each with its own errors
            raise ValueError("transaction could not be decoded") from error
        numbers = [int.from_bytes(each, "big") for each in fields[:4]]
        # Behind type 0 stand nonce and gas price; types 1 and 2 begin with the chain; 2 to 4 name tip and cap.
        self.nonce = numbers[1] if kind else numbers[0]
        self.tip_wei = numbers[2] if kind else numbers[1]
        self.cap_wei = numbers[3] if kind > 1 else self.tip_wei


def refusal(raw: str, pool: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]) -> dict[str, Any] | None:
    """geth's answer to a transaction that does not outbid the one in its place; None when it may go on.

    `pool` is the answer of `txpool_content`.
    """
    try:
        new = Pooled(raw)
    except ValueError:
        return None  # the node has its own words for that
    for waiting in pool.values():
        for sender, by_nonce in waiting.items():
            old = by_nonce.get(str(new.nonce)) if sender.lower() == new.sender else None
            if old is None:
                continue
            if str(old["hash"]).lower() == new.tx_hash:
                return ALREADY_KNOWN
            if not _outbids(new, old):
                return UNDERPRICED
    return None


def _outbids(new: Pooled, old: Mapping[str, Any]) -> bool:
    price = old.get("maxFeePerGas") or old["gasPrice"]
    tip = old.get("maxPriorityFeePerGas") or price
    pairs = ((new.cap_wei, int(price, 16)), (new.tip_wei, int(tip, 16)))
    return all(mine > theirs and mine >= theirs * (100 + PRICE_BUMP_PERCENT) // 100 for mine, theirs in pairs)
