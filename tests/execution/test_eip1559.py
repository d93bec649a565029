"""Transactions of type 2: byte for byte what eth-account makes of them, whatever is in them."""

import dataclasses
from typing import Any

import pytest
from eth_account import Account
from eth_utils.address import to_checksum_address
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.eip1559 import (
    CALLDATA_MAX,
    Transaction,
    TransactionError,
    raw_transaction,
    signing_hash,
    transaction_hash,
    with_digest,
)
from execution.ports import SignerRefused
from execution.signing import LocalSigner, sign_transaction
from tests.canaries import PRIVATE_KEY
from tests.execution.signers import FAY, FRED, approval

counts, amounts = st.integers(0, 2**64 - 1), st.integers(0, 2**256 - 1)
edges = st.sampled_from((0, 1, 0x7F, 0x80, 0xFF, 0x100, 2**64 - 1))

transactions = st.builds(
    Transaction,
    chain_id=st.integers(1, 2**53),
    nonce=counts | edges,
    to=st.binary(min_size=20, max_size=20).map(lambda address: f"0x{address.hex()}"),
    calldata=st.binary(max_size=CALLDATA_MAX) | st.integers(0, CALLDATA_MAX).map(bytes),
    gas=counts | edges,
    max_fee_per_gas=amounts | edges,
    max_priority_fee_per_gas=amounts | edges,
    value_wei=amounts | edges,
)


@settings(max_examples=200)
@given(transactions)
def test_hash_and_bytes_are_those_of_eth_account(transaction: Transaction) -> None:
    signed = Account.sign_transaction(as_dict(transaction), PRIVATE_KEY)
    signature = sign_transaction(LocalSigner({FAY: PRIVATE_KEY}), with_digest(transaction), wallet=FAY)
    raw = raw_transaction(transaction, signature)
    assert raw == signed.raw_transaction
    assert transaction_hash(raw) == f"0x{signed.hash.hex()}"
    assert Account.recover_transaction(raw).lower() == FAY


def as_dict(transaction: Transaction) -> dict[str, Any]:
    return {
        "type": 2,
        "chainId": transaction.chain_id,
        "nonce": transaction.nonce,
        "to": to_checksum_address(transaction.to),
        "data": transaction.calldata,
        "gas": transaction.gas,
        "maxFeePerGas": transaction.max_fee_per_gas,
        "maxPriorityFeePerGas": transaction.max_priority_fee_per_gas,
        "value": transaction.value_wei,
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"nonce": -1}, "outside its range"),
        ({"nonce": 2**64}, "outside its range"),
        ({"max_fee_per_gas": 2**256}, "outside its range"),
        ({"value_wei": -1}, "outside its range"),
        ({"to": ""}, "no address in lower case"),
        ({"to": FAY.upper()}, "no address in lower case"),
        ({"to": FAY + "00"}, "no address in lower case"),
        ({"calldata": bytes(CALLDATA_MAX + 1)}, "more than 1024 bytes"),
    ],
)
def test_what_no_node_takes_is_not_encoded(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(TransactionError, match=sentence):
        signing_hash(dataclasses.replace(approval(), **changes))
    with pytest.raises(SignerRefused, match=sentence):
        sign_transaction(LocalSigner({FAY: PRIVATE_KEY}), dataclasses.replace(approval(), **changes), wallet=FAY)


def test_another_digest_is_never_signed() -> None:
    forged = dataclasses.replace(approval(), nonce=4)
    with pytest.raises(SignerRefused, match="not that of the transaction's fields"):
        sign_transaction(LocalSigner({FAY: PRIVATE_KEY}), forged, wallet=FAY)
    with pytest.raises(SignerRefused, match="no key for wallet"):
        sign_transaction(LocalSigner({FAY: PRIVATE_KEY}), approval(), wallet=FRED)


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(65), bytes(64) + b"\x1d", bytes(66)])
def test_what_is_no_signature_makes_no_bytes(signature: bytes) -> None:
    with pytest.raises(TransactionError, match="65 bytes"):
        raw_transaction(approval(), signature)
