"""How much is copied: tables for every choice, and bounds that no size may pass."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from copytrading.sizing import (
    NOTHING_YET,
    Already,
    Aside,
    BelowMinimum,
    SellSizing,
    Size,
    Sizing,
    SizingFacts,
    SizingTerms,
    size_copy,
)
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import ONE, SHARE_STEP, Micros, Side, cost_up

PERCENT = SizingTerms(
    sizing=Sizing.PERCENTAGE,
    percentage_bps=1_000,
    amount_micros=0,
    floor_micros=0,
    cap_micros=0,
    max_trade_micros=100 * ONE,
    below_minimum=BelowMinimum.SKIP,
)
"""Fay's terms in the worked examples."""

RAISING = replace(PERCENT, below_minimum=BelowMinimum.RAISE)
FIXED = replace(PERCENT, sizing=Sizing.FIXED_AMOUNT, amount_micros=20 * ONE)
RANGE = replace(PERCENT, sizing=Sizing.RANGE, floor_micros=5 * ONE, cap_micros=30 * ONE)


def decided(size: int, *, limit: int = 510_000, spent: int | None = None) -> Already:
    """What earlier parts made a follower decide, at one limit unless the money is given; micros."""
    cost = cost_up(size, limit) if spent is None else Micros(spent)
    return Already(size_micros=Micros(size), cost_micros=cost, counted=size > 0)


def facts(side: Side = Side.BUY, **shares: Any) -> SizingFacts:
    """A leader's trade of 1,000 shares with the limit 0.51; amounts in whole shares, `limit` in micros.

    What was copied `already` cost the same limit unless `spent` says how many dollars.
    """
    usual = {"part": 1_000, "already": 0, "minimum": 5, "held": 0, "leader_held": None, "limit": 510_000}
    told = {**usual, **shares}
    part = int(told["part"] * ONE)
    known, spent = told["leader_held"], told.get("spent")
    return SizingFacts(
        side=side,
        part_micros=part,
        total_micros=int(told.get("total", told["part"]) * ONE),
        already=decided(
            round(told["already"] * ONE),
            limit=told["limit"],
            spent=None if spent is None else round(spent * ONE),
        ),
        limit_micros=told["limit"],
        minimum_micros=int(told["minimum"] * ONE),
        held_micros=int(told["held"] * ONE),
        leader_held_micros=None if known is None else int(known * ONE),
    )


def below(value: float, limit: float = 5) -> Refusal:
    return Refusal(Reason.BELOW_MINIMUM, round(value * ONE), round(limit * ONE), Unit.SHARES)


def size(shares: float, *notes: Reason) -> Size:
    return Size(Micros(round(shares * ONE)), notes)


UNKNOWN = Reason.LEADER_POSITION_UNKNOWN
ALREADY = Refusal(Reason.ALREADY_COPIED)
NOTHING = Refusal(Reason.NOTHING_TO_SELL)


@pytest.mark.parametrize(
    ("terms", "told", "expected"),
    [
        (PERCENT, {}, size(100)),
        (PERCENT, {"part": 2_000}, size(196.07)),
        (PERCENT, {"part": 1_000, "total": 2_000, "already": 100}, size(96.07)),
        (PERCENT, {"part": 1_000, "total": 3_000, "already": 196.07}, ALREADY),
        (PERCENT, {"part": 333.333333}, size(33.33)),
        (PERCENT, {"part": 50}, size(5)),
        (PERCENT, {"part": 49.9}, below(4.99)),
        (PERCENT, {"part": 0.05}, below(0)),
        (replace(PERCENT, max_trade_micros=None), {"part": 9_000}, size(900)),
        (replace(PERCENT, percentage_bps=0), {}, below(0)),
        (replace(PERCENT, percentage_bps=50_000, max_trade_micros=None), {}, size(5_000)),
        (replace(PERCENT, max_trade_micros=2 * ONE), {}, below(3.92)),
        (RAISING, {"part": 30}, size(5)),
        (RAISING, {"part": 30, "minimum": 5.56}, size(5.56)),
        (replace(RAISING, max_trade_micros=2 * ONE), {"part": 30}, below(3)),
        (replace(RAISING, max_trade_micros=2_550_000), {"part": 30}, size(5)),
        (replace(RAISING, max_trade_micros=2_549_999), {"part": 30}, below(3)),
        (RAISING, {"part": 20, "total": 120, "already": 10}, below(2)),
        (FIXED, {}, size(39.21)),
        (FIXED, {"part": 1}, size(39.21)),
        (FIXED, {"part": 1_000, "total": 2_000, "already": 39.21}, ALREADY),
        (FIXED, {"part": 1_000, "total": 2_000, "already": 30, "spent": 15}, size(9.21)),
        (FIXED, {"part": 1_000, "total": 2_000, "already": 30, "spent": 17.45}, size(5)),
        (FIXED, {"part": 1_000, "total": 2_000, "already": 30, "spent": 20}, ALREADY),
        (FIXED, {"part": 1_000, "total": 2_000, "already": 8, "spent": 30}, ALREADY),
        (PERCENT, {"part": 1_000, "total": 2_000, "already": 100, "spent": 60}, size(78.43)),
        (replace(FIXED, amount_micros=ONE), {}, below(1.96)),
        (replace(FIXED, amount_micros=ONE, below_minimum=BelowMinimum.RAISE), {}, size(5)),
        (replace(FIXED, max_trade_micros=10 * ONE), {}, size(19.6)),
        (RANGE, {}, size(58.82)),
        (RANGE, {"part": 200}, size(20)),
        (RANGE, {"part": 10}, size(9.8)),
        (RANGE, {"part": 1_000, "total": 2_000, "already": 58.82}, ALREADY),
        (replace(RANGE, max_trade_micros=20 * ONE), {}, size(39.21)),
        (replace(RANGE, floor_micros=30 * ONE), {"part": 1}, size(58.82)),
    ],
)
def test_a_buy_is_sized(terms: SizingTerms, told: dict[str, Any], expected: Size | Refusal) -> None:
    assert size_copy(terms, facts(**told)) == expected


@pytest.mark.parametrize(
    ("terms", "told", "expected"),
    [
        (PERCENT, {"part": 500, "held": 200, "leader_held": 2_000}, size(50)),
        (PERCENT, {"part": 2_000, "held": 200, "leader_held": 2_000}, size(200)),
        (PERCENT, {"part": 2_000, "held": 33.337, "leader_held": 2_000}, size(33.33)),
        (PERCENT, {"part": 500, "held": 200}, size(50, UNKNOWN)),
        (PERCENT, {"part": 500, "held": 200, "leader_held": 400}, size(50, UNKNOWN)),
        (PERCENT, {"part": 5_000, "held": 200}, size(200, UNKNOWN)),
        (PERCENT, {"part": 500, "held": 0, "leader_held": 2_000}, NOTHING),
        (PERCENT, {"part": 500, "held": 0}, NOTHING),
        (PERCENT, {"part": 500, "held": -1}, NOTHING),
        (PERCENT, {"part": 100, "held": 90, "leader_held": 2_000}, below(4.5)),
        (RAISING, {"part": 100, "held": 90, "leader_held": 2_000}, size(5)),
        (RAISING, {"part": 2_000, "held": 4.9, "leader_held": 2_000}, below(4.9)),
        (RAISING, {"part": 10, "held": 90}, size(5, UNKNOWN)),
        (FIXED, {"part": 500, "held": 200}, size(39.21, UNKNOWN)),
        (FIXED, {"part": 500, "held": 30}, size(30, UNKNOWN)),
        (PERCENT, {"part": 500, "total": 1_000, "already": 50, "held": 150}, size(50, UNKNOWN)),
        (FIXED, {"part": 500, "total": 1_000, "already": 39.21, "held": 150}, ALREADY),
        # The cap is for money that goes out: an exit must not be stuck.
        (replace(PERCENT, max_trade_micros=ONE), {"part": 500, "held": 200, "leader_held": 2_000}, size(50)),
    ],
)
def test_a_sell_is_the_same_part_of_what_is_held(
    terms: SizingTerms, told: dict[str, Any], expected: Size | Refusal
) -> None:
    assert size_copy(terms, facts(Side.SELL, **told)) == expected


def test_raising_never_passes_the_most_that_a_range_allows() -> None:
    terms = replace(RANGE, floor_micros=0, cap_micros=2 * ONE, below_minimum=BelowMinimum.RAISE)
    assert size_copy(terms, facts()) == below(3.92)


terms_of_all_kinds = st.builds(
    SizingTerms,
    sizing=st.sampled_from(Sizing),
    percentage_bps=st.integers(1, 100_000),
    amount_micros=st.integers(ONE, 10**11),
    floor_micros=st.integers(0, 10**8),
    cap_micros=st.integers(10**8, 10**11),
    max_trade_micros=st.none() | st.integers(ONE, 10**11),
    below_minimum=st.sampled_from(BelowMinimum),
    shares_micros=st.integers(SHARE_STEP, 10**11),
    tiers=st.lists(st.tuples(st.integers(1, 10**11), st.integers(1, 100_000)), max_size=4).map(
        lambda later: ((0, 1_000), *sorted(later))
    ),
    sell_sizing=st.sampled_from(SellSizing),
    sell_amount_micros=st.integers(ONE, 10**11),
    sell_percentage_bps=st.integers(1, 10_000),
)
limits = st.integers(1, 99).map(lambda cents: cents * 10_000)
minimums = st.integers(1, 2_000).map(lambda steps: steps * SHARE_STEP)
sizes = st.integers(ONE, 10**11)
facts_of_all_kinds = st.builds(
    SizingFacts,
    side=st.sampled_from(Side),
    part_micros=sizes,
    total_micros=sizes,
    already=st.just(0).map(decided) | st.integers(0, 10**9).map(lambda steps: decided(steps * SHARE_STEP)),
    limit_micros=limits,
    minimum_micros=minimums,
    held_micros=st.integers(0, 10**12),
    leader_held_micros=st.none() | st.integers(0, 10**12),
    leader_cost_micros=sizes,
    bankroll_micros=st.none() | st.integers(0, 10**12),
    leader_bankroll_micros=st.none() | st.integers(ONE, 10**13),
    carried_micros=st.integers(-(10**8), 10**8).map(lambda steps: steps * SHARE_STEP),
)


@given(terms_of_all_kinds, facts_of_all_kinds)
def test_a_buy_never_costs_more_than_the_cap_at_its_limit(terms: SizingTerms, told: SizingFacts) -> None:
    capped = replace(terms, max_trade_micros=terms.max_trade_micros or 10**8)
    answer = size_copy(capped, replace(told, side=Side.BUY))
    assume(isinstance(answer, Size))
    assert isinstance(answer, Size)
    assert cost_up(answer.size_micros, told.limit_micros) <= (capped.max_trade_micros or 0)


@given(terms_of_all_kinds, facts_of_all_kinds)
def test_a_sell_is_never_more_than_is_held(terms: SizingTerms, told: SizingFacts) -> None:
    answer = size_copy(terms, replace(told, side=Side.SELL))
    assert isinstance(answer, Refusal) or answer.size_micros <= told.held_micros


@given(terms_of_all_kinds, facts_of_all_kinds)
def test_a_size_is_positive_whole_and_at_least_the_minimum(terms: SizingTerms, told: SizingFacts) -> None:
    answer = size_copy(terms, told)
    assume(isinstance(answer, Size))
    assert isinstance(answer, Size)
    assert answer.size_micros >= told.minimum_micros > 0
    assert answer.size_micros % SHARE_STEP == 0


def copied_in_parts(terms: SizingTerms, parts: list[tuple[int, int]], *, minimum: int = SHARE_STEP) -> Already:
    """What a follower buys of a group that is shown in these (size, limit) parts, one after the other."""
    total, already = 0, NOTHING_YET
    for part, limit in parts:
        total += part
        told = replace(facts(), part_micros=part, total_micros=total, limit_micros=limit, minimum_micros=minimum)
        answer = size_copy(terms, replace(told, already=already))
        if isinstance(answer, Size):
            already = Already(
                size_micros=Micros(already.size_micros + answer.size_micros),
                cost_micros=Micros(already.cost_micros + cost_up(answer.size_micros, limit)),
                counted=True,
            )
    return already


def at_one_limit(parts: list[int], limit: int) -> list[tuple[int, int]]:
    return [(part, limit) for part in parts]


many = st.lists(sizes, min_size=1, max_size=6)


@given(terms_of_all_kinds, many, limits)
def test_parts_add_up_to_the_size_of_the_total(terms: SizingTerms, parts: list[int], limit: int) -> None:
    skipping = replace(terms, below_minimum=BelowMinimum.SKIP)
    at_once = copied_in_parts(skipping, [(sum(parts), limit)])
    in_parts = copied_in_parts(skipping, at_one_limit(parts, limit))
    # Rounding up the cost of each part may leave no money for the last hundredths of a share.
    assert 0 <= at_once.size_micros - in_parts.size_micros <= len(parts) * SHARE_STEP


@given(terms_of_all_kinds, many, limits, minimums)
def test_parts_that_were_too_small_are_caught_up_with(
    terms: SizingTerms, parts: list[int], limit: int, minimum: int
) -> None:
    skipping = replace(terms, below_minimum=BelowMinimum.SKIP)
    wish = copied_in_parts(skipping, at_one_limit(parts, limit)).size_micros
    found = copied_in_parts(skipping, at_one_limit(parts, limit), minimum=minimum).size_micros
    assert wish - found + len(parts) * SHARE_STEP >= 0
    assert wish - found < minimum


@given(terms_of_all_kinds, many, limits, minimums)
def test_raising_each_part_never_passes_the_wish_or_one_minimum(
    terms: SizingTerms, parts: list[int], limit: int, minimum: int
) -> None:
    raising = replace(terms, below_minimum=BelowMinimum.RAISE)
    wish = copied_in_parts(raising, [(sum(parts), limit)]).size_micros
    assert copied_in_parts(raising, at_one_limit(parts, limit), minimum=minimum).size_micros <= max(wish, minimum)


@given(terms_of_all_kinds, st.lists(st.tuples(sizes, limits), min_size=1, max_size=6), minimums)
def test_parts_at_any_prices_never_cost_more_than_the_caps(
    terms: SizingTerms, parts: list[tuple[int, int]], minimum: int
) -> None:
    capped = replace(terms, max_trade_micros=terms.max_trade_micros or 10**8, below_minimum=BelowMinimum.SKIP)
    spent = copied_in_parts(capped, parts, minimum=minimum).cost_micros
    own = {Sizing.FIXED_AMOUNT: capped.amount_micros, Sizing.RANGE: capped.cap_micros}.get(capped.sizing)
    assert spent <= (capped.max_trade_micros or 0)
    assert own is None or spent <= own


@given(terms_of_all_kinds, facts_of_all_kinds)
def test_what_is_taken_from_the_carried_was_there_and_is_part_of_the_size(
    terms: SizingTerms, told: SizingFacts
) -> None:
    answer = size_copy(replace(terms, below_minimum=BelowMinimum.ACCUMULATE), told)
    waiting = max(0, told.carried_micros if told.side is Side.BUY else -told.carried_micros)
    if isinstance(answer, Size):
        assert 0 <= answer.taken_micros <= min(waiting, answer.size_micros)
    if isinstance(answer, Aside):
        assert 0 <= answer.size_micros < told.minimum_micros


@given(st.lists(st.integers(1, 600), min_size=1, max_size=20))
def test_carrying_buys_in_the_end_what_was_wanted_but_for_less_than_a_minimum(percents: list[int]) -> None:
    terms = replace(PERCENT, max_trade_micros=None, below_minimum=BelowMinimum.ACCUMULATE)
    carried = bought = 0
    for shares in percents:
        answer = size_copy(terms, replace(facts(part=shares), carried_micros=carried))
        if isinstance(answer, Size):
            bought, carried = bought + answer.size_micros, carried - answer.taken_micros
        elif isinstance(answer, Aside):
            carried += answer.size_micros
    assert bought + carried == sum(percents) * ONE // 10
    assert 0 <= carried < 5 * ONE
