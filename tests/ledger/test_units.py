"""Integer money: text is read exactly or refused, and no rounding ever helps the other side."""

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.units import (
    BPS,
    MAX_MICROS,
    ONE,
    SHARE_STEP,
    AmountError,
    bps_up,
    ceil_shares,
    ceil_to_tick,
    cost_down,
    cost_up,
    decimal_from_micros,
    floor_shares,
    floor_to_tick,
    micros_from_decimal,
    micros_from_text,
    ratio_down,
    share_down,
    size_for_cost,
    text_from_micros,
)

amounts = st.integers(0, MAX_MICROS)
sizes = st.integers(0, 10**15)
prices = st.integers(1, ONE - 1)
ticks = st.sampled_from([100_000, 10_000, 5_000, 2_500, 1_000, 100])


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("-0", 0),
        ("1", ONE),
        ("-1.5", -1_500_000),
        ("0.000001", 1),
        ("10.475000000000001", 10_475_000),
        ("0.4399999454867083", 440_000),
        ("0.0000005", 0),
        ("0.0000015", 2),
        ("0.0000025", 2),
        ("0.00000250000000000000000000000001", 3),
        ("1e-6", 1),
        ("4.0284882E2", 402_848_820),
        ("402482.85", 402_482_850_000),
        ("1000000000000", MAX_MICROS),
        ("-1000000000000", -MAX_MICROS),
        ("1000000000000.0000004", MAX_MICROS),
        ("0." + "0" * 90 + "1", 0),
        ("1e-9000", 0),
    ],
)
def test_text_is_read_exactly_and_noise_rounded_half_to_even(text: str, micros: int) -> None:
    assert micros_from_text(text) == micros


@pytest.mark.parametrize("text", ["", " ", "x", "1,5", "0x10", "--1", "1e", "$5", "1 2", "None", "1/2", "\x00", "1\n2"])
def test_what_is_no_number_is_refused_with_what_it_was(text: str) -> None:
    with pytest.raises(AmountError, match="is not a number"):
        micros_from_text(text)


@pytest.mark.parametrize("text", ["NaN", "-nan", "sNaN", "Infinity", "-inf"])
def test_what_is_not_finite_is_refused(text: str) -> None:
    with pytest.raises(AmountError, match=r"is not a (finite )?number"):
        micros_from_text(text)


@pytest.mark.parametrize("text", ["1e400", "-1e400", "1000000000000.000001", "1e14", "9" * 100, "1e9999"])
def test_an_absurd_amount_is_refused_shortly(text: str) -> None:
    with pytest.raises(AmountError, match="is absurdly large") as refused:
        micros_from_text(text)
    assert len(str(refused.value)) < 50


@pytest.mark.parametrize("text", ["1e99999", "-1e99999", "1e-99999", "1e999999999999999999", "9" * 500])
def test_a_number_beyond_all_bounds_is_an_amount_error_or_nothing(text: str) -> None:
    try:
        assert micros_from_text(text) == 0
    except AmountError as refused:
        assert len(str(refused)) < 80


@pytest.mark.parametrize(
    "text", ["\u0661\u0662", "\uff11", "\u00b2", "\u2167", "1\u066b5", "\u09eb", "1_000", "\u20601"]
)
def test_digits_of_other_scripts_and_underscores_are_refused(text: str) -> None:
    with pytest.raises(AmountError):
        micros_from_text(text)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "1e13"])
def test_a_decimal_is_held_to_the_same_bounds(value: str) -> None:
    with pytest.raises(AmountError):
        micros_from_decimal(Decimal(value))


@given(st.integers(-MAX_MICROS, MAX_MICROS))
def test_micros_come_back_from_their_text_and_decimal(micros: int) -> None:
    assert micros_from_text(text_from_micros(micros)) == micros
    assert micros_from_decimal(decimal_from_micros(micros)) == micros
    assert Decimal(text_from_micros(micros)) == decimal_from_micros(micros)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(196_070_000, "196.07"), (0, "0"), (-1, "-0.000001"), (ONE, "1"), (-1_500_000, "-1.5"), (10_000_000, "10")],
)
def test_text_has_no_trailing_zeros(micros: int, text: str) -> None:
    assert text_from_micros(micros) == text


@given(st.decimals(-(10**11), 10**11, allow_nan=False, allow_infinity=False, places=12))
def test_reading_a_decimal_moves_it_by_half_a_micro_at_most(value: Decimal) -> None:
    assert abs(decimal_from_micros(micros_from_decimal(value)) - value) <= Decimal("0.0000005")


@pytest.mark.parametrize(
    ("work", "arguments", "expected"),
    [
        (floor_shares, (196_078_431,), 196_070_000),
        (ceil_shares, (1_960_784,), 1_970_000),
        (floor_to_tick, (519_999, 10_000), 510_000),
        (ceil_to_tick, (490_001, 10_000), 500_000),
        (cost_up, (1_000_001, 500_000), 500_001),
        (cost_down, (1_000_001, 500_000), 500_000),
        (size_for_cost, (100 * ONE, 510_000), 196_070_000),
        (share_down, (999, 1_000), 99),
        (ratio_down, (200 * ONE, 500 * ONE, 2_000 * ONE), 50 * ONE),
        (bps_up, (30_000, 500_000), 600),
        (bps_up, (10_001, 500_000), 201),
        (bps_up, (-10_001, 500_000), -200),
    ],
)
def test_rounding_by_example(work: Callable[..., int], arguments: tuple[int, ...], expected: int) -> None:
    assert work(*arguments) == expected


@given(sizes)
def test_shares_are_on_the_two_decimals_on_the_named_side(size: int) -> None:
    low, high = floor_shares(size), ceil_shares(size)
    assert low <= size <= high
    assert low % SHARE_STEP == high % SHARE_STEP == 0
    assert high - low == (SHARE_STEP if size % SHARE_STEP else 0)


@given(prices, ticks)
def test_a_buy_limit_is_never_above_and_a_sell_limit_never_below(price: int, tick: int) -> None:
    low, high = floor_to_tick(price, tick), ceil_to_tick(price, tick)
    assert price - tick < low <= price <= high < price + tick
    assert low % tick == high % tick == 0


@given(sizes, prices)
def test_what_is_paid_is_never_understated_nor_what_is_earned_overstated(size: int, price: int) -> None:
    exact = Decimal(size) * price / ONE
    assert cost_down(size, price) <= exact <= cost_up(size, price)
    assert cost_up(size, price) - cost_down(size, price) <= 1


@given(st.lists(sizes, min_size=1, max_size=6), prices)
def test_reserving_in_parts_never_reserves_less_than_the_whole(parts: list[int], price: int) -> None:
    assert sum(cost_up(part, price) for part in parts) >= cost_up(sum(parts), price)
    assert sum(cost_down(part, price) for part in parts) <= cost_down(sum(parts), price)


@given(st.integers(0, 10**15), prices)
def test_the_size_for_an_amount_is_the_largest_that_fits(money: int, price: int) -> None:
    size = size_for_cost(money, price)
    assert cost_up(size, price) <= money < cost_up(size + SHARE_STEP, price) + 1
    assert size % SHARE_STEP == 0


@given(amounts, st.integers(0, 10 * BPS))
def test_a_part_in_basis_points_is_never_more_than_that_part(amount: int, bps: int) -> None:
    assert share_down(amount, bps) * BPS <= amount * bps < (share_down(amount, bps) + 1) * BPS


@given(sizes, st.data())
def test_a_ratio_is_never_more_than_its_part_of_the_whole(amount: int, data: st.DataObject) -> None:
    whole = data.draw(st.integers(1, 10**15))
    part = data.draw(st.integers(0, whole))
    assert ratio_down(amount, part, whole) * whole <= amount * part
    assert ratio_down(amount, whole, whole) == amount


@given(st.integers(-ONE, ONE), prices)
def test_a_deviation_is_never_shown_smaller_than_it_is(difference: int, base: int) -> None:
    assert bps_up(difference, base) * base >= difference * BPS > (bps_up(difference, base) - 1) * base
