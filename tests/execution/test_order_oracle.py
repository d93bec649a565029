"""Our orders against py-clob-client-v2: the same bytes and the same amounts, on thousands of random orders."""

import json
from decimal import Decimal
from math import floor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from py_clob_client_v2.order_builder.builder import ROUNDING_CONFIG, OrderBuilder
from py_clob_client_v2.order_utils.exchange_order_builder_v2 import ExchangeOrderBuilderV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2
from py_clob_client_v2.order_utils.model.side import Side as OfficialSide
from py_clob_client_v2.order_utils.model.signature_type_v2 import SignatureTypeV2
from py_clob_client_v2.signer import Signer as OfficialSigner
from py_clob_client_v2.signing.eip712 import sign_clob_auth_message

from execution.orders import (
    EXCHANGES,
    PRICE_DECIMALS,
    ExchangeDomain,
    OrderDraft,
    OrderError,
    OrderPlan,
    OrderType,
    build_plan,
    cut_amounts,
    order_amounts,
)
from execution.ports import Login
from execution.signing import LocalSigner, address_of, sign_login, sign_order, wrap_session
from ledger.system import SeededRandomness
from ledger.units import ONE, SHARE_STEP, Micros, Side, text_from_micros
from tests.canaries import PRIVATE_KEY
from tests.execution.test_orders import draft

OWNER = address_of(PRIVATE_KEY)
SIGNER = LocalSigner({OWNER: PRIVATE_KEY})
OFFICIAL = OfficialSigner("0x" + PRIVATE_KEY.hex(), 137)
BUILDER = OrderBuilder(OFFICIAL)
EACH = 250
"""Random orders of each domain and signature type: three thousand together."""


def random_draft(chance: SeededRandomness, domain: ExchangeDomain, signature_type: int) -> OrderDraft:
    tick = chance.choice(sorted(PRICE_DECIMALS))
    wallet = "0x" + f"{chance.below(1 << 160):040x}"
    return draft(
        domain=domain,
        maker=OWNER if signature_type == 0 else wallet,
        signer=wallet if signature_type == 3 else OWNER,
        signature_type=signature_type,
        token_id=chance.below(1 << 256) or 1,
        side=chance.choice((Side.BUY, Side.SELL)),
        size_micros=Micros((500 + chance.below(10**7)) * SHARE_STEP),
        limit_micros=Micros((1 + chance.below(ONE // tick - 1)) * tick),
        tick_micros=Micros(tick),
        salt=chance.below(1 << 53),
        timestamp_ms=1 + chance.below(1 << 42),
        metadata=chance.below(1 << 256).to_bytes(32, "big"),
        builder=chance.below(1 << 256).to_bytes(32, "big"),
        whole_cents=chance.below(2) == 1,
    )


def official_signature(plan: OrderPlan) -> tuple[str, str]:
    """Order hash and signature as the official client makes them of the plan's fields."""
    version, exchange = EXCHANGES[plan.domain]
    client = ExchangeOrderBuilderV2(
        exchange, 137, OFFICIAL, generate_salt=lambda: str(plan.salt), domain_version=version
    )
    order = client.build_order(
        OrderDataV2(
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
    )
    typed = client.build_order_typed_data(order)
    return client.build_order_hash(typed), client.build_order_signature(typed)


@pytest.mark.parametrize("domain", ExchangeDomain)
@pytest.mark.parametrize("signature_type", [0, 1, 2, 3])
def test_random_orders_have_the_official_bytes(domain: ExchangeDomain, signature_type: int) -> None:
    chance = SeededRandomness(signature_type * 10 + len(domain))
    for _number in range(EACH):
        plan = build_plan(random_draft(chance, domain, signature_type))
        ours = plan.order_hash, "0x" + sign_order(SIGNER, plan, wallet=OWNER).hex()
        assert ours == official_signature(plan)


def test_a_session_wraps_the_official_bytes() -> None:
    chance = SeededRandomness(7)
    for _number in range(50):
        plan = build_plan(random_draft(chance, ExchangeDomain.V3, 3))
        inner = bytes.fromhex(official_signature(plan)[1][2:])
        assert sign_order(SIGNER, plan, wallet=OWNER, session=True) == wrap_session(inner, OWNER)


def test_logins_have_the_official_bytes() -> None:
    chance = SeededRandomness(8)
    for _number in range(50):
        login = Login(address=OWNER, timestamp=chance.below(1 << 32), nonce=chance.below(1 << 20))
        ours = "0x" + sign_login(SIGNER, login, chain_id=137).hex()
        assert ours == sign_clob_auth_message(OFFICIAL, login.timestamp, login.nonce)


def test_every_recorded_login_is_reproduced(shared_data: Path) -> None:
    record = json.loads((shared_data / "vectors" / "orders_eip712_hmac.json").read_text())
    key = bytes.fromhex(record["private_key"][2:])
    logins = record["l1_auth"]
    signer = LocalSigner({logins[0]["address"]: key})
    ours = ["0x" + sign_login(signer, login_of(each), chain_id=each["chain"]).hex() for each in logins]
    assert len(ours) == 3
    assert ours == [each["signature"] for each in logins]


@pytest.mark.parametrize("tick", sorted(PRICE_DECIMALS))
def test_random_limit_amounts_are_those_of_the_official_builder(tick: int) -> None:
    chance, compared = SeededRandomness(tick), 0
    for _number in range(1_000):
        price = (1 + chance.below(ONE // tick - 1)) * tick
        cents = 1 + chance.below(10**7)
        if floor(cents / 100 * 100) != cents:
            continue  # There the client's floats lose a hundredth of a share.
        compared += 1
        for side in Side:
            ours = order_amounts(side, price, size_micros=cents * SHARE_STEP, tick_micros=tick)
            assert ours == official_amounts(BUILDER.get_order_amounts, side, cents / 100, price, tick)
    assert compared > 800


def test_small_orders_are_cut_as_the_official_market_orders() -> None:
    # On finer ticks the client keeps more decimals than the venue takes (Polymarket/py-clob-client-v2#99).
    chance, floored = SeededRandomness(3), 0
    for _number in range(2_000):
        price, cents = (1 + chance.below(99)) * 10_000, 200 + chance.below(800)
        if floor(cents / 100 * 100) != cents or floor(price / ONE * 100) * 10_000 != price:
            continue  # There the client's floats lose a hundredth of a share, or a tick: 0.29 becomes 0.28.
        sold = cut_amounts(Side.SELL, price, size_micros=cents * SHARE_STEP, tick_micros=10_000)
        assert sold == official_amounts(BUILDER.get_market_order_amounts, Side.SELL, cents / 100, price, 10_000)
        money, shares = cut_or_nothing(Side.BUY, price, cents * SHARE_STEP)
        if money * ONE == shares * price or floor(money / ONE * 100) * 10_000 != money:
            continue
        floored += 1
        bought = official_amounts(BUILDER.get_market_order_amounts, Side.BUY, money / ONE, price, 10_000)
        assert (money, shares) == bought
    assert floored > 200


sizes = st.integers(500, 10**8).map(lambda cents: cents * SHARE_STEP)


@given(
    tick=st.sampled_from(sorted(PRICE_DECIMALS)), steps=st.integers(1, 9_999), size=sizes, side=st.sampled_from(Side)
)
def test_cut_amounts_keep_the_venues_decimals_and_every_bound(tick: int, steps: int, size: int, side: Side) -> None:
    price = (1 + steps % (ONE // tick - 1)) * tick
    try:
        maker, taker = cut_amounts(side, price, size_micros=size, tick_micros=tick)
    except OrderError:
        # Only orders far under the venue's minimum of a dollar.
        assert size * price < ONE * ONE
        return
    money, shares = (maker, taker) if side is Side.BUY else (taker, maker)
    assert maker % 10_000 == 0 and taker % 100 == 0
    assert 0 < shares <= size and 0 < money * ONE <= size * price
    asked = Decimal(money) / shares * ONE
    assert price <= asked < price + tick if side is Side.BUY else price - tick < asked <= price
    assert asked == price or size * price - money * ONE < 10_000 * ONE
    assert size * price < ONE * ONE or (shares * 10 >= size * 9 and money >= ONE)


@pytest.mark.parametrize(
    ("side", "price", "size", "amounts"),
    [
        (Side.BUY, "0.51", "196.07", ("99.96", "196")),
        (Side.BUY, "0.50", "196.07", ("98.03", "196.06")),
        (Side.BUY, "0.51", "5.9", ("3", "5.8823")),
        (Side.BUY, "0.91", "1.11", ("1.01", "1.1098")),
        (Side.BUY, "0.50", "100", ("50", "100")),
        (Side.BUY, "0.52", "10", ("5.2", "10")),
        (Side.SELL, "0.51", "196.07", ("196.07", "99.9957")),
    ],
)
def test_worked_cuts(side: Side, price: str, size: str, amounts: tuple[str, str]) -> None:
    found = cut_amounts(side, int(Decimal(price) * ONE), size_micros=int(Decimal(size) * ONE), tick_micros=10_000)
    assert tuple(text_from_micros(each) for each in found) == amounts


def test_a_fine_tick_is_cut_to_four_decimals() -> None:
    bought = cut_amounts(Side.BUY, 983_000, size_micros=19_140_000, tick_micros=1_000)
    assert bought == (18_810_000, 19_135_300)
    assert cut_amounts(Side.BUY, 985_000, size_micros=10_140_000, tick_micros=1_000) == (9_850_000, 10_000_000)
    assert cut_amounts(Side.SELL, 985_300, size_micros=10_010_000, tick_micros=100) == (10_000_000, 9_853_000)
    assert cut_amounts(Side.SELL, 985_300, size_micros=1_500_000, tick_micros=100) == (1_500_000, 1_477_900)


@pytest.mark.parametrize("order_type", OrderType)
@pytest.mark.parametrize("whole_cents", [False, True])
def test_only_orders_that_never_rest_are_cut_and_only_when_asked(order_type: OrderType, whole_cents: bool) -> None:
    odd = {"size_micros": Micros(196_070_000), "limit_micros": Micros(510_000), "order_type": order_type}
    plan = build_plan(draft(**odd, whole_cents=whole_cents))
    cut = whole_cents and order_type is not OrderType.GTC
    assert (plan.maker_amount, plan.taker_amount) == ((99_960_000, 196_000_000) if cut else (99_995_700, 196_070_000))
    assert (plan.size_micros, plan.limit_micros) == (196_070_000, 510_000)


def test_what_is_too_small_for_the_decimals_is_refused() -> None:
    with pytest.raises(OrderError, match=r"0\.01 shares are too few for the venue's decimals"):
        build_plan(draft(size_micros=Micros(10_000), limit_micros=Micros(20_000), whole_cents=True))


def cut_or_nothing(side: Side, price: int, size: int) -> tuple[int, int]:
    try:
        return cut_amounts(side, price, size_micros=size, tick_micros=10_000)
    except OrderError:
        return 0, 0


def login_of(row: dict[str, Any]) -> Login:
    return Login(address=row["address"], timestamp=row["timestamp"], nonce=row["nonce"])


def official_amounts(amounts: Any, side: Side, size: float, price: int, tick: int) -> tuple[int, int]:
    rounding = ROUNDING_CONFIG[text_from_micros(tick)]
    official = OfficialSide.BUY if side is Side.BUY else OfficialSide.SELL
    _side, maker, taker = amounts(official, size, price / ONE, rounding)
    return maker, taker
