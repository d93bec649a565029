"""Filters over what a market is about (example 19)."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.filters import NO_FILTERS, FilterTerms, days_out, market_filter_refusals
from execution.about import UNKNOWN_ABOUT, MarketAbout, phrase_key
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import ONE, Micros

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)


def about(
    *, days: int | None = 10, liquidity: int | None = 500, volume: int | None = 9_000, category: str = "Crypto"
) -> MarketAbout:
    """A market about bitcoin that ends in ten days; dollars."""
    return MarketAbout(
        ends_at=None if days is None else NOW + timedelta(days=days),
        liquidity_micros=None if liquidity is None else Micros(liquidity * ONE),
        volume_micros=None if volume is None else Micros(volume * ONE),
        category=category,
        title="Will Bitcoin hit $150k by June 30, 2027?",
    )


def refused(terms: FilterTerms, market: MarketAbout | None = None) -> list[str]:
    return [str(each) for each in market_filter_refusals(terms, market or about(), now=NOW)]


@pytest.mark.parametrize(
    ("terms", "sentences"),
    [
        (FilterTerms(max_days_out=10), []),
        (FilterTerms(max_days_out=9), ["MAX_DAYS_OUT (value 10, limit 9)"]),
        (FilterTerms(min_liquidity_micros=500 * ONE), []),
        (FilterTerms(min_liquidity_micros=501 * ONE), ["MIN_LIQUIDITY (value $500, limit $501)"]),
        (FilterTerms(min_volume_micros=9_000 * ONE), []),
        (FilterTerms(min_volume_micros=9_001 * ONE), ["MIN_VOLUME (value $9000, limit $9001)"]),
        (FilterTerms(categories=("sports", "CRYPTO ")), []),
        (FilterTerms(categories=("Sports",)), ["CATEGORY_FILTERED (Crypto)"]),
        (FilterTerms(keywords=("election", "BITCOIN")), []),
        (FilterTerms(keywords=("election",)), ["KEYWORD_FILTERED"]),
        (
            FilterTerms(max_days_out=1, min_volume_micros=10**12, keywords=("rain",)),
            ["MAX_DAYS_OUT (value 10, limit 1)", "MIN_VOLUME (value $9000, limit $1000000)", "KEYWORD_FILTERED"],
        ),
    ],
)
def test_filters(terms: FilterTerms, sentences: list[str]) -> None:
    assert refused(terms) == sentences


ALL_SET = FilterTerms(
    max_days_out=1_000, min_liquidity_micros=1, min_volume_micros=1, categories=("Crypto",), keywords=("Bitcoin",)
)


def test_each_fact_that_is_missing_refuses_and_is_named() -> None:  # example 19
    assert refused(ALL_SET, UNKNOWN_ABOUT) == [
        "FACT_MISSING (end date)",
        "FACT_MISSING (liquidity)",
        "FACT_MISSING (volume)",
        "FACT_MISSING (category)",
        "FACT_MISSING (title)",
    ]


def test_a_filter_that_is_not_set_never_refuses() -> None:  # example 19
    assert refused(NO_FILTERS, UNKNOWN_ABOUT) == []
    assert refused(FilterTerms(min_volume_micros=1), about(days=None, liquidity=None, category="")) == []


def test_all_filters_can_be_passed_together() -> None:
    assert refused(ALL_SET) == []


@pytest.mark.parametrize(
    ("hours", "days"), [(0, 0), (1, 1), (24, 1), (25, 2), (-1, 0), (-24, -1), (240, 10)]
)  # rounded up, so that a bound is never passed unseen
def test_days_out_are_whole_and_rounded_up(hours: int, days: int) -> None:
    assert days_out(NOW + timedelta(hours=hours), NOW) == days


@pytest.mark.parametrize("days", [0, -1, -400])
def test_a_market_that_has_ended_passes_the_filter_on_its_end(days: int) -> None:
    assert refused(FilterTerms(max_days_out=0), about(days=days)) == []


@given(seconds=st.integers(-(10**8), 10**9), most=st.integers(0, 10_000))
def test_no_market_that_passes_ends_later_than_allowed(seconds: int, most: int) -> None:
    market = MarketAbout(ends_at=NOW + timedelta(seconds=seconds))
    passes = not market_filter_refusals(FilterTerms(max_days_out=most), market, now=NOW)

    assert passes == (seconds <= most * 86_400)


@given(least=st.integers(1, 10**12), value=st.integers(0, 10**12))
def test_liquidity_passes_exactly_from_the_bound_on(least: int, value: int) -> None:
    market = MarketAbout(liquidity_micros=Micros(value))
    found = market_filter_refusals(FilterTerms(min_liquidity_micros=least), market, now=NOW)

    assert found == (() if value >= least else (Refusal(Reason.MIN_LIQUIDITY, value, least, Unit.MONEY),))


@pytest.mark.parametrize(
    ("title", "keyword", "fits"),
    [
        ("Will Trump win?", "trump", True),
        ("Will Trump's team win?", "TRUMP", True),
        ("A trumpet solo", "trump", False),
        ("US election, 2028", "us election", True),
        ("US-election 2028", "US Election", True),
        ("The bus election", "us election", False),
        ("Election in the US", "us election", False),
        ("Bitcoin at $150k", "$150k", True),
        ("Bitcoin at 150k", "$150k", False),
        ("Will C++ win?", "c++", True),
        ("Will C win?", "c++", False),
        ("STRASSE gesperrt", "straße", True),
        ("İstanbul derby", "i̇stanbul", True),
        ("\uff22itcoin", "bitcoin", True),
        ("चुनाव कब", "चुनाव", True),
        ("चुनावी सभा", "चुनाव", False),  # a vowel sign belongs to its word
        ("Will it rain?", "?!", False),
        ("Will it rain?", "", False),
    ],
)
def test_keywords_are_whole_words_or_phrases_without_case(title: str, keyword: str, fits: bool) -> None:
    found = market_filter_refusals(FilterTerms(keywords=(keyword,)), MarketAbout(title=title), now=NOW)

    assert found == (() if fits else (Refusal(Reason.KEYWORD_FILTERED),))


@given(before=st.text(max_size=20), phrase=st.text(max_size=20), after=st.text(max_size=20))
def test_a_phrase_is_found_wherever_it_stands_between_spaces(before: str, phrase: str, after: str) -> None:
    title = f"{before} {phrase} {after}"
    found = market_filter_refusals(FilterTerms(keywords=(phrase,)), MarketAbout(title=title), now=NOW)

    assert (found == ()) == bool(phrase_key(phrase))


def test_categories_compare_without_case_and_outer_space() -> None:
    assert refused(FilterTerms(categories=("POLITIK STRASSE",)), about(category=" politik straße")) == []


def test_a_refusal_keeps_what_was_missing_in_its_row() -> None:
    (refusal,) = market_filter_refusals(FilterTerms(min_volume_micros=1), UNKNOWN_ABOUT, now=NOW)

    assert refusal.as_json() == {
        "reason": "FACT_MISSING",
        "value": None,
        "limit": None,
        "unit": "",
        "subject": "volume",
    }
