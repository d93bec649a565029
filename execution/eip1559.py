"""Transactions of type 2 (EIP-1559): the fields, the hash that is signed, and the bytes that are broadcast. Pure.

The encoding is a dozen lines of RLP on purpose: the package would bring eth-utils, 250 ms, into every process that
signs. The tests hold each byte against eth-account.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from execution.orders import keccak256

TYPE = b"\x02"
WORD_BOUND, COUNT_BOUND = 1 << 256, 1 << 64
"""Above what a node takes: of amounts of wei, and of nonce, gas and chain id (EIP-2681)."""

CALLDATA_MAX = 1_024
"""Bytes; the longest call that is signed here has 68."""

_ADDRESS = re.compile(r"0x[0-9a-f]{40}")
_SIGNATURE_BYTES = 65


class TransactionError(ValueError):
    """No node would take this, or it cannot be encoded; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """A call of a contract. Fees are wei for each unit of gas, `to` is in lower case; there is no access list.

    `digest` is what is signed, 0x and 64 hex digits, as whoever made the transaction computed it.
    """

    chain_id: int
    nonce: int
    to: str
    calldata: bytes
    gas: int
    max_fee_per_gas: int
    max_priority_fee_per_gas: int
    value_wei: int = 0
    digest: str = ""

    @property
    def fee_max_wei(self) -> int:
        """The most that it can cost beside its value."""
        return self.gas * self.max_fee_per_gas


def with_digest(transaction: Transaction) -> Transaction:
    """The transaction with its digest computed. Raises TransactionError."""
    return replace(transaction, digest=f"0x{signing_hash(transaction).hex()}")


def signing_hash(transaction: Transaction) -> bytes:
    """The 32 bytes to sign, computed anew from the fields. Raises TransactionError."""
    return keccak256(TYPE + _rlp(_fields(transaction)))


def raw_transaction(transaction: Transaction, signature: bytes) -> bytes:
    """What eth_sendRawTransaction takes, of a signature r, s, v with v 27 or 28. A bearer instrument.

    Raises TransactionError.
    """
    if len(signature) != _SIGNATURE_BYTES or signature[64] not in (27, 28):
        raise TransactionError("A signature has 65 bytes, the last of them 27 or 28.")
    r, s = (int.from_bytes(each, "big") for each in (signature[:32], signature[32:64]))
    return TYPE + _rlp([*_fields(transaction), signature[64] - 27, r, s])


def transaction_hash(raw: bytes) -> str:
    """The hash under which everybody will know these bytes."""
    return f"0x{keccak256(raw).hex()}"


_Item = int | bytes | Sequence["_Item"]


def _fields(transaction: Transaction) -> list[_Item]:
    counts = (transaction.chain_id, transaction.nonce, transaction.gas)
    amounts = (transaction.max_priority_fee_per_gas, transaction.max_fee_per_gas, transaction.value_wei)
    if not all(0 <= each < COUNT_BOUND for each in counts) or not all(0 <= each < WORD_BOUND for each in amounts):
        raise TransactionError("A number of the transaction is outside its range.")
    if not _ADDRESS.fullmatch(transaction.to):
        raise TransactionError(f"The transaction is for {transaction.to[:50]!r}, which is no address in lower case.")
    if len(transaction.calldata) > CALLDATA_MAX:
        raise TransactionError(f"The transaction carries more than {CALLDATA_MAX} bytes.")
    return [
        transaction.chain_id,
        transaction.nonce,
        transaction.max_priority_fee_per_gas,
        transaction.max_fee_per_gas,
        transaction.gas,
        bytes.fromhex(transaction.to[2:]),
        transaction.value_wei,
        transaction.calldata,
        [],
    ]


def _rlp(item: _Item) -> bytes:
    if isinstance(item, int):
        item = item.to_bytes((item.bit_length() + 7) // 8, "big")
    if isinstance(item, bytes):
        return item if len(item) == 1 and item[0] < 0x80 else _head(0x80, len(item)) + item
    inside = b"".join(_rlp(each) for each in item)
    return _head(0xC0, len(inside)) + inside


def _head(base: int, length: int) -> bytes:
    if length < 56:
        return bytes((base + length,))
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((base + 55 + len(size),)) + size
