"""Commissions as pure rules: tiers are read or refused with a sentence, and nobody earns on a loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.commissions import TIERS_MAX, Commission, Tiers, TiersError, commission, parse_tiers, rate_of
from ledger.units import BPS, ONE, Micros

TIERS = ((0, 500), (10_000 * ONE, 700), (100_000 * ONE, 1_000))

amounts = st.integers(0, 10**15)
rates = st.integers(0, BPS)


@st.composite
def rising_tiers(draw: st.DrawFn) -> Tiers:
    """Tiers that pay more from more volume on."""
    volumes = sorted(draw(st.sets(amounts, max_size=6)))
    paid = sorted(draw(st.lists(rates, min_size=len(volumes), max_size=len(volumes))))
    return tuple(zip(volumes, paid, strict=True))


@pytest.mark.parametrize(
    ("text", "tiers"),
    [
        ("", ()),
        ("  ", ()),
        ("0:500", ((0, 500),)),
        ("0:500,10000:700,100000:1000", TIERS),
        (" 0:500 , 10000:700,100000:1000 ", TIERS),
        ("5:10000", ((5 * ONE, 10_000),)),
        ("0:700,10:0", ((0, 700), (10 * ONE, 0))),
    ],
)
def test_tiers_are_read_in_whole_dollars_and_basis_points(text: str, tiers: Tiers) -> None:
    assert parse_tiers(text) == tiers


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("500", "'500' is no commission tier"),
        ("0:500,", "'' is no commission tier"),
        ("0:5%", "'0:5%' is no commission tier"),
        ("0.5:500", "'0.5:500' is no commission tier"),
        ("-1:500", "'-1:500' is no commission tier"),
        ("0:500:1", "'0:500:1' is no commission tier"),
        ("\u0661:500", "is no commission tier"),
        ("1000000000000:500", "is no commission tier"),
        ("0:10001", "pays 10001 basis points; more than 10000 is more than the profit"),
        ("10:500,5:700", "from 5 pUSD stands after the one from 10; volumes must rise"),
        ("0:500,0:700", "from 0 pUSD stands after the one from 0; volumes must rise"),
        (",".join(f"{n}:1" for n in range(TIERS_MAX + 1)), "There are 21 commission tiers; 20 are enough"),
    ],
)
def test_what_is_no_list_of_tiers_is_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(TiersError) as refused:
        parse_tiers(text)
    assert sentence in str(refused.value)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("volume", "rate"), [(0, 500), (9_999, 500), (10_000, 700), (99_999, 700), (100_000, 1_000), (10**9, 1_000)]
)
def test_the_last_tier_that_the_volume_reaches_counts(volume: int, rate: int) -> None:
    assert rate_of(volume * ONE, TIERS) == rate


def test_below_the_first_tier_nothing_is_paid() -> None:
    assert rate_of(9 * ONE, ((10 * ONE, 500),)) == rate_of(9 * ONE, ()) == 0


def cents(profit: int, fee: int = 0, volume: int = 0) -> tuple[int, int, int] | None:
    """(profit, rate, amount) of a profit, a fee and a volume in cents."""
    found = commission(profit * 10_000, fee * 10_000, volume_micros=volume * 10_000, tiers=TIERS)
    return found and (found.profit_micros // 10_000, found.rate_bps, found.amount_micros // 10_000)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        ((1_000,), (1_000, 500, 50)),
        ((1_000, 200), (800, 500, 40)),
        ((1_000, 0, 1_000_000), (1_000, 700, 70)),
        ((1_000, 1_000), None),
        ((1_000, 1_001), None),
        ((0,), None),
        ((-1_000,), None),
    ],
)
def test_a_commission_is_a_part_of_the_profit_after_the_fee(
    work: tuple[int, ...], expected: tuple[int, int, int] | None
) -> None:
    assert cents(*work) == expected


def test_a_commission_is_rounded_down_and_one_of_nothing_is_none() -> None:
    whole = commission(39, 0, volume_micros=0, tiers=TIERS)
    assert whole == Commission(profit_micros=Micros(39), rate_bps=500, amount_micros=Micros(1))
    assert commission(19, 0, volume_micros=0, tiers=TIERS) is None
    assert commission(10 * ONE, 0, volume_micros=0, tiers=()) is None


@given(st.integers(-(10**15), 10**15), amounts, amounts, rising_tiers())
def test_a_commission_is_above_zero_and_never_above_the_profit_after_the_fee(
    profit: int, fee: int, volume: int, tiers: Tiers
) -> None:
    found = commission(profit, fee, volume_micros=volume, tiers=tiers)
    if found is not None:
        assert 0 < found.amount_micros <= found.profit_micros == profit - fee
        assert found.amount_micros * BPS <= found.profit_micros * found.rate_bps


@given(st.integers(-(10**15), 0), amounts, amounts, rising_tiers())
def test_a_loss_earns_nothing(profit: int, fee: int, volume: int, tiers: Tiers) -> None:
    assert commission(profit, fee, volume_micros=volume, tiers=tiers) is None


@given(amounts, amounts, amounts, rising_tiers())
def test_more_volume_never_pays_less_where_the_rates_rise(profit: int, less: int, more: int, tiers: Tiers) -> None:
    low, high = (commission(profit, 0, volume_micros=each, tiers=tiers) for each in sorted((less, more)))
    assert (low.amount_micros if low else 0) <= (high.amount_micros if high else 0)


@given(rising_tiers())
def test_tiers_come_back_from_their_text(tiers: Tiers) -> None:
    whole = tuple((volume // ONE * ONE, rate) for volume, rate in tiers)
    if len({volume for volume, _rate in whole}) == len(whole):
        assert parse_tiers(",".join(f"{volume // ONE}:{rate}" for volume, rate in whole)) == whole
