from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.groups import (
    NOTHING_ACTED,
    ActedTotals,
    GroupTotal,
    Increase,
    Overcount,
    Tally,
    increase,
    repeated_blocks,
)
from copytrading.signals import (
    ACTIVITY_ORDERS_MATCHED,
    ACTIVITY_TRADES,
    CHAIN_LOGS,
    DATA_API,
    ActionKind,
    LeaderAction,
    group_key,
)
from ledger.units import MAX_MICROS, ONE, Micros, Side, decimal_from_micros, micros_from_decimal

BUY_1000 = LeaderAction(
    source=ACTIVITY_TRADES,
    kind=ActionKind.TRADE,
    wallet="0x" + "1e" * 20,
    tx_hash="0x" + "01" * 32,
    condition_id="0x" + "c0" * 32,
    token_id=7,
    side=Side.BUY,
    size_micros=Micros(1_000 * ONE),
    price_micros=Micros(500_000),
    traded_at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
)


OTHER, THIRD = replace(BUY_1000, token_id=8), replace(BUY_1000, token_id=9)


class Desk:
    """What the recorder does with one group: totals in, increases out, what was acted on remembered."""

    def __init__(self, authoritative_total: int | None = None) -> None:
        self.acted = NOTHING_ACTED
        self.authoritative_total = None if authoritative_total is None else Micros(authoritative_total)

    def sees(self, total: GroupTotal) -> Increase | Overcount | None:
        news = increase(self.acted, total, authoritative_total=self.authoritative_total)
        if isinstance(news, Increase):
            self.acted = ActedTotals(
                size_micros=Micros(self.acted.size_micros + news.size_micros),
                notional_micros=Micros(self.acted.notional_micros + news.notional_micros),
            )
        return news


def fill(size: int, price: int = 500_000, source: str = ACTIVITY_TRADES) -> LeaderAction:
    return replace(BUY_1000, size_micros=Micros(size), price_micros=Micros(price), source=source)


def walk(*actions: LeaderAction) -> GroupTotal:
    tally = Tally()
    return [tally.add(action) for action in actions][-1]


def part(shares: int, price: int = 500_000) -> Increase:
    """An increase of whole shares at one price."""
    return Increase(
        size_micros=Micros(shares * ONE), price_micros=Micros(price), notional_micros=Micros(shares * price)
    )


def test_example_2_identical_rows_of_one_transaction_are_one_group_of_both() -> None:
    assert Desk().sees(walk(BUY_1000, BUY_1000)) == part(2_000)


def test_example_3_a_second_row_after_the_window_is_a_part_of_its_own() -> None:
    tally, desk = Tally(), Desk()
    assert desk.sees(tally.add(BUY_1000)) == part(1_000)
    assert desk.sees(tally.add(BUY_1000)) == part(1_000)


@pytest.mark.parametrize("source", [ACTIVITY_TRADES, DATA_API])
def test_example_6_rows_read_again_change_nothing(source: str) -> None:
    desk = Desk()
    desk.sees(walk(BUY_1000, BUY_1000))
    again = replace(BUY_1000, source=source)
    assert desk.sees(walk(again)) is None
    assert desk.sees(walk(again, again)) is None


def test_example_7_a_poll_that_shows_more_adds_the_difference() -> None:
    desk = Desk()
    desk.sees(walk(BUY_1000))
    polled = replace(BUY_1000, source=DATA_API)
    assert desk.sees(walk(polled, polled)) == part(1_000)


def test_example_8_what_the_chain_denies_is_reported_and_never_added_to() -> None:
    desk = Desk()
    desk.sees(walk(BUY_1000, BUY_1000))
    desk.authoritative_total = Micros(1_000 * ONE)
    overcount = Overcount(value_micros=Micros(2_000 * ONE), limit_micros=Micros(1_000 * ONE))
    assert desk.sees(walk(replace(BUY_1000, source=CHAIN_LOGS))) == overcount
    assert desk.sees(walk(*[BUY_1000] * 9)) == overcount
    assert desk.acted.size_micros == 2_000 * ONE


def test_example_8_an_inflated_source_is_cut_to_what_the_chain_saw() -> None:
    desk = Desk(authoritative_total=1_500 * ONE)
    assert desk.sees(walk(BUY_1000)) == part(1_000)
    assert desk.sees(walk(*[BUY_1000] * 9)) == part(500)
    assert desk.sees(walk(*[BUY_1000] * 99)) is None


def test_example_10_both_frames_of_a_taker_fill_are_one_signal() -> None:
    tally, desk = Tally(), Desk()
    assert desk.sees(tally.add(BUY_1000)) == part(1_000)
    matched = tally.add(replace(BUY_1000, source=ACTIVITY_ORDERS_MATCHED))
    assert matched.size_micros == 1_000 * ONE
    assert desk.sees(matched) is None
    assert len(tally) == 2


def test_price_of_a_part_is_that_of_its_own_rows() -> None:
    tally, desk = Tally(), Desk()
    desk.sees(tally.add(fill(100 * ONE, 400_000)))
    assert desk.sees(tally.add(fill(300 * ONE, 600_000))) == part(300, 600_000)


def test_price_of_several_rows_is_their_average_rounded_half_to_even() -> None:
    news = Desk().sees(walk(fill(2, 400_000), fill(1 * ONE, 500_000), fill(1 * ONE, 500_001)))
    assert isinstance(news, Increase)
    assert news.price_micros == 500_000


@pytest.mark.parametrize(("first_price", "polled_price"), [(900_000, 500_000), (100_000, 500_000)])
def test_price_stays_within_the_rows_of_the_source_when_two_sources_disagree(
    first_price: int, polled_price: int
) -> None:
    desk = Desk()
    desk.sees(walk(fill(100 * ONE, first_price)))
    news = desk.sees(walk(fill(100 * ONE + 1, polled_price, DATA_API)))
    assert isinstance(news, Increase)
    assert news.price_micros == polled_price
    assert desk.acted.notional_micros == 50 * ONE


def test_total_keeps_the_range_of_prices_and_the_earliest_time() -> None:
    earlier = BUY_1000.traded_at - timedelta(seconds=1)
    total = walk(fill(ONE, 600_000), fill(ONE, 400_000), replace(BUY_1000, traded_at=earlier))
    assert (total.price_min_micros, total.price_max_micros) == (400_000, 600_000)
    assert total.traded_at == earlier
    assert total.notional_micros == (6 + 4 + 5_000) * ONE // 10
    assert total.key == group_key(BUY_1000)


def test_notional_rounds_each_row_half_to_even() -> None:
    # 1.5 and 2.5 micros
    assert walk(fill(3), fill(5)).notional_micros == 2 + 2


def test_redeem_of_size_zero_is_no_increase() -> None:
    lost_bet = replace(fill(0, 0), kind=ActionKind.REDEEM, side=None, token_id=None)
    assert Desk().sees(walk(lost_bet)) is None


def test_redeemed_shares_increase_at_price_zero() -> None:
    redeemed = replace(fill(5 * ONE, 0), kind=ActionKind.REDEEM, side=None)
    assert Desk().sees(walk(redeemed, redeemed)) == part(10, 0)


def test_a_forgotten_group_only_under_counts() -> None:
    tally, desk = Tally(groups_max=2), Desk()
    desk.sees(tally.add(BUY_1000))
    tally.add(OTHER)
    tally.add(THIRD)
    assert len(tally) == 2
    again = tally.add(BUY_1000)
    assert again.size_micros == 1_000 * ONE
    assert desk.sees(again) is None


def test_a_full_tally_forgets_the_group_untouched_for_longest() -> None:
    tally = Tally(groups_max=2)
    for action in (BUY_1000, OTHER, BUY_1000, THIRD):
        tally.add(action)
    assert tally.add(BUY_1000).size_micros == 3_000 * ONE
    assert tally.add(OTHER).size_micros == 1_000 * ONE


def test_forged_rows_cannot_lift_a_total_above_what_its_column_holds() -> None:
    total = walk(*[fill(MAX_MICROS - 1)] * 9, fill(1))
    assert total.size_micros == MAX_MICROS
    assert isinstance(Desk().sees(total), Increase)


FILLS = st.lists(st.tuples(st.integers(1, MAX_MICROS // 10), st.integers(1, ONE - 1)), min_size=1, max_size=8)
SOURCES = (ACTIVITY_TRADES, DATA_API, ACTIVITY_ORDERS_MATCHED)


@given(FILLS, st.lists(st.tuples(st.sampled_from(SOURCES), st.sets(st.integers(0, 7))), max_size=8), st.randoms())
def test_any_split_over_walks_and_sources_adds_up_to_the_largest_total(
    fills: list[tuple[int, int]], views: list[tuple[str, set[int]]], chance: Random
) -> None:
    """Each walk shows some of the true fills, once each; they arrive interleaved in any order."""
    tallies = [Tally() for _ in views]
    arrivals = [
        (number, fill(*fills[index], source))
        for number, (source, shown) in enumerate(views)
        for index in shown
        if index < len(fills)
    ]
    chance.shuffle(arrivals)
    desk = Desk()
    largest = 0
    added = 0
    for number, action in arrivals:
        total = tallies[number].add(action)
        news = desk.sees(total)
        largest = max(largest, total.size_micros)
        if news is not None:
            assert isinstance(news, Increase)
            assert total.price_min_micros <= news.price_micros <= total.price_max_micros
            added += news.size_micros
        assert desk.acted.size_micros == added == largest <= sum(size for size, _ in fills)


@given(FILLS, st.integers(0, MAX_MICROS), st.integers(0, MAX_MICROS))
def test_nothing_is_ever_added_above_an_authoritative_total(
    fills: list[tuple[int, int]], acted: int, truth: int
) -> None:
    before = ActedTotals(size_micros=Micros(acted), notional_micros=Micros(acted // 2))
    news = increase(before, walk(*[fill(*pair) for pair in fills]), authoritative_total=Micros(truth))
    if acted > truth:
        assert news == Overcount(value_micros=Micros(acted), limit_micros=Micros(truth))
    elif isinstance(news, Increase):
        assert 0 < news.size_micros <= truth - acted


@given(FILLS)
def test_the_whole_group_at_once_carries_its_exact_notional(fills: list[tuple[int, int]]) -> None:
    news = Desk().sees(walk(*[fill(*pair) for pair in fills]))
    assert isinstance(news, Increase)
    values = [decimal_from_micros(size) * decimal_from_micros(price) for size, price in fills]
    assert news.notional_micros == sum(micros_from_decimal(value) for value in values)


def rows_marked(rows: Sequence[int], block: int = 100) -> list[int]:
    return [index for index, again in enumerate(repeated_blocks(rows, block)) if again]


def test_example_9_a_page_shown_twice_is_marked_the_second_time() -> None:
    page = list(range(100))
    assert rows_marked([*page, -1, *page, -2]) == list(range(101, 201))
    assert rows_marked([*page, *page, *page]) == list(range(100, 300))


def test_example_9_any_shorter_repetition_is_fills() -> None:
    page = list(range(99))
    assert rows_marked([*page, -1, *page, -2]) == []
    assert rows_marked([7] * 199) == []
    assert rows_marked([]) == []


def test_example_9_a_longer_block_is_marked_to_its_end() -> None:
    page = list(range(250))
    assert rows_marked([*page, -1, *page[30:240], -2]) == list(range(251, 461))


def test_equal_rows_are_repeated_only_from_the_second_hundred_on() -> None:
    assert rows_marked([7] * 201) == list(range(100, 201))


def test_a_hundred_thousand_equal_or_periodic_rows_are_no_burden() -> None:
    assert sum(repeated_blocks([7] * 100_000)) == 99_900
    period = [row for row, _ in zip(cycle(range(101)), range(100_000), strict=False)]
    assert sum(repeated_blocks(period)) == 99_899


def by_definition(rows: Sequence[int], block: int) -> list[bool]:
    marked = [False] * len(rows)
    for start in range(block, len(rows) - block + 1):
        window = rows[start : start + block]
        if any(rows[first : first + block] == window for first in range(start - block + 1)):
            marked[start : start + block] = [True] * block
    return marked


@given(st.lists(st.integers(0, 2), max_size=60), st.integers(1, 9))
def test_marking_agrees_with_the_definition(rows: list[int], block: int) -> None:
    assert repeated_blocks(rows, block) == by_definition(rows, block)
