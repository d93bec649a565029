"""Order amounts and hashes against the venue's own vectors and against the official client."""

import dataclasses
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderV2
from py_clob_client_v2.order_utils.model.side import Side as OfficialSide
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2

from execution import orders
from execution.orders import (
    DOMAIN_SEPARATORS,
    ORDER_TYPE,
    ORDER_TYPE_HASH,
    PRICE_DECIMALS,
    ExchangeDomain,
    OffTick,
    OrderDraft,
    OrderError,
    OrderPlan,
    OrderType,
    amount_decimals,
    build_plan,
    contents_hash,
    domain_separator,
    order_amounts,
    order_hash,
    typed_digest,
)
from ledger.units import ONE, Micros, Side, cost_up, micros_from_text

ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
WALLET = "0x" + "11" * 20
TOKEN = 71321045679252212594626385532706912750332728571942532289631379312455583992563
EXCHANGES = {
    ExchangeDomain.CTF_V2: ("2", "0xE111180000d2663C0091e4f400237545B87B996B"),
    ExchangeDomain.NEG_RISK_V2: ("2", "0xe2222d279d744050d28e00520010520000310F59"),
    ExchangeDomain.V3: ("3", "0xe3333700cA9d93003F00f0F71f8515005F6c00Aa"),
}


def draft(**changes: Any) -> OrderDraft:
    """The order of the golden vectors: BUY 10 at 0.52."""
    usual = OrderDraft(
        domain=ExchangeDomain.CTF_V2,
        maker=ADDRESS,
        signer=ADDRESS,
        signature_type=0,
        token_id=TOKEN,
        side=Side.BUY,
        size_micros=Micros(10 * ONE),
        limit_micros=Micros(520_000),
        tick_micros=Micros(10_000),
        salt=12_345,
        timestamp_ms=1_791_220_000_000,
    )
    return dataclasses.replace(usual, **changes)


@pytest.mark.parametrize(
    ("domain", "separator"),
    [
        (ExchangeDomain.CTF_V2, "3264e159346253e26a64e00b69032db0e7d32f94628de3e6eecb50304d7af3d2"),
        (ExchangeDomain.NEG_RISK_V2, "9b858f53327b0bd13af8ec14cfb35234fb9eb7b0504d1a4e61f433840d30e81a"),
        (ExchangeDomain.V3, "466c63910185bbd55e8679264200c4e0abdcbb0c6264eb3d41d13326022e095b"),
    ],
)
def test_domain_separator_is_the_stated_one(domain: ExchangeDomain, separator: str) -> None:
    assert DOMAIN_SEPARATORS[domain].hex() == separator


def test_order_type_hash_is_the_stated_one() -> None:
    assert len(ORDER_TYPE) == 186
    assert ORDER_TYPE_HASH.hex() == "bb86318a2138f5fa8ae32fbe8e659f8fcf13cc6ae4014a707893055433818589"


GOLDEN = [
    ({}, "0x829f484fe8d58daa62b3b065699df8c4b622402da037f4ef3ea3d8b1cf2891ab"),
    (
        {"maker": WALLET, "signer": WALLET, "signature_type": 3},
        "0xde68a5eadabb9ba86b48f01b9e9dbbf8c6aa7b20855166d4fe8985aaa7d20d30",
    ),
    (
        {
            "domain": ExchangeDomain.V3,
            "maker": "0x" + "00" * 20,
            "signer": "0x" + "00" * 20,
            "signature_type": 3,
            "token_id": 1,
            "salt": 1,
            "timestamp_ms": 1_791_220_000,
            "size_micros": Micros(2 * ONE),
            "limit_micros": Micros(500_000),
        },
        "0x529d440652102e5d9aea11536d90c0a43148fc1dc7e80c525de83cd0cfe14040",
    ),
]


@pytest.mark.parametrize(("changes", "expected"), GOLDEN, ids=["type 0", "type 3", "V3 hashOrder on chain"])
def test_plan_has_the_golden_order_hash(changes: dict[str, Any], expected: str) -> None:
    assert build_plan(draft(**changes)).order_hash == expected


def test_plan_carries_what_was_decided_and_the_amounts_on_the_wire() -> None:
    plan = build_plan(draft())

    assert (plan.maker_amount, plan.taker_amount) == (5_200_000, 10_000_000)
    assert (plan.size_micros, plan.limit_micros, plan.order_type) == (10 * ONE, 520_000, OrderType.FAK)


def test_every_recorded_order_hash_is_reproduced(shared_data: Path) -> None:
    record = json.loads((shared_data / "vectors" / "orders_eip712_hmac.json").read_text())
    current = [vector for vector in record["vectors"] if not vector["kind"].startswith("v1")]

    hashes = {vector["kind"]: "0x" + typed_digest(*recorded_hashes(vector["typed_data"])).hex() for vector in current}

    assert len(hashes) == 25
    assert hashes == {vector["kind"]: vector["order_hash"] for vector in current}


def test_every_recorded_amount_is_reproduced(shared_data: Path) -> None:
    grid = json.loads((shared_data / "vectors" / "amount_rounding_grid.json").read_text(), parse_float=str)
    rows = [row for row in grid["rows"] if row["type"] == "limit"]

    wrong = [row for row in rows if _amounts(row) != (int(row["makerAmount"]), int(row["takerAmount"]))]

    assert len(rows) == len(grid["rows"]) == 1_344
    assert wrong == []


def test_tick_table_is_that_of_the_official_client(shared_data: Path) -> None:
    rounding = json.loads((shared_data / "vectors" / "amount_rounding_grid.json").read_text())["rounding"]

    ours = {
        tick: {"price": PRICE_DECIMALS[tick], "size": 2, "amount": amount_decimals(tick)} for tick in PRICE_DECIMALS
    }

    assert ours == {micros_from_text(tick): decimals for tick, decimals in rounding.items()}


@given(tick=st.sampled_from(sorted(PRICE_DECIMALS)), steps=st.integers(1, 9_999), cents=st.integers(1, 10**12))
def test_amounts_on_the_tick_are_exact_and_within_the_allowed_decimals(tick: int, steps: int, cents: int) -> None:
    price, size = steps % (ONE // tick) * tick, cents * 10_000

    money, shares = order_amounts(Side.BUY, price, size_micros=size, tick_micros=tick)

    assert (money, shares) == (cost_up(size, price), size)
    assert order_amounts(Side.SELL, price, size_micros=size, tick_micros=tick) == (shares, money)
    assert money % 10 ** (6 - amount_decimals(tick)) == 0


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"limit_micros": 525_000}, OffTick, "The price 0.525 is not on tick 0.01."),
        ({"limit_micros": 1_000}, OffTick, r"The price 0.001 is outside \[tick, 1 - tick\]."),
        ({"limit_micros": 1_000_000}, OffTick, "The price 1 is outside"),
        ({"tick_micros": 20_000}, OffTick, "The tick 0.02 is none that the venue uses."),
        ({"size_micros": 10_005_000}, OrderError, "The size 10.005 is not positive with at most two decimals."),
        ({"size_micros": 0}, OrderError, "The size 0 is not positive"),
        ({"size_micros": 10**18 + 10_000}, OrderError, "The size"),
        ({"token_id": 0}, OrderError, "no positive uint256"),
        ({"token_id": 1 << 256}, OrderError, "no positive uint256"),
        ({"salt": 1 << 53}, OrderError, "where a JSON number is exact"),
        ({"salt": -1}, OrderError, "The salt -1"),
        ({"timestamp_ms": 0}, OrderError, "no count of milliseconds"),
        ({"signature_type": 4}, OrderError, "none of 0 to 3"),
        ({"signer": WALLET}, OrderError, "demands that maker and signer are one address"),
        ({"maker": "0x12", "signer": "0x12"}, OrderError, "'0x12' is no address"),
        ({"builder": b"short"}, OrderError, "must have 32 bytes each"),
    ],
)
def test_bad_draft_is_refused_with_a_sentence(changes: dict[str, Any], error: type[OrderError], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        build_plan(draft(**changes))


def test_salt_and_builder_code_change_the_hash() -> None:
    hashes = {build_plan(draft(**changes)).order_hash for changes in ({}, {"salt": 12_346}, {"builder": b"\xab" * 32})}

    assert len(hashes) == 3


addresses = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())


@settings(max_examples=60, deadline=None)
@given(
    domain=st.sampled_from(ExchangeDomain),
    side=st.sampled_from(Side),
    addresses=st.tuples(addresses, addresses),
    words=st.tuples(*[st.integers(1, 2**256 - 1)] * 3),
    salt=st.integers(0, 2**53 - 1),
    signature_type=st.integers(0, 3),
    extra=st.tuples(*[st.binary(min_size=32, max_size=32)] * 2),
)
def test_random_orders_hash_as_the_official_client_hashes_them(
    domain: ExchangeDomain,
    side: Side,
    addresses: tuple[str, str],
    words: tuple[int, int, int],
    salt: int,
    signature_type: int,
    extra: tuple[bytes, bytes],
) -> None:
    plan = OrderPlan(
        domain=domain,
        maker=addresses[0],
        signer=addresses[1],
        signature_type=signature_type,
        token_id=words[0],
        side=side,
        size_micros=Micros(0),
        limit_micros=Micros(0),
        tick_micros=Micros(0),
        maker_amount=words[1],
        taker_amount=words[2],
        salt=salt,
        timestamp_ms=salt,
        order_type=OrderType.FAK,
        order_hash="",
        metadata=extra[0],
        builder=extra[1],
    )

    assert order_hash(plan) == _official_hash(plan)


def test_address_cache_is_bounded() -> None:
    assert orders.address_word.cache_info().maxsize == orders.ADDRESSES_CACHED_MAX


def _official_hash(plan: OrderPlan) -> str:
    version, exchange = EXCHANGES[plan.domain]
    client = ExchangeOrderBuilderV2(exchange, 137, signer=None, domain_version=version)
    order = OrderV2(
        salt=str(plan.salt),
        maker=plan.maker,
        signer=plan.signer,
        tokenId=str(plan.token_id),
        makerAmount=str(plan.maker_amount),
        takerAmount=str(plan.taker_amount),
        side=OfficialSide.BUY if plan.side is Side.BUY else OfficialSide.SELL,
        signatureType=SignatureTypeV2(plan.signature_type),
        timestamp=str(plan.timestamp_ms),
        metadata="0x" + plan.metadata.hex(),
        builder="0x" + plan.builder.hex(),
        expiration="0",
    )
    official: str = client.build_order_hash(client.build_order_typed_data(order))
    return official


def recorded_hashes(typed_data: dict[str, Any]) -> tuple[bytes, bytes]:
    """Domain separator and contents hash of a recorded order, computed by our code."""
    domain, message = typed_data["domain"], typed_data["message"]
    order = draft(
        maker=message["maker"],
        signer=message["signer"],
        signature_type=message["signatureType"],
        token_id=message["tokenId"],
        side=Side.SELL if message["side"] else Side.BUY,
        salt=message["salt"],
        timestamp_ms=message["timestamp"],
        metadata=bytes.fromhex(message["metadata"][2:]),
        builder=bytes.fromhex(message["builder"][2:]),
    )
    separator = domain_separator(domain["version"], domain["verifyingContract"], chain_id=domain["chainId"])
    return separator, contents_hash(order, message["makerAmount"], taker_amount=message["takerAmount"])


def _amounts(row: dict[str, Any]) -> tuple[int, int]:
    return order_amounts(
        Side(row["side"]),
        micros_from_text(str(row["price"])),
        size_micros=int(Decimal(str(row["size"])) * ONE),
        tick_micros=micros_from_text(row["tick"]),
    )
