"""The venue's descriptions of markets: which facts are read of an object, which stay unknown, and what is refused."""

import gzip
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.clob_markets import describe_clob_market
from execution.fees import NO_FEE, FeeTerms
from execution.gamma import VERSION_UNREADABLE, GammaError, MarketDescription, completed, describe_market
from ledger.units import ONE

CONDITION = "0x" + "aB" * 32


def market(**fields: Any) -> dict[str, Any]:
    return {"conditionId": CONDITION, **fields}


def described(**fields: Any) -> MarketDescription:
    return describe_market(market(**fields))


def test_an_object_that_says_only_its_condition_leaves_all_else_unknown() -> None:
    assert described() == MarketDescription(condition_id=CONDITION.lower())


def test_lists_inside_texts_become_tokens_outcomes_and_prices() -> None:
    found = described(clobTokenIds='["7", "8"]', outcomes='["Yes", "No"]', outcomePrices='["0.0135", "0.9865"]')

    assert (found.tokens, found.outcomes, found.prices_micros) == ((7, 8), ("Yes", "No"), (13_500, 986_500))


def test_plain_lists_are_read_too() -> None:
    found = described(clobTokenIds=["7", "8"], outcomePrices=["1", "0"])

    assert (found.tokens, found.prices_micros) == ((7, 8), (ONE, 0))


@pytest.mark.parametrize(
    ("version", "tokens"), [(None, (1, 2)), ("v1", (1, 2)), ("v2", (3, 4))]
)  # never by which field is present (polymarket.md 0)
def test_the_version_says_which_ids_are_the_tokens(version: str | None, tokens: tuple[int, int]) -> None:
    found = described(version=version, clobTokenIds='["1", "2"]', positionIds=["3", "4"])

    assert found.tokens == tokens


def test_a_version_that_nobody_knows_is_kept_for_the_decision_to_refuse() -> None:
    assert described(version="v9").version == "v9"


@pytest.mark.parametrize("version", ["protocol2", 2, True, ["v1"], "v\n1"])
def test_a_version_that_is_no_short_text_is_never_taken_for_another(version: object) -> None:
    assert described(version=version).version == VERSION_UNREADABLE


@pytest.mark.parametrize(
    ("named", "version"),
    [
        *((None, ""), ("", ""), ("v1", "v1"), (1, "v1"), ("2", "v2"), (2, "v2")),
        *(("v3", "v3"), (3, "3"), (0, "0"), (True, "?"), (Decimal("1.0"), "?"), (["v1"], "?"), (10**40, "?")),
        ("protocol-3", "?"),
    ],
)
def test_the_clob_names_a_version_or_says_none_and_another_word_is_no_known_one(named: object, version: str) -> None:
    assert describe_clob_market({"v": named}, condition_id=CONDITION).version == version


def test_what_the_clob_leaves_out_it_has_not_said() -> None:
    found = describe_clob_market({"mos": 5}, condition_id=CONDITION)

    assert (found.version, found.neg_risk, found.tick_micros, found.fee) == ("", None, None, None)
    assert not found.is_complete


WHOLE = {"version": "v1", "negRisk": False, "orderPriceMinTickSize": "0.01", "feesEnabled": False}


@pytest.mark.parametrize("lacking", list(WHOLE))
def test_a_description_is_complete_with_all_that_an_order_needs(lacking: str) -> None:
    assert described(**WHOLE).is_complete
    assert not described(**{**WHOLE, lacking: None}).is_complete


def test_a_description_is_completed_and_not_contradicted() -> None:
    gamma, clob = described(version="v1", negRisk=True, feesEnabled=True), described(**{**WHOLE, "version": "v2"})
    found = completed(gamma, clob)

    assert (found.version, found.neg_risk, found.tick_micros, found.fee) == ("v1", True, 10_000, NO_FEE)
    assert (gamma.fee_withheld, found.fee_withheld) == (True, False)


def test_tokens_that_were_read_as_those_of_another_version_are_not_kept() -> None:
    gamma = described(clobTokenIds='["1", "2"]', positionIds=["3", "4"])
    clob = described(version="v2", positionIds=["3", "4"])

    assert completed(gamma, clob) == clob


def test_noise_digits_are_rounded_once_and_half_to_even() -> None:
    found = described(liquidity="3172.7862999999", volume=Decimal("12505.3668245"))

    assert (found.liquidity_micros, found.volume_micros) == (3_172_786_300, 12_505_366_824)


def test_the_exact_text_wins_over_the_number_rounded_to_cents() -> None:  # the shape of 2024
    assert described(liquidity="3172.7863", liquidityNum=Decimal("3172.79")).liquidity_micros == 3_172_786_300
    assert described(liquidityNum=Decimal("3172.79")).liquidity_micros == 3_172_790_000


def test_zero_is_a_fact_and_an_empty_text_is_none() -> None:
    found = described(liquidity="0", volume="")

    assert (found.liquidity_micros, found.volume_micros) == (0, None)


@pytest.mark.parametrize(
    ("date", "moment"),
    [
        ("2024-07-31T12:00:00Z", datetime(2024, 7, 31, 12, tzinfo=UTC)),
        ("2024-07-31T12:00:00.5Z", datetime(2024, 7, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-06-08 00:00:16+00", datetime(2026, 6, 8, 0, 0, 16, tzinfo=UTC)),
        ("2026-06-08T02:00:00+02:00", datetime(2026, 6, 8, tzinfo=UTC)),
        ("2026-06-08T02:00:00", datetime(2026, 6, 8, 2, tzinfo=UTC)),
        ("2026-06-08", datetime(2026, 6, 9, tzinfo=UTC)),  # a day lasts until its end
    ],
)
def test_end_dates(date: str, moment: datetime) -> None:
    assert described(endDate=date).ends_at == moment


def test_the_bare_day_is_read_only_where_there_is_no_moment() -> None:
    assert described(endDateIso="2026-06-08").ends_at == datetime(2026, 6, 9, tzinfo=UTC)
    assert described(endDate="2026-06-08T01:00:00Z", endDateIso="2026-06-08").ends_at == datetime(
        2026, 6, 8, 1, tzinfo=UTC
    )


@pytest.mark.parametrize(
    ("fields", "fee"),
    [
        ({}, None),
        ({"feesEnabled": False, "feeType": None}, NO_FEE),
        ({"feesEnabled": False, "feeSchedule": {"rate": 1, "exponent": 1}}, NO_FEE),
        ({"feesEnabled": True, "feeSchedule": {"rate": Decimal("0.072"), "exponent": 1}}, FeeTerms(rate_bps=720)),
        ({"feeSchedule": {"rate": Decimal("0.07001"), "exponent": 2}}, FeeTerms(rate_bps=701, exponent=2)),
        ({"makerBaseFee": 1000, "takerBaseFee": 1000}, None),  # legacy, means nothing
    ],
)
def test_fees(fields: dict[str, Any], fee: FeeTerms | None) -> None:
    found = described(**fields)
    assert (found.fee, found.fee_withheld) == (fee, False)


def test_a_fee_that_there_is_without_saying_which_is_withheld() -> None:
    found = described(feesEnabled=True)
    assert (found.fee, found.fee_withheld) == (None, True)


@pytest.mark.parametrize(
    ("fields", "accepting"),
    [
        ({}, None),
        ({"acceptingOrders": True, "active": True, "archived": False, "enableOrderBook": True}, True),
        ({"acceptingOrders": False}, False),
        ({"acceptingOrders": True, "enableOrderBook": False}, False),
        ({"acceptingOrders": True, "active": False}, False),
        ({"archived": True}, False),
    ],
)
def test_whether_orders_are_taken(fields: dict[str, Any], accepting: bool | None) -> None:
    assert described(**fields).accepting_orders is accepting


OF_EVENT = {"category": "Sports", "tags": [{"label": "Soccer"}]}


@pytest.mark.parametrize(
    ("fields", "category"),
    [
        ({}, ""),
        ({"category": "Crypto", "events": [OF_EVENT], "tags": [{"label": "Bitcoin"}]}, "Crypto"),
        ({"events": [OF_EVENT], "tags": [{"label": "Bitcoin"}]}, "Sports"),
        ({"events": [{"tags": [{"label": "Soccer"}]}], "tags": [{"label": "Bitcoin"}]}, "Bitcoin"),
        ({"events": [{"tags": [{"slug": "no-label"}, {"label": "Soccer"}]}]}, "Soccer"),
        ({"category": " ", "tags": ["Bitcoin", "Games"]}, "Bitcoin"),
        ({"category": None, "events": [], "tags": None}, ""),
        ({"category": "x" * 200}, "x" * 80),
    ],
)
def test_the_category_is_the_first_in_a_stated_order(fields: dict[str, Any], category: str) -> None:
    assert described(**fields).category == category


def test_the_event_that_a_market_was_found_in_gives_its_category() -> None:
    assert describe_market(market(), event=OF_EVENT).category == "Sports"


def test_texts_lose_what_the_database_and_a_terminal_cannot_bear() -> None:
    found = described(question="Will\x00 it\nrain\u202e\ud800?", slug="s" * 300)

    assert (found.title, len(found.slug)) == ("Will it rain?", 200)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ([], "The market is (a list) and no object."),
        (7, "The market is 7 and no object."),
        ({"raw": None}, "The market is (missing) and no object."),
        ({}, "conditionId (missing) is not 0x and 64 hexadecimal digits."),
        ({"conditionId": "0xAB"}, "conditionId '0xAB' is not 0x and 64 hexadecimal digits."),
        (market(clobTokenIds='["1"]'), "clobTokenIds '[\"1\"]' is no list of two"),
        (market(clobTokenIds='["1", "1"]'), "clobTokenIds names the same token twice."),
        (market(clobTokenIds='["1", "0x2"]'), "clobTokenIds holds '0x2', which is no token id."),
        (market(clobTokenIds=f'["1", "{2**256}"]'), "which is no token id."),
        (market(clobTokenIds=[1, 2]), "clobTokenIds holds 1, which is no token id."),
        (market(outcomes="Yes, No"), "outcomes 'Yes, No' is no JSON list of texts."),
        (market(outcomes="[" * 9_000), "is no JSON list of texts."),
        (market(outcomePrices='["0.4", "1.4"]'), "outcomePrices holds a price above 1."),
        (market(outcomePrices='["0.4", "-0.4"]'), "outcomePrices '-0.4' is below zero."),
        (market(liquidity="much"), "liquidity 'much' is no usable number."),
        (market(liquidity=12.5), "liquidity 12.5 is no usable number."),  # a float has lost digits
        (market(liquidity=True), "liquidity True is no usable number."),
        (market(volume=Decimal("NaN")), "volume NaN is no usable number."),
        (market(volume="1e400"), "volume '1e400' is no usable number."),
        (market(volume=10**5_000), "volume (a huge integer) is no usable number."),
        (market(endDate="soon"), "endDate 'soon' is no date."),
        (market(endDate=1783000000), "endDate 1783000000 is no date."),
        (market(endDate="0001-01-01T00:00:00+14:00"), "is no date."),
        (
            market(orderPriceMinTickSize=Decimal("0.03")),
            "orderPriceMinTickSize 0.03 is none of the venue",
        ),
        (market(closed="false"), "closed 'false' is neither true nor false."),
        (market(feeSchedule=[]), "feeSchedule is (a list) and no object."),
        (market(feeSchedule={"exponent": 1}), "feeSchedule.rate (missing) is no usable number."),
        (market(feeSchedule={"rate": 2, "exponent": 1}), "feeSchedule: A fee rate of 20000 basis points"),
        (market(feeSchedule={"rate": 0, "exponent": 3}), "feeSchedule: A fee exponent of 3 is neither 1 nor 2."),
        (market(feeSchedule={"rate": 0, "exponent": Decimal("1.5")}), "feeSchedule.exponent 1.5 is no whole number."),
    ],
)
def test_what_is_wrong_is_named(value: object, sentence: str) -> None:
    with pytest.raises(GammaError) as caught:
        describe_market(value)
    assert sentence in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.decimals() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    *("version", "question", "slug", "category", "events", "tags", "clobTokenIds", "positionIds", "outcomes"),
    *("outcomePrices", "negRisk", "acceptingOrders", "closed", "endDate", "endDateIso", "orderPriceMinTickSize"),
    *("orderMinSize", "feesEnabled", "feeSchedule", "liquidity", "volume"),
)


@given(fields=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=4))
def test_any_json_is_either_described_or_refused_in_a_sentence(fields: dict[str, Any]) -> None:
    try:
        found = described(**fields)
    except GammaError as error:
        assert str(error).endswith(".")
        assert str(error).isprintable()
    else:
        assert found.condition_id == CONDITION.lower()


def recorded(path: Path) -> list[Any]:
    raw = path.read_bytes()
    text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode()
    texts = text.splitlines() if ".jsonl" in path.name else [text]
    values = [json.loads(each, parse_float=Decimal) for each in texts]
    return values[0] if isinstance(values[0], list) else values


def test_every_recorded_market_is_described(shared_data: Path) -> None:
    files = sorted((shared_data / "gamma").iterdir())
    found = [describe_market(value) for path in files for value in recorded(path)]

    assert len(found) == 20 + 292 + 2 + 1
    assert all(each.tokens and each.outcomes and each.prices_micros and each.ends_at for each in found)
    assert {each.tick_micros for each in found} == {10_000, 1_000}
    assert {each.min_size_micros for each in found} == {5 * ONE}
    assert all(each.liquidity_micros is not None and each.volume_micros is not None for each in found)
    assert {each.category for each in found} == {""}  # no recorded object says one


def test_a_recorded_market_of_2026_has_its_fee_and_exact_volume(shared_data: Path) -> None:
    found = describe_market(recorded(shared_data / "gamma" / "gamma_market_2026.json")[0])

    assert found.fee == FeeTerms(rate_bps=720, exponent=1)
    assert (found.volume_micros, found.liquidity_micros) == (15_734_008_014_241, 19_822_555_550)
    assert (found.closed, found.accepting_orders, found.neg_risk) == (False, True, False)


def test_recorded_markets_that_are_resolved_are_closed_at_zero_and_one(shared_data: Path) -> None:
    found = [describe_market(each) for each in recorded(shared_data / "gamma" / "btc_5m_markets_20260608.jsonl.gz")]

    assert {each.prices_micros for each in found} == {(0, ONE), (ONE, 0)}
    assert {(each.closed, each.accepting_orders) for each in found} == {(True, False)}
