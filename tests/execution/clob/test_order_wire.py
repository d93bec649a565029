"""The bytes of an order are those of the venue's own client."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_clob_client_v2.order_utils.model.order_data_v2 import SignedOrderV2, order_to_json_v2
from py_clob_client_v2.order_utils.model.side import Side as OfficialSide
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2

from execution.clob.order_wire import order_body
from execution.orders import OrderPlan, OrderType
from ledger.units import Micros, Side
from tests.execution.clob.orders import API_KEY, SIGNATURE, SIGNER, WALLET, plan


def official(order: OrderPlan, signature: bytes) -> bytes:
    signed = SignedOrderV2(
        salt=str(order.salt),
        maker="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" if order.maker == SIGNER else order.maker,
        signer="0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" if order.signer == SIGNER else order.signer,
        tokenId=str(order.token_id),
        makerAmount=str(order.maker_amount),
        takerAmount=str(order.taker_amount),
        side=OfficialSide.BUY if order.side is Side.BUY else OfficialSide.SELL,
        signatureType=SignatureTypeV2(order.signature_type),
        timestamp=str(order.timestamp_ms),
        metadata="0x" + order.metadata.hex(),
        builder="0x" + order.builder.hex(),
        signature="0x" + signature.hex(),
    )
    return json.dumps(order_to_json_v2(signed, API_KEY, order.order_type.value), separators=(",", ":")).encode()


@given(
    side=st.sampled_from(Side),
    size=st.integers(min_value=1, max_value=10**9),
    price=st.integers(min_value=1, max_value=99),
    salt=st.integers(min_value=0, max_value=2**53 - 1),
    token=st.integers(min_value=1, max_value=2**256 - 1),
    kind=st.sampled_from(OrderType),
    signature=st.binary(min_size=65, max_size=65) | st.binary(min_size=480, max_size=480),
)
def test_any_order_has_the_bytes_of_the_official_client(
    side: Side, size: int, price: int, salt: int, token: int, kind: OrderType, signature: bytes
) -> None:
    order = plan(
        side=side,
        size_micros=Micros(size * 10_000),
        limit_micros=Micros(price * 10_000),
        salt=salt,
        token_id=token,
        order_type=kind,
        builder=b"\xab" * 32,
    )
    assert order_body(order, signature, owner=API_KEY) == official(order, signature)


@pytest.mark.parametrize("kind", [1, 2, 3])
def test_wallet_and_signer_stand_where_they_belong(kind: int) -> None:
    order = plan(signature_type=kind, maker=WALLET, signer=WALLET if kind == 3 else SIGNER)
    assert order_body(order, SIGNATURE, owner=API_KEY) == official(order, SIGNATURE)


def test_the_same_order_is_the_same_bytes() -> None:
    assert order_body(plan(), SIGNATURE, owner=API_KEY) == order_body(plan(), SIGNATURE, owner=API_KEY)
