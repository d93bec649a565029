"""Transactions at the signer's port: the same suite over the signer in this process and the one behind its socket."""

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from eth_account import Account
from structlog.testing import capture_logs

from execution.eip1559 import raw_transaction
from execution.ports import Signer, SignerRefused
from execution.signer.local import DAY_MS, TRANSACTIONS_MAX
from tests.canaries import PRIVATE_KEY
from tests.doors import VirtualClock
from tests.execution.signers import DEPOSIT, FAY, FRED, SESSION, approval, local_signer
from tests.execution.test_signer_socket import serving


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(params=["local", "remote"])
async def signer(request: pytest.FixtureRequest, clock: VirtualClock, tmp_path: Path) -> AsyncIterator[Signer]:
    local = local_signer(broken=frozenset({FRED}), clock=clock)
    if request.param == "local":
        yield local
        return
    async with serving(tmp_path / "signer", local) as remote:
        yield remote


async def test_an_approval_is_signed_for_its_sender(signer: Signer) -> None:
    signature = await signer.sign_transaction(approval(), key=FAY)
    assert Account.recover_transaction(raw_transaction(approval(), signature)).lower() == FAY
    assert await signer.sign_transaction(approval(), key=FAY.upper().replace("X", "x")) == signature


@pytest.mark.parametrize(
    ("changes", "key", "sentence"),
    [
        ({}, SESSION, "only a wallet's own key signs transactions"),
        ({}, DEPOSIT, "is no EOA"),
        ({}, FRED, "cannot be opened"),
        ({"value_wei": 1}, FAY, "sends POL"),
        ({"chain_id": 80002}, FAY, "for chain 137 alone"),
        ({"calldata": bytes.fromhex("a9059cbb") + bytes(64)}, FAY, "neither approve nor setApprovalForAll"),
        ({"calldata": approval().calldata + bytes(32)}, FAY, "not 100"),
        ({"to": "0x" + "5a" * 20}, FAY, "is none that this signer signs"),
        ({"max_fee_per_gas": 10**15}, FAY, "thousandths of a POL"),
    ],
)
async def test_everything_else_is_refused_with_a_sentence(
    signer: Signer, changes: dict[str, object], key: str, sentence: str
) -> None:
    with pytest.raises(SignerRefused, match=sentence):
        await signer.sign_transaction(approval(**changes), key=key)


async def test_another_digest_is_refused(signer: Signer) -> None:
    with pytest.raises(SignerRefused, match="not that of the transaction's fields"):
        await signer.sign_transaction(dataclasses.replace(approval(), nonce=9), key=FAY)


async def test_a_wallet_has_a_bounded_number_of_transactions_in_a_day(signer: Signer, clock: VirtualClock) -> None:
    for nonce in range(TRANSACTIONS_MAX):
        await signer.sign_transaction(approval(nonce=nonce), key=FAY)
    with pytest.raises(SignerRefused, match=r"24 transactions of .* were signed within a day"):
        await signer.sign_transaction(approval(nonce=TRANSACTIONS_MAX), key=FAY)
    clock.advance(DAY_MS / 1_000)
    assert await signer.sign_transaction(approval(nonce=TRANSACTIONS_MAX), key=FAY)


async def test_neither_signature_nor_key_is_logged_or_shown(signer: Signer) -> None:
    with capture_logs() as lines:
        signature = await signer.sign_transaction(approval(), key=FAY)
        with pytest.raises(SignerRefused) as refused:
            await signer.sign_transaction(approval(value_wei=1), key=FAY)
    told = f"{lines!r} {refused.value!r} {signer!r} {vars(signer)!r}"
    assert not any(secret in told for secret in (signature.hex(), repr(signature)[2:-1], PRIVATE_KEY.hex()))
