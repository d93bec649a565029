"""Reorganisations of the local chain: the last blocks are undone and mined anew, with what they held or without some.

The node itself says nothing of the logs it takes back; who must hear of them is told here.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from execution.sandbox.chain_funds import Changes, Funds, Key
from execution.sandbox.node import Node

FIELDS = ("from", "to", "gas", "value", "input", "nonce", "type", "maxFeePerGas", "maxPriorityFeePerGas", "accessList")
"""What a transaction of a wallet without a key is sent anew from."""

WITH_TRANSACTIONS = True
"""Of a block."""

Log = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What a reorg takes back: the blocks from `first_block` on, by their hashes, and their logs, newest first, each
    marked as removed.
    """

    first_block: int
    block_hashes: frozenset[str]
    logs: tuple[Log, ...]


RemovalListener = Callable[[Removal], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reorg:
    """What a reorganisation did. Only what was dropped is no longer part of the chain."""

    removal: Removal
    mined_again: tuple[str, ...]
    dropped: tuple[str, ...]
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Old hash to new, for what could not be sent again as it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A transaction of an orphaned block; `raw` as it was signed, or empty for a wallet without a key."""

    fields: Mapping[str, Any]
    raw: str

    @property
    def tx_hash(self) -> str:
        """Of the transaction as it was."""
        return str(self.fields["hash"])

    @property
    def sender(self) -> str:
        """Lower-case."""
        return str(self.fields["from"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """A block that is undone."""

    number: int
    block_hash: str
    time_s: int
    sent: tuple[Sent, ...]
    logs: tuple[Log, ...]


class Reorganiser:
    """Undoes and mines again. Only while nothing else mines or sends."""

    def __init__(self, node: Node, funds: Funds, keyless: Collection[str]) -> None:
        """`keyless` are the wallets, lower-case, whose transactions carry no signature of theirs."""
        self._node = node
        self._funds = funds
        self._keyless = keyless
        self._count = 0

    async def undo(self, depth: int, drop: Collection[str], effects: Mapping[str, Changes]) -> tuple[Orphan, ...]:
        """Take the last blocks off the chain, and answer them, oldest first. `effects` are of each transaction."""
        head = await self._node.number("eth_blockNumber")
        orphans = [await self._orphan(number) for number in range(head - depth + 1, head + 1)]
        await self._node.call("anvil_rollback", depth)
        # The same transactions at the same times give the same blocks, unless somebody else mined them.
        self._count += 1
        await self._node.call("anvil_setCoinbase", f"0x{self._count:040x}")
        lost: Counter[Key] = Counter()
        for orphan in orphans:
            for sent in orphan.sent:
                if sent.tx_hash in drop:
                    lost.update({key: change for key, change in effects.get(sent.tx_hash, {}).items() if change > 0})
        await self._funds.rolled_back(head - depth, lost)
        return tuple(orphans)

    async def redo(self, orphans: Sequence[Orphan], drop: Collection[str]) -> dict[str, str]:
        """Mine the blocks anew, without what is dropped. Answers the new hash of each transaction that is back."""
        hashes: dict[str, str] = {}
        kept = Counter(sent.sender for orphan in orphans for sent in orphan.sent if sent.tx_hash not in drop)
        for orphan in orphans:
            for sent in orphan.sent:
                if sent.tx_hash not in drop:
                    kept[sent.sender] -= 1
                    hashes[sent.tx_hash] = await self._send_again(sent)
                elif kept[sent.sender]:
                    await self._fill_nonce(sent)
            await self._node.call("evm_mine", {"timestamp": orphan.time_s})
            await self._funds.replay(orphan.number)
        return hashes

    async def _orphan(self, number: int) -> Orphan:
        block = await self._node.call("eth_getBlockByNumber", hex(number), WITH_TRANSACTIONS)
        logs = await self._node.call("eth_getLogs", {"blockHash": block["hash"]})
        sent = [await self._sent(fields) for fields in block["transactions"]]
        return Orphan(
            number=number,
            block_hash=str(block["hash"]),
            time_s=int(block["timestamp"], 16),
            sent=tuple(sent),
            logs=tuple(logs),
        )

    async def _sent(self, fields: Mapping[str, Any]) -> Sent:
        if str(fields["from"]).lower() in self._keyless:
            return Sent(fields=fields, raw="")
        raw = await self._node.text("eth_getRawTransactionByHash", fields["hash"])
        return Sent(fields=fields, raw=raw)

    async def _send_again(self, sent: Sent) -> str:
        if sent.raw:
            return await self._node.text("eth_sendRawTransaction", sent.raw)
        return await self._node.text(
            "eth_sendTransaction", {name: sent.fields[name] for name in FIELDS if name in sent.fields}
        )

    async def _fill_nonce(self, sent: Sent) -> None:
        """Later transactions of the sender are kept: something must take the place of the one that is gone."""
        await self._node.call("anvil_impersonateAccount", sent.sender)
        filler = {"from": sent.sender, "to": sent.sender, "nonce": sent.fields["nonce"], "gas": hex(21_000)}
        await self._node.call("eth_sendTransaction", filler)
        if sent.sender.lower() not in self._keyless:
            await self._node.call("anvil_stopImpersonatingAccount", sent.sender)


def removal_of(orphans: Sequence[Orphan]) -> Removal:
    """What listeners are told of the blocks that are undone."""
    return Removal(
        first_block=orphans[0].number,
        block_hashes=frozenset(orphan.block_hash for orphan in orphans),
        logs=tuple({**log, "removed": True} for orphan in reversed(orphans) for log in reversed(orphan.logs)),
    )
