"""The taker fee against fills recorded on chain and in the activity feed."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.fees import FEE_STEP, NO_FEE, FeeTerms, FeeTermsError, max_fee, taker_fee
from ledger.units import BPS, ONE, cost_up, micros_from_text

terms = st.builds(FeeTerms, rate_bps=st.integers(0, BPS), exponent=st.sampled_from((1, 2)))
sizes = st.integers(1, 10**12)
prices = st.integers(1, ONE - 1)


@pytest.mark.parametrize(
    ("size", "price", "rate_bps", "fee"),
    [
        ("100", "0.5", 500, "1.25"),  # polymarket.md 2.6
        ("80", "0.72", 700, "1.12896"),  # data-profile.md 4, taker
        ("5", "0.002", 300, "0.00029"),  # 0.0002994 on chain: truncated, not rounded
        ("17.15", "0.55", 700, "0.29712"),  # 0.29712375 on chain
        ("0.01", "0.01", 300, "0.00001"),  # a fee above zero is at least one step
        ("100", "0.5", 0, "0"),
    ],
)
def test_taker_fee(size: str, price: str, rate_bps: int, fee: str) -> None:
    charged = taker_fee(micros_from_text(size), micros_from_text(price), terms=FeeTerms(rate_bps=rate_bps))

    assert charged == micros_from_text(fee)


def test_exponent_two_squares_the_curve() -> None:
    assert taker_fee(100 * ONE, 500_000, terms=FeeTerms(rate_bps=2_500, exponent=2)) == 1_562_500


@pytest.mark.parametrize(
    ("file", "rate_bps"),
    [("orderfilled_log.json", 500), ("orderfilled_sell_log.json", 300), ("chain_order_filled.json", 700)],
)
def test_fee_on_chain_is_reproduced_to_the_micro(shared_data: Path, file: str, rate_bps: int) -> None:
    logs = json.loads((shared_data / "chain" / file).read_text())["logs"]
    charged = [fill for log in logs if (fill := _fill_with_fee(log))]

    assert charged
    for size, cost, fee in charged:
        assert taker_fee(size, cost * ONE // size, terms=FeeTerms(rate_bps=rate_bps)) == fee


def test_fee_of_fills_over_several_prices_follows_from_their_average(shared_data: Path) -> None:
    file = shared_data / "activity" / "v1_activity_all_types_50rows_20260714.json"
    rows = json.loads(file.read_text(), parse_float=Decimal, parse_int=Decimal)
    takers = [row for row in rows if row["type"] == "TRADE" and _excess(row) > Decimal("0.001")]

    assert len(takers) == 7
    assert _excess(takers[0]).quantize(Decimal(1)) == 4_552  # data-profile.md 4
    for row in takers:
        size, price = micros_from_text(str(row["size"])), micros_from_text(str(row["price"]))
        ours = Decimal(taker_fee(size, price, terms=FeeTerms(rate_bps=500))) / ONE
        # One step of truncation, and our price of six decimals where the feed shows ten: half a micro, times the rate.
        assert abs(ours - _excess(row)) <= Decimal("0.00002") + row["size"] * Decimal("0.05") / (2 * ONE)


@given(size=sizes, limit=prices, terms=terms, data=st.data())
def test_no_fill_of_a_buy_costs_more_than_the_bound(
    size: int, limit: int, terms: FeeTerms, data: st.DataObject
) -> None:
    filled = data.draw(st.integers(1, size))
    price = data.draw(st.integers(1, limit))

    assert taker_fee(filled, price, terms=terms) <= max_fee(size, limit, terms=terms)


@given(size=sizes, price=prices, terms=terms)
def test_fee_has_five_decimals_and_is_no_more_than_the_rate_of_the_money(
    size: int, price: int, terms: FeeTerms
) -> None:
    fee = taker_fee(size, price, terms=terms)

    assert fee >= 0
    assert fee % FEE_STEP == 0
    assert fee <= max(cost_up(size, price) * terms.rate_bps // BPS + 1, FEE_STEP)


def test_bound_uses_the_dearest_price_below_the_limit() -> None:
    assert max_fee(100 * ONE, 990_000, terms=FeeTerms(rate_bps=500)) == 1_250_000
    assert max_fee(100 * ONE, 990_000, terms=NO_FEE) == 0


@pytest.mark.parametrize(
    ("rate_bps", "exponent", "sentence"),
    [(-1, 1, "A fee rate of -1"), (10_001, 1, "A fee rate of 10001"), (500, 0, "neither 1 nor 2"), (500, 3, "nor 2")],
)
def test_odd_fee_terms_are_refused(rate_bps: int, exponent: int, sentence: str) -> None:
    with pytest.raises(FeeTermsError, match=sentence):
        FeeTerms(rate_bps=rate_bps, exponent=exponent)


def _fill_with_fee(log: dict[str, Any]) -> tuple[int, int, int] | None:
    """Shares, pUSD and fee in micros of an OrderFilled log that carries a fee."""
    words = [int(log["data"][2 + 64 * n : 66 + 64 * n], 16) for n in range((len(log["data"]) - 2) // 64)]
    if len(words) != 7 or words[4] == 0:
        return None
    side, _token, maker_amount, taker_amount, fee = words[:5]
    return (taker_amount, maker_amount, fee) if side == 0 else (maker_amount, taker_amount, fee)


def _excess(row: dict[str, Any]) -> Decimal:
    return Decimal(row["usdcSize"] - row["size"] * row["price"])
