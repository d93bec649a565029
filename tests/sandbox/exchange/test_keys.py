"""API keys: made by a wallet's signature, and each request signed by them."""

import base64
import hmac
from hashlib import sha256

import pytest
from py_clob_client_v2.headers.headers import create_level_1_headers
from py_clob_client_v2.signer import Signer

from execution.sandbox.exchange.keys import Keys
from execution.sandbox.exchange.refusals import Refused
from execution.sandbox.serving import Ask
from tests.sandbox.exchange.traders import CHAIN_ID, Trader, floor, trader
from tests.sandbox.stage import stage


def _stranger(on: object) -> Trader:
    signer = Signer("0x" + "77" * 32, CHAIN_ID)
    return Trader(on=on, signer=signer, wallet=signer.address())  # type: ignore[arg-type]


async def test_a_key_is_created_once_and_derived_ever_after() -> None:
    async with stage() as on:
        somebody = _stranger(on)
        made = await somebody.login()
        assert await somebody.login(method="GET", path="/auth/derive-api-key") == made
        headers = create_level_1_headers(somebody.signer)
        status, body, _ = await somebody._request("POST", "/auth/api-key", headers=headers)
        assert (status, body["error"]) == (400, "Could not create api key")


async def test_a_key_that_was_never_created_cannot_be_derived() -> None:
    async with stage() as on:
        headers = create_level_1_headers(_stranger(on).signer)
        status, _, _ = await _stranger(on)._request("GET", "/auth/derive-api-key", headers=headers)
        assert status == 400


async def test_another_nonce_has_another_key_of_the_same_address() -> None:
    async with stage() as on:
        somebody = _stranger(on)
        first = await somebody.login()
        own = create_level_1_headers(somebody.signer, nonce=1)
        second = await somebody.send("POST", "/auth/api-key", headers=own)
        assert second["apiKey"] != first["apiKey"]
        assert (await somebody.get("/auth/api-keys"))["apiKeys"] == [first["apiKey"], second["apiKey"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"POLY_ADDRESS": "0x" + "12" * 20},
        {"POLY_NONCE": "7"},
        {"POLY_NONCE": "-1"},
        {"POLY_TIMESTAMP": "1700000000"},
        {"POLY_SIGNATURE": "0x12"},
        {"POLY_SIGNATURE": "0x" + "11" * 65},
    ],
)
async def test_a_login_that_the_wallet_did_not_sign_is_refused(wrong: dict[str, str]) -> None:
    async with stage() as on:
        headers = {**create_level_1_headers(_stranger(on).signer), **wrong}
        status, body, _ = await _stranger(on)._request("POST", "/auth/api-key", headers=headers)
        assert (status, body) == (401, {"error": "Invalid L1 Request headers"})


@pytest.mark.parametrize("name", ["api_key", "api_secret", "api_passphrase"])
async def test_a_request_that_the_key_did_not_sign_is_refused(name: str) -> None:
    async with floor() as (_, lena):
        assert lena.creds is not None
        setattr(lena.creds, name, base64.urlsafe_b64encode(bytes(32)).decode())
        assert (await lena.ask("GET", "/data/orders"))[:2] == (401, {"error": "Unauthorized/Invalid api key"})


async def test_a_key_signs_for_its_own_address_alone() -> None:
    async with floor() as (on, lena):
        other = await trader(on, 2)
        other.creds = lena.creds
        assert (await other.ask("GET", "/data/orders"))[0] == 401


async def test_a_deleted_key_is_unknown_and_may_be_created_again() -> None:
    async with floor() as (_, lena):
        assert (await lena.ask("DELETE", "/auth/api-key"))[0] == 200
        assert (await lena.ask("GET", "/auth/api-keys"))[0] == 401
        await lena.login()
        assert (await lena.ask("GET", "/auth/api-keys"))[0] == 200


def test_the_published_request_signatures_are_taken() -> None:
    """The vectors of polymarket.md 3.1: the secret is 32 zero bytes."""
    keys = Keys(1)
    made = keys.create("0x" + "ab" * 20)
    object.__setattr__(made, "secret", base64.urlsafe_b64encode(bytes(32)).decode())
    for method, path, body, signature in (
        ("POST", "/order", b'{"hash":"0x123"}', "TZG7M34gBe1kq1XUzaCxRFCkvdGU_zHBa7bRjwWTlF4="),
        ("GET", "/data/orders", b"", "m6lGS9WyES7JjpAYNd7zIdW5bfHxAAI_pIa1St9vLO4="),
    ):
        headers = {
            "POLY_ADDRESS": made.address,
            "POLY_API_KEY": made.api_key,
            "POLY_PASSPHRASE": made.passphrase,
            "POLY_TIMESTAMP": "1700000000",
            "POLY_SIGNATURE": signature,
        }
        ask = Ask(method=method, target=path, body=body, headers=headers)
        assert keys.caller(ask, path, 1_700_000_000) is made
        with pytest.raises(Refused):
            keys.caller(ask, path, 1_700_000_000 + 301)


def test_a_secret_shows_in_no_picture_of_the_key() -> None:
    made = Keys(1).create("0x" + "ab" * 20)
    assert made.secret not in repr(made)
    assert made.passphrase not in repr(made)


def test_the_signature_is_a_plain_hmac_of_the_exact_bytes() -> None:
    made = Keys(1).create("0x" + "ab" * 20)
    code = hmac.new(base64.urlsafe_b64decode(made.secret), b"1POST/order{'a'}", sha256).digest()
    headers = {
        "POLY_ADDRESS": made.address,
        "POLY_API_KEY": made.api_key,
        "POLY_PASSPHRASE": made.passphrase,
        "POLY_TIMESTAMP": "1",
        "POLY_SIGNATURE": base64.urlsafe_b64encode(code).decode(),
    }
    keys = Keys(1)
    again = keys.create("0x" + "ab" * 20)
    assert keys.caller(Ask(method="POST", target="/order", body=b"{'a'}", headers=headers), "/order", 1) is again
    with pytest.raises(Refused):
        keys.caller(Ask(method="POST", target="/order", body=b'{"a"}', headers=headers), "/order", 1)
