"""Signatures against the venue's vectors; keys that never show themselves."""

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account

from execution.orders import (
    ExchangeDomain,
    OrderPlan,
    build_plan,
    keccak256,
    order_digest,
    typed_digest,
)
from execution.ports import SignerRefused
from execution.signing import LocalSigner, address_of, nested_digest, sign_order, wrap_nested, wrap_session
from tests.execution.test_orders import ADDRESS, WALLET, draft, recorded_hashes

KEY = b"\x11" * 32
OWNER_PLAN = build_plan(draft())
DEPOSIT_PLAN = build_plan(draft(maker=WALLET, signer=WALLET, signature_type=3))


def signer() -> LocalSigner:
    return LocalSigner({ADDRESS: KEY, WALLET: KEY})


def test_address_of_a_key_is_checksummed() -> None:
    assert address_of(KEY) == ADDRESS


def test_wallet_signature_is_the_golden_one() -> None:
    assert sign_order(signer(), OWNER_PLAN, wallet=ADDRESS).hex() == (
        "7566cc9dea9d839e36718bdb10c54c28f62c21fd347967d4526e4b9681091d3f"
        "6b8b1dc9cb993f1810facce2420c5c4ebaf49c4d7c3abafd3291fea80bc746eb1c"
    )


def test_deposit_wallet_signature_is_the_golden_one() -> None:
    signature = sign_order(signer(), DEPOSIT_PLAN, wallet=WALLET)

    assert signature[:65].hex() == (
        "0f29a0c7a45d5bd6fc329f7bf4edbd6f3de49dafd9850ef891918afe93f99dd6"
        "41b13447b87a03ebf806c5f047af346ec2211e65f2e806fac1a72d626a3b086d1b"
    )
    assert len(signature) == 317
    assert keccak256(signature).hex() == "dc11f90527e413460cd6c58e41716d291f6e20d4158785111cfde113527718a6"


def test_session_key_wrapping_is_the_golden_one() -> None:
    wrapped = wrap_session(sign_order(signer(), DEPOSIT_PLAN, wallet=WALLET), ADDRESS)

    assert len(wrapped) == 480
    assert keccak256(wrapped).hex() == "be1c61e87ecc70f013a5046223214fac916761a1bc9ea907d6547711db91ce29"


def test_every_recorded_signature_is_reproduced(shared_data: Path) -> None:
    record = json.loads((shared_data / "vectors" / "orders_eip712_hmac.json").read_text())
    key = bytes.fromhex(record["private_key"][2:])
    current = [vector for vector in record["vectors"] if not vector["kind"].startswith("v1")]

    ours = {vector["kind"]: _signature(vector["typed_data"], key) for vector in current}

    assert len(ours) == 25
    assert ours == {vector["kind"]: vector["signature"] for vector in current}


@pytest.mark.parametrize("domain", ExchangeDomain)
def test_an_independent_library_recovers_the_signer(domain: ExchangeDomain) -> None:
    plan = build_plan(draft(domain=domain))

    signature = sign_order(signer(), plan, wallet=ADDRESS)

    assert Account._recover_hash(order_digest(plan), signature=signature) == ADDRESS


def test_wallet_is_found_in_any_letter_case_and_signs_the_same_bytes_again() -> None:
    digest = order_digest(OWNER_PLAN)

    assert signer().sign(ADDRESS.lower(), digest) == signer().sign(ADDRESS, digest)


@pytest.mark.parametrize("plan", [OWNER_PLAN, DEPOSIT_PLAN], ids=["type 0", "type 3"])
def test_signer_refuses_a_wallet_it_has_no_key_for(plan: OrderPlan) -> None:
    with pytest.raises(SignerRefused, match="There is no key for wallet 0xAnn"):
        sign_order(signer(), plan, wallet="0xAnn")


def test_signer_refuses_what_is_no_digest() -> None:
    with pytest.raises(SignerRefused, match="A digest has 32 bytes, not 31"):
        signer().sign(ADDRESS, bytes(31))


@pytest.mark.parametrize("bad", [b"", b"\x11" * 31, bytes(32), b"\xff" * 32])
def test_a_bad_key_is_refused_without_being_shown(bad: bytes) -> None:
    with pytest.raises(SignerRefused, match=f"The key of wallet {WALLET}") as refused:
        LocalSigner({WALLET: bad})

    assert refused.value.__cause__ is None
    assert "ffff" not in str(refused.value)


def test_a_key_neither_prints_nor_copies_nor_pickles_itself() -> None:
    holder = signer()

    shown = repr(holder) + repr(vars(holder)) + str(holder)

    assert KEY.hex() not in shown
    assert repr(KEY) not in shown
    for escape in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="A private key is never copied or written out"):
            escape(holder)


def _signature(typed_data: dict[str, Any], key: bytes) -> str:
    separator, contents = recorded_hashes(typed_data)
    local = LocalSigner({WALLET: key})
    if typed_data["message"]["signatureType"] != 3:
        return "0x" + local.sign(WALLET, typed_digest(separator, contents)).hex()
    wallet, chain_id = typed_data["message"]["signer"], typed_data["domain"]["chainId"]
    inner = local.sign(WALLET, nested_digest(contents, separator, wallet=wallet, chain_id=chain_id))
    return "0x" + wrap_nested(inner, separator, contents=contents).hex()
