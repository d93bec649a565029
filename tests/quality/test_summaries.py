"""Prices, fees, delays and misses of many copies in a few figures."""

from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

import pytest

from copytrading.quality.summaries import STAGES, Made, percentile, quality_of, slippage_bps
from copytrading.states import Status
from ledger.units import ONE
from tests.doors import BEGINNING

WHOLE = BEGINNING.replace(microsecond=0)


def after_ms(milliseconds: int) -> Any:
    return WHOLE + timedelta(milliseconds=milliseconds)


def made(**changes: Any) -> Made:
    """A buy of 100 shares at the leader's price of 0.50: heard after 2 s, filled 1,234 ms later."""
    fields: dict[str, Any] = {
        "status": "EXECUTED",
        "reasons": [],
        "side": "BUY",
        "leader_price_micros": 500_000,
        "size_micros": 100 * ONE,
        "fill_size_micros": 100 * ONE,
        "fill_price_micros": 500_000,
        "fee_micros": 0,
        "traded_at": WHOLE,
        "detected_at": after_ms(2_000),
        "decided_at": after_ms(2_001),
        "order_timestamp_ms": round(WHOLE.replace(tzinfo=UTC).timestamp() * 1_000) + 2_003,
        "prewritten_at": after_ms(2_006),
        "submitted_at": after_ms(2_010),
        "answered_at": after_ms(2_034),
        "executed_at": after_ms(3_234),
    } | changes
    fields.setdefault("fill_cost_micros", fields["fill_size_micros"] * fields["fill_price_micros"] // ONE)
    return Made(**fields)


@pytest.mark.parametrize(
    ("side", "price_micros", "slippage"),
    [
        ("BUY", 510_000, 200),
        ("BUY", 490_000, -200),
        ("SELL", 490_000, 200),
        ("SELL", 510_000, -200),
        ("BUY", 500_000, 0),
    ],
)
def test_slippage_above_zero_is_worse_for_the_follower_on_both_sides(
    side: str, price_micros: int, slippage: int
) -> None:
    each = made(side=side, fill_price_micros=price_micros)
    assert slippage_bps(each) == slippage
    assert quality_of([each]).slippage_bps.weighted == slippage


def test_slippage_by_volume_weighs_large_fills_more() -> None:
    large = made(fill_size_micros=300 * ONE, size_micros=300 * ONE, fill_price_micros=510_000)
    small = made(fill_price_micros=490_000)
    found = quality_of([large, small, small]).slippage_bps
    assert (found.weighted, found.median, found.p90) == (40, -200, 200)


def test_bought_dearer_and_sold_cheaper_add_up() -> None:
    found = quality_of([made(fill_price_micros=510_000), made(side="SELL", fill_price_micros=495_000)])
    assert found.slippage_bps.weighted == 150
    assert [
        (each.side, each.leader_price_micros, each.own_price_micros, each.slippage_bps) for each in found.prices
    ] == [
        ("BUY", 500_000, 510_000, 200),
        ("SELL", 500_000, 495_000, 100),
    ]


def test_price_of_a_side_is_the_average_by_volume() -> None:
    cheap = made(leader_price_micros=200_000, fill_price_micros=210_000)
    dear = made(leader_price_micros=600_000, fill_price_micros=610_000, fill_size_micros=300 * ONE)
    (buys,) = quality_of([cheap, dear]).prices
    assert (buys.fills, buys.size_micros) == (2, 400 * ONE)
    assert (buys.leader_price_micros, buys.own_price_micros) == (500_000, 510_000)


def test_fee_is_told_in_basis_points_of_what_was_traded() -> None:
    found = quality_of([made(fee_micros=ONE // 2), made(fee_micros=0), made(side="SELL", fee_micros=ONE)]).fee_bps
    assert (found.weighted, found.median, found.p90) == (100, 100, 200)


def test_fill_ratio_is_filled_over_wanted_shares_of_orders_that_ended() -> None:
    partial = made(fill_size_micros=60 * ONE)
    failed = made(status="FAILED", fill_size_micros=0, fill_price_micros=0, executed_at=None)
    waiting = [replace(failed, status=status.value) for status in (Status.PENDING, Status.LIVE, Status.MATCHED)]
    skipped = replace(failed, status="SKIPPED", submitted_at=None)
    found = quality_of([made(), partial, failed, skipped, *waiting])
    assert (found.copies, found.orders, found.fills) == (7, 3, 2)
    assert (found.filled_micros, found.wanted_micros, found.fill_ratio_bps) == (160 * ONE, 300 * ONE, 5_333)


def test_ratio_that_is_not_whole_is_never_told_as_whole() -> None:
    assert quality_of([made(size_micros=10_000_000 * ONE, fill_size_micros=9_999_999 * ONE)]).fill_ratio_bps == 9_999


def test_delays_are_told_stage_by_stage() -> None:
    found = {each.stage: each.median for each in quality_of([made()]).delays}
    assert found == {
        "source": 2_000,
        "queue": 1,
        "decide": 2,
        "prewrite": 3,
        "send": 4,
        "venue": 24,
        "settlement": 1_200,
        "seen to filled": 1_234,
    }


def test_stage_without_both_its_moments_is_left_out() -> None:
    lost = made(status="UNKNOWN", fill_size_micros=0, answered_at=None, executed_at=None)
    never_sent = made(status="FAILED", fill_size_micros=0, submitted_at=None, answered_at=None, executed_at=None)
    counts = {each.stage: each.count for each in quality_of([lost, never_sent]).delays}
    assert counts == {
        **dict.fromkeys(("source", "queue", "decide", "prewrite", "send"), 1),
        **dict.fromkeys(("venue", "settlement", "seen to filled"), 0),
    }


def test_row_of_before_the_prewrite_was_timed_tells_nothing_of_its_two_stages() -> None:
    delays = {each.stage: each for each in quality_of([made(), made(prewritten_at=None)]).delays}
    assert [delays[stage].count for stage in ("decide", "prewrite", "send", "venue")] == [2, 1, 1, 2]
    assert (delays["prewrite"].median, delays["send"].median) == (3, 4)


def test_clock_that_went_back_gives_no_delay_below_zero() -> None:
    found = {each.stage: each.median for each in quality_of([made(decided_at=after_ms(1_990))]).delays}
    assert found["queue"] == 0


def test_misses_are_counted_by_reason_without_notes() -> None:
    reasons: list[dict[str, object]] = [{"reason": "MAX_ODDS", "value": 1}, {"reason": "NO_LIQUIDITY"}]
    note: dict[str, object] = {"reason": "FALLBACK_PRICE", "note": True}
    nothing = {"fill_size_micros": 0, "fill_price_micros": 0, "executed_at": None}
    copies = [
        made(status="SKIPPED", reasons=[*reasons, note], **nothing),
        made(status="SKIPPED", reasons=reasons[:1], **nothing),
        made(status="FAILED", reasons=[{"reason": "NO_FILL"}], **nothing),
        made(reasons=[note]),
    ]
    found = quality_of(copies)
    assert found.missed == (("MAX_ODDS", 2), ("NO_FILL", 1), ("NO_LIQUIDITY", 1))
    assert found.missed_copies == 3


def test_nothing_has_no_figures() -> None:
    found = quality_of([])
    assert (found.fill_ratio_bps, found.slippage_bps.weighted, found.fee_bps.p90, found.prices) == (
        None,
        None,
        None,
        (),
    )
    assert [(each.stage, each.median) for each in found.delays] == [(stage, None) for stage, _means in STAGES]


@pytest.mark.parametrize(
    ("values", "median", "p90"),
    [([], None, None), ([7], 7, 7), ([1, 2, 3], 2, 3), (range(1, 11), 5, 9), (range(1, 101), 50, 90)],
)
def test_percentile_is_by_nearest_rank(values: Any, median: int | None, p90: int | None) -> None:
    assert (percentile(values, 50), percentile(values, 90)) == (median, p90)
