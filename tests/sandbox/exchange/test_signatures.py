"""Who signed an order, and for which exchange: each kind of signature, and each way of being wrong."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2, Side, SignatureTypeV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2, order_to_json_v2
from py_clob_client_v2.signer import Signer

from execution.sandbox.deployment import Addresses
from execution.sandbox.exchange.sent import SentOrder, parse_order
from execution.sandbox.exchange.verifying import Domain, domains, hash_order, signing_key
from execution.sandbox.exchange.wallets import Wallets
from tests.sandbox.exchange.traders import (
    CHAIN_ID,
    CONTRACTS,
    DEPOSIT_WALLET,
    Trader,
    as_session,
    asks,
    floor,
    session_trader,
    trader,
)
from tests.sandbox.stage import stage

GOLDEN_KEY = "0x" + "11" * 32
GOLDEN_TOKEN = "71321045679252212594626385532706912750332728571942532289631379312455583992563"
EXCHANGE, NEG_RISK, THIRD = domains(Addresses())


def _golden(wallet: str, signature_type: int) -> SentOrder:
    """The order of polymarket.md 2.1 with the signature of the venue's own client."""
    signer = Signer(GOLDEN_KEY, CHAIN_ID)
    builder = ExchangeOrderBuilderV2(EXCHANGE.contract, CHAIN_ID, signer, lambda: 12345)
    made = builder.build_signed_order(
        OrderDataV2(
            maker=wallet,
            signer=wallet,
            tokenId=GOLDEN_TOKEN,
            makerAmount="5200000",
            takerAmount="10000000",
            side=Side.BUY,
            signatureType=SignatureTypeV2(signature_type),
            timestamp="1791220000000",
        )
    )
    return parse_order(json.dumps(order_to_json_v2(made, "owner", "FAK")).encode())


@pytest.mark.parametrize(
    ("wallet", "signature_type", "order_hash"),
    [
        (
            "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
            0,
            "0x829f484fe8d58daa62b3b065699df8c4b622402da037f4ef3ea3d8b1cf2891ab",
        ),
        ("0x" + "11" * 20, 3, "0xde68a5eadabb9ba86b48f01b9e9dbbf8c6aa7b20855166d4fe8985aaa7d20d30"),
    ],
)
def test_the_golden_order_has_its_hash_and_its_signer(wallet: str, signature_type: int, order_hash: str) -> None:
    address, wallets = Signer(GOLDEN_KEY, CHAIN_ID).address(), Wallets()
    wallets.register(wallet, address, signature_type=3)
    order = _golden(wallet, signature_type)
    hashed = hash_order(order, EXCHANGE)
    assert hashed.order_hash == order_hash
    assert signing_key(order, hashed, wallets, now_s=0) == address.lower()


def test_the_hash_that_the_third_exchange_gave_on_chain_is_found() -> None:
    order = replace(
        _golden("0x" + "00" * 20, 3),
        salt=1,
        token_id=1,
        making=1_000_000,
        taking=2_000_000,
        timestamp_ms=1_791_220_000,
    )
    assert hash_order(order, THIRD).order_hash == "0x529d440652102e5d9aea11536d90c0a43148fc1dc7e80c525de83cd0cfe14040"


def _vectors(shared_data: Path) -> list[Any]:
    found = json.loads((shared_data / "vectors" / "orders_eip712_hmac.json").read_text())["vectors"]
    return [each for each in found if each["kind"].startswith(("v2_", "v3_")) and each["kind"].endswith("chain137")]


def test_every_recorded_order_of_the_live_exchanges_is_verified(shared_data: Path) -> None:
    for vector in _vectors(shared_data):
        message, domain = vector["typed_data"]["message"], vector["typed_data"]["domain"]
        order = _sent(message, vector["signature"])
        wallets = Wallets()
        owner = Signer(json.loads(_raw(shared_data))["private_key"], CHAIN_ID).address()
        if order.signature_type:
            wallets.register(order.maker, owner, signature_type=order.signature_type)
        hashed = hash_order(order, Domain(domain["version"], domain["verifyingContract"]))
        assert hashed.order_hash == vector["order_hash"], vector["kind"]
        assert signing_key(order, hashed, wallets, now_s=0) == owner.lower(), vector["kind"]


def _raw(shared_data: Path) -> str:
    return (shared_data / "vectors" / "orders_eip712_hmac.json").read_text()


def _sent(message: dict[str, Any], signature: str) -> SentOrder:
    words = {name: str(message[name]) for name in ("tokenId", "makerAmount", "takerAmount", "timestamp")}
    words |= {name: message[name] for name in ("maker", "signer", "metadata", "builder")}
    fields = {
        **words,
        "salt": int(message["salt"]),
        "signatureType": int(message["signatureType"]),
        "side": "BUY" if int(message["side"]) == 0 else "SELL",
        "signature": signature,
    }
    return parse_order(json.dumps({"order": fields, "owner": "", "orderType": "FAK"}).encode())


async def test_a_session_key_trades_for_its_deposit_wallet() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        market = on.box.markets[0]
        posted = await session.post(market, price=asks(on, market)[0])
        truth = on.box.exchange.order(posted["orderID"])
        assert truth is not None
        assert (truth.wallet, truth.key) == (DEPOSIT_WALLET, session.address)


async def test_the_owner_of_a_deposit_wallet_trades_for_it_too() -> None:
    async with floor() as (on, lena):
        await session_trader(on, owner=lena)
        market = on.box.markets[0]
        lena.wallet, lena.signature_type = DEPOSIT_WALLET, 3
        assert (await lena.post(market, price=asks(on, market)[0]))["status"] == "matched"


async def test_an_expired_session_key_trades_no_more() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena, valid_s=-1)
        market = on.box.markets[0]
        assert await session.refused(market, price=asks(on, market)[0]) == (400, "invalid signature")


async def test_a_revoked_session_key_is_unknown_and_its_orders_are_gone() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        market = on.box.markets[0]
        resting = await session.post(market, price=50_000, kind="GTC")
        on.box.exchange.revoke_session(DEPOSIT_WALLET, session.address)
        assert (await session.refused(market, price=asks(on, market)[0]))[0] == 401
        truth = on.box.exchange.order(resting["orderID"])
        assert truth is not None
        assert truth.status == "CANCELED"
        assert on.box.exchange.free(DEPOSIT_WALLET) == on.box.exchange.cash(DEPOSIT_WALLET)


async def test_a_session_key_cannot_sign_as_the_owner() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        session.session = False
        market = on.box.markets[0]
        assert (await session.refused(market, price=asks(on, market)[0]))[1] == "invalid signature"


async def test_the_owner_of_another_key_cannot_post_what_a_session_signed() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        market = on.box.markets[0]
        body = session.body(market, price=asks(on, market)[0])
        assert lena.creds is not None
        body["owner"] = lena.creds.api_key
        status, answer, _ = await lena.ask("POST", "/order", body)
        assert (status, answer["error"]) == (400, "the order signer address has to be the address of the API KEY")


@pytest.mark.parametrize("cut", [1, 65, 128, 400])
async def test_a_session_signature_written_in_another_way_is_refused(cut: int) -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        market = on.box.markets[0]
        body = session.body(market, price=asks(on, market)[0])
        signature = bytes.fromhex(body["order"]["signature"][2:])
        body["order"]["signature"] = "0x" + (signature[:cut] + b"\x01" + signature[cut + 1 :]).hex()
        assert (await session.ask("POST", "/order", body))[1] == {"error": "invalid signature"}


async def test_a_signature_for_another_exchange_is_a_version_mismatch() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        for contract in (("2", CONTRACTS.neg_risk_exchange), ("3", CONTRACTS.exchange_v3)):
            refused = await lena.refused(market, price=asks(on, market)[0], contract=contract)
            assert refused == (400, "order_version_mismatch")


@pytest.mark.parametrize("change", [{"makerAmount": "1"}, {"salt": 7}, {"side": "SELL"}, {"timestamp": "1"}])
async def test_a_field_that_was_changed_after_signing_spoils_the_signature(change: dict[str, Any]) -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        body = lena.body(market, price=asks(on, market)[0])
        body["order"] |= change
        assert (await lena.ask("POST", "/order", body))[1] == {"error": "invalid signature"}


@pytest.mark.parametrize("signature_type", [1, 2])
async def test_a_proxy_and_a_safe_trade_by_their_owner_alone(signature_type: int) -> None:
    async with floor() as (on, lena):
        fay = await trader(on, 2)
        wallet = "0x" + "5a" * 20
        on.box.exchange.register_wallet(wallet, lena.address, signature_type=signature_type)
        on.box.exchange.fund(wallet, 1_000_000_000)
        market = on.box.markets[0]
        for who in (lena, fay):
            who.wallet, who.signature_type = wallet, signature_type
        assert (await lena.post(market, price=asks(on, market)[0]))["status"] == "matched"
        assert await fay.refused(market, price=asks(on, market)[0]) == (400, "maker address not allowed")


async def test_nobody_trades_for_a_wallet_that_nobody_knows() -> None:
    async with floor() as (on, lena):
        market = on.box.markets[0]
        for signature_type in (0, 1, 2, 3):
            lena.wallet, lena.signature_type = "0x" + "99" * 20, signature_type
            assert (await lena.refused(market, price=asks(on, market)[0]))[1] == "maker address not allowed"


async def test_an_order_of_the_first_version_is_refused_by_name() -> None:
    async with floor() as (on, lena):
        body = lena.body(on.box.markets[0], price=asks(on, on.box.markets[0])[0])
        del body["order"]["timestamp"]
        body["order"] |= {"nonce": "0", "feeRateBps": "0", "taker": "0x" + "00" * 20}
        status, answer, _ = await lena.ask("POST", "/order", body)
        assert (status, answer["error"]) == (400, "invalid order version, please use the latest clob-client")


@pytest.mark.parametrize(
    "change",
    [
        {"salt": 2**53},
        {"salt": "12"},
        {"maker": "nobody"},
        {"makerAmount": "-1"},
        {"makerAmount": 5},
        {"side": "HOLD"},
        {"signatureType": 4},
        {"signature": "12"},
        {"metadata": "0x"},
    ],
)
async def test_what_is_no_order_is_an_invalid_payload(change: dict[str, Any]) -> None:
    async with floor() as (on, lena):
        body = lena.body(on.box.markets[0], price=asks(on, on.box.markets[0])[0])
        body["order"] |= change
        assert (await lena.ask("POST", "/order", body))[:2] == (400, {"error": "Invalid order payload"})


async def test_an_order_names_the_key_that_posts_it() -> None:
    async with floor() as (on, lena):
        body = lena.body(on.box.markets[0], price=asks(on, on.box.markets[0])[0])
        body["owner"] = "somebody"
        answer = await lena.ask("POST", "/order", body)
        assert answer[1] == {"error": "the order owner has to be the owner of the API KEY"}


def test_only_a_deposit_wallet_has_session_keys() -> None:
    wallets = Wallets()
    wallets.register("0x" + "aa" * 20, "0x" + "bb" * 20, signature_type=2)
    for wallet in ("0x" + "aa" * 20, "0x" + "cc" * 20):
        with pytest.raises(ValueError, match="deposit wallet"):
            wallets.authorize(wallet, "0x" + "dd" * 20, valid_until_s=1)
    with pytest.raises(ValueError, match="no such session"):
        wallets.revoke("0x" + "aa" * 20, "0x" + "dd" * 20)


async def test_what_a_session_may_do_is_told_to_the_owner_and_to_itself() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        on.box.exchange.authorize_session(DEPOSIT_WALLET, "0x" + "ee" * 20, valid_until_s=5)
        for who, count in ((lena, 2), (session, 1)):
            told = await who.get("/v1/user/session-signers")
            assert (told["wallet"], len(told["signers"])) == (DEPOSIT_WALLET, count)
        assert (await session.get("/v1/user/session-signers"))["signers"][0]["address"] == session.address


async def test_a_session_sees_its_own_orders_and_the_owner_does_not() -> None:
    async with floor() as (on, lena):
        session = await session_trader(on, owner=lena)
        market = on.box.markets[0]
        resting = await session.post(market, price=50_000, kind="GTC")
        await session.post(market, price=asks(on, market)[0])
        lena.wallet, lena.signature_type = DEPOSIT_WALLET, 3
        for path, count in (("/data/orders", 1), ("/data/trades", 1)):
            assert len(await session.rows(path)) == count
            assert await lena.rows(path) == []
        assert (await lena.ask("GET", f"/data/order/{resting['orderID']}"))[0] == 404
        cancelled = await lena.ask("DELETE", "/order", {"orderID": resting["orderID"]})
        assert cancelled[1]["canceled"] == []


async def test_the_wrapping_of_a_session_is_the_published_one() -> None:
    signature = "0x" + "11" * 317
    wrapped = bytes.fromhex(as_session(signature, "0x" + "22" * 20)[2:])
    assert (len(wrapped), wrapped[-32:].hex()) == (480, "6492" * 16)


async def test_a_trader_is_who_his_key_says() -> None:
    async with stage() as on:
        lena = Trader(on=on, signer=Signer(GOLDEN_KEY, CHAIN_ID), wallet="0x" + "00" * 20)
        assert lena.address == "0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a"
