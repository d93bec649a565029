"""Worked examples of a follower's choices: numbers 11 and 19 of `examples.md`, and more of the same form.

Leader Lena buys 1,000 @ 0.50 unless said, limit 0.51; Fay has $10,000 and copies at most $100 a trade.
"""

from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CarriedSize, CopyConfig, CopyTrade, Leader
from copytrading.states import Status
from execution.books import Book, Level
from execution.models import Market, Position
from guardrails.operations import set_switch
from ledger.units import ONE, Micros, micros_from_text
from tests.venues import ScriptedVenue
from tests.world import CONDITION, DEEP, OTHER_TOKEN, TOKEN, World, notes, reasons, story

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)
SMALL = ("30", "0.50")
"""A tenth of it is 3 shares, under the minimum of 5."""


def carried() -> int | None:
    row = CarriedSize.objects.first()
    return row.size_micros // ONE if row else None


def accumulating(world: World, **more: Any) -> None:
    world.follower(below_minimum="ACCUMULATE", **more)


def test_11_a_size_under_the_minimum_is_carried_to_the_next_copy(world: World) -> None:
    accumulating(world)
    (first,) = world.copy(world.row(*SMALL))
    assert story(first) == ("SKIPPED", "3", "0.51", ("ACCUMULATED", 3 * ONE, 5 * ONE))
    assert (first.carried_micros, carried()) == (3 * ONE, 3)
    _first, second = world.copy(world.row(*SMALL, tx=2))
    assert story(second) == ("EXECUTED", "6", "0.51")
    assert (second.carried_micros, carried()) == (-3 * ONE, 0)


def test_11_two_small_trades_shown_together_are_carried_one_after_the_other(world: World) -> None:
    accumulating(world)
    _first, second = world.copy(world.row(*SMALL), world.row(*SMALL, tx=2))
    assert story(second) == ("EXECUTED", "6", "0.51")


def test_11_what_waited_is_taken_once(world: World) -> None:
    accumulating(world)
    for number in range(1, 5):
        world.copy(world.row(*SMALL, tx=number))
    assert [t.status for t in world.trades()] == ["SKIPPED", "EXECUTED", "SKIPPED", "EXECUTED"]
    assert sum(t.fill_size_micros for t in world.trades()) == 12 * ONE


def test_11_parts_of_a_group_carry_only_their_increase(world: World) -> None:
    accumulating(world)
    row = world.row("20", "0.50")
    world.copy(row)
    world.copy(row)
    *_, third = world.copy(row)
    assert [t.carried_micros // ONE for t in world.trades()] == [2, 2, -4]
    assert story(third) == ("EXECUTED", "6", "0.51")


def test_11_what_the_leader_sells_is_not_waited_for_any_more(world: World) -> None:
    accumulating(world)
    world.copy(world.row(*SMALL))
    world.copy(world.row(*SMALL, tx=2, side="SELL"))
    assert carried() == 0
    *_, last = world.copy(world.row(*SMALL, tx=3))
    assert reasons(last) == [("ACCUMULATED", 3 * ONE, 5 * ONE)]


def test_11_small_sells_are_carried_too(world: World) -> None:
    accumulating(world)
    world.hold(CopyConfig.objects.get().follower, 100)
    world.lena_holds(1_000)
    first, second = [world.copy(world.row("30", "0.50", tx=n, side="SELL"))[-1] for n in (1, 2)]
    assert (reasons(first), first.carried_micros) == ([("ACCUMULATED", 3 * ONE, 5 * ONE)], 3 * ONE)
    assert story(second)[:2] == ("EXECUTED", "6")
    assert carried() == 0


def test_11_what_waits_to_be_sold_is_not_divided_again(world: World) -> None:
    accumulating(world)
    world.hold(CopyConfig.objects.get().follower, 10)
    world.lena_holds(100)
    world.copy(world.row("40", "0.50", side="SELL"))  # 4 put aside
    *_, second = world.copy(world.row("30", "0.50", tx=2, side="SELL"))
    assert story(second)[:2] == ("EXECUTED", "7")  # Lena has 30 of 100 left, and Fay 3 of 10


def test_11_a_dry_run_carries_nothing_into_a_real_order(world: World) -> None:
    accumulating(world)
    rehearsal = {"kind": "DRY_RUN", "scope": "GLOBAL", "key": "", "who": "olga", "why": ""}
    set_switch(**rehearsal, on=True, now=world.clock.now())
    (trade,) = world.copy(world.row(*SMALL))
    assert ([r for r, *_ in reasons(trade)], trade.carried_micros, carried()) == (["ACCUMULATED"], 0, None)


def test_11_a_refused_copy_carries_nothing(world: World) -> None:
    accumulating(world, max_odds_micros=400_000)
    (trade,) = world.copy(world.row(*SMALL))
    assert [reason for reason, *_ in reasons(trade)] == ["MAX_ODDS", "ACCUMULATED"]
    assert (trade.carried_micros, carried()) == (0, None)


def test_11_a_copy_that_cannot_be_paid_leaves_what_waits(world: World) -> None:
    accumulating(world, cash=2)
    for number in (1, 2):
        world.copy(world.row(*SMALL, tx=number))
    assert [reason for reason, *_ in reasons(world.trades()[-1])] == ["NOT_ENOUGH_CASH"]
    assert carried() == 3


def test_11_a_cap_under_the_minimum_carries_nothing_for_ever(world: World) -> None:
    accumulating(world, max_trade_micros=2 * ONE)
    (trade,) = world.copy(world.row(*SMALL))
    assert reasons(trade) == [("BELOW_MINIMUM", 3 * ONE, 5 * ONE)]


def test_19_a_filter_whose_fact_is_unknown_refuses(world: World) -> None:
    world.follower(min_liquidity_micros=1_000 * ONE)
    (trade,) = world.copy(world.row())
    assert (trade.status, reasons(trade)) == ("SKIPPED", [("FACT_MISSING", None, None)])
    assert trade.reasons[0]["subject"] == "liquidity"


def test_19_a_filter_that_is_not_set_never_refuses(world: World) -> None:
    world.follower()
    assert [t.status for t in world.copy(world.row())] == ["EXECUTED"]


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"min_liquidity_micros": 5_000 * ONE}, []),
        ({"min_liquidity_micros": 5_001 * ONE}, [("MIN_LIQUIDITY", 5_000 * ONE, 5_001 * ONE)]),
        ({"min_volume_micros": 90_001 * ONE}, [("MIN_VOLUME", 90_000 * ONE, 90_001 * ONE)]),
        ({"categories": ["weather", "Sports"]}, []),
        ({"categories": ["Sports"]}, [("CATEGORY_FILTERED", None, None)]),
        ({"keywords": ["Rain"]}, []),
        ({"keywords": ["snow"]}, [("KEYWORD_FILTERED", None, None)]),
        ({"max_days_out": 10}, []),
        ({"max_days_out": 9}, [("MAX_DAYS_OUT", 10, 9)]),
    ],
)
def test_19_filters_over_what_is_known_of_the_market(world: World, choice: dict[str, Any], expected: list[Any]) -> None:
    Market.objects.update(
        liquidity_micros=5_000 * ONE,
        volume_micros=90_000 * ONE,
        category="Weather",
        ends_at=world.clock.now().replace(microsecond=0) + 10 * DAY,
    )
    world.follower(**choice)
    assert reasons(world.copy(world.row())[0]) == expected


def test_a_sell_passes_the_filters(world: World) -> None:
    world.hold(world.follower(min_liquidity_micros=ONE, keywords=["snow"]), 200)
    assert [t.status for t in world.copy(world.row("500", side="SELL"))] == ["EXECUTED"]


def test_max_per_market_counts_what_is_held_and_what_is_open(world: World) -> None:
    world.follower(max_per_market_micros=100 * ONE)
    first, second = world.copy(world.row("1000", "0.50"), world.row("1000", "0.50", tx=2))
    assert story(first) == ("EXECUTED", "100", "0.51")
    assert reasons(second) == [("MAX_PER_MARKET", 102 * ONE, 100 * ONE)]
    *_, third = world.copy(world.row("900", "0.50", tx=3))
    assert reasons(third) == []  # what filled at 0.50 costs 50, and 45.9 more fit


def test_max_per_market_counts_the_other_token_of_the_market(world: World) -> None:
    fay = world.follower(max_per_market_micros=100 * ONE)
    Position.objects.create(
        follower=fay, token_id=OTHER_TOKEN, condition_id=CONDITION, size_micros=100 * ONE, cost_micros=60 * ONE
    )
    assert reasons(world.copy(world.row())[0]) == [("MAX_PER_MARKET", 111 * ONE, 100 * ONE)]


TIERS = [[0, 2_000], [100 * ONE, 1_000], [1_000 * ONE, 100]]


@pytest.mark.parametrize(
    ("choice", "size", "copied"),
    [
        ({"sizing": "SHARES", "shares_micros": 25_550_000}, "1000", "25.55"),
        ({"sizing": "SHARES", "shares_micros": 500 * ONE}, "1000", "196.07"),  # at most $100 at 0.51
        ({"sizing": "TIERED", "tiers": TIERS}, "199", "39.8"),  # $99.50
        ({"sizing": "TIERED", "tiers": TIERS}, "200", "20"),  # $100
        ({"sizing": "TIERED", "tiers": TIERS}, "2000", "20"),  # $1,000
        ({"sizing": "BANKROLL", "percentage_bps": 50}, "1000", "98.03"),  # 0.5 % of $10,000
        ({"sizing": "PROPORTIONAL"}, "1000", "49.01"),  # $500 of Lena's $200,000: $25 of Fay's $10,000
    ],
)
def test_each_sizing_has_its_measure(world: World, choice: dict[str, Any], size: str, copied: str) -> None:
    Leader.objects.update(bankroll_micros=200_000 * ONE)
    world.follower(**choice)
    assert story(world.copy(world.row(size, "0.50"))[0]) == ("EXECUTED", copied, "0.51")


def test_the_bankroll_is_cash_and_what_positions_cost(world: World) -> None:
    fay = world.follower(sizing="BANKROLL", percentage_bps=100, cash=1_000)
    world.hold(fay, 2_000)  # cost $1,000
    assert story(world.copy(world.row())[0]) == ("EXECUTED", "39.21", "0.51")  # 1 % of $2,000


def test_a_part_of_an_unknown_bankroll_is_no_part(world: World) -> None:
    world.follower(sizing="PROPORTIONAL")
    (trade,) = world.copy(world.row())
    assert reasons(trade) == [("FACT_MISSING", None, None)]
    assert trade.reasons[0]["subject"] == "leader's bankroll"


@pytest.mark.parametrize("choice", [{"sizing": "SHARES", "shares_micros": 25 * ONE}, {"sizing": "BANKROLL"}])
def test_a_measure_that_does_not_grow_is_spent_once_for_a_group(world: World, choice: dict[str, Any]) -> None:
    world.follower(**choice)
    row = world.row()
    world.copy(row)
    _first, second = world.copy(row)
    assert reasons(second) == [("ALREADY_COPIED", None, None)]


@pytest.mark.parametrize(
    ("choice", "held", "sold"),
    [
        ({"sell_sizing": "CUSTOM_PERCENT", "sell_percentage_bps": 2_500}, 200, "50"),
        ({"sell_sizing": "CUSTOM_PERCENT"}, 200, "200"),
        ({"sell_sizing": "FIXED_AMOUNT", "sell_amount_micros": 20 * ONE}, 200, "40.81"),  # $20 at 0.49
        ({"sell_sizing": "FIXED_AMOUNT", "sell_amount_micros": 20 * ONE}, 30, "30"),
    ],
)
def test_a_sell_may_have_a_measure_of_its_own(world: World, choice: dict[str, Any], held: int, sold: str) -> None:
    world.hold(world.follower(**choice), held)
    world.lena_holds(2_000)
    row = world.row("500", "0.50", side="SELL")
    (trade,) = world.copy(row)
    assert story(trade) == ("EXECUTED", sold, "0.49")
    assert notes(trade) == []


def test_a_sell_of_its_own_measure_is_made_once_for_a_group(world: World) -> None:
    world.hold(world.follower(sell_sizing="CUSTOM_PERCENT", sell_percentage_bps=2_500), 200)
    row = world.row("500", "0.50", side="SELL")
    world.copy(row)
    _first, second = world.copy(row)
    assert reasons(second) == [("ALREADY_COPIED", None, None)]


def other_book(world: World, bid: str, ask: str) -> None:
    levels = [(Level(micros_from_text(price), Micros(DEEP * ONE)),) for price in (bid, ask)]
    world.books.put(Book(token_id=OTHER_TOKEN, version=f"other {bid} {ask}", bids=levels[0], asks=levels[1]))


def test_against_the_leader_buys_the_other_token_at_one_minus_the_price(world: World) -> None:
    world.follower(direction="COUNTER")
    other_book(world, "0.60", "0.60")
    (trade,) = world.copy(world.row("1000", "0.40"))
    assert story(trade) == ("EXECUTED", "100", "0.61")
    assert (trade.token_id, trade.leader_price_micros, trade.side) == (OTHER_TOKEN, 600_000, "BUY")
    assert Position.objects.get().token_id == OTHER_TOKEN


def test_against_the_leader_sells_what_it_holds_when_the_leader_sells(world: World) -> None:
    world.follower(direction="COUNTER")
    other_book(world, "0.60", "0.60")
    world.copy(world.row("1000", "0.40"))
    world.lena_holds(1_000)
    *_, trade = world.copy(world.row("500", "0.40", tx=2, side="SELL"))
    assert (trade.token_id, story(trade)[:2]) == (OTHER_TOKEN, ("EXECUTED", "50"))


def test_filters_on_price_look_at_the_token_that_is_bought(world: World) -> None:
    world.follower("Fay", direction="COUNTER", max_odds_micros=590_000)
    world.follower("Fred", max_odds_micros=590_000)
    world.set_book("0.40", "0.40")
    against, along = world.copy(world.row("1000", "0.40"))
    assert reasons(against) == [("MAX_ODDS", 600_000, 590_000)]
    assert along.status == Status.EXECUTED


def test_against_the_leader_needs_the_markets_other_token(world: World) -> None:
    Market.objects.update(second_token_id=None)
    world.follower(direction="COUNTER")
    (trade,) = world.copy(world.row())
    assert (trade.token_id, reasons(trade)) == (TOKEN, [("FACT_MISSING", None, None)])


def test_a_follower_against_and_one_along_are_copied_from_the_same_signal(world: World) -> None:
    other_book(world, "0.50", "0.50")
    world.follower("Fay", direction="COUNTER")
    world.follower("Fred")
    assert [t.token_id for t in world.copy(world.row())] == [OTHER_TOKEN, TOKEN]
    assert {t.status for t in world.trades()} == {"EXECUTED"}


def test_an_accumulated_copy_survives_a_restart(world: World) -> None:
    accumulating(world)
    world.copy(world.row(*SMALL))
    world.start()
    *_, second = world.copy(world.row(*SMALL, tx=2))
    assert story(second) == ("EXECUTED", "6", "0.51")


def test_a_failed_copy_does_not_bring_back_what_it_took(make_world: Any) -> None:
    world = make_world(venue=ScriptedVenue())
    accumulating(world)
    for number in (1, 2):
        world.copy(world.row(*SMALL, tx=number))
    assert CopyTrade.objects.get(carried_micros__lt=0).carried_micros == -3 * ONE
    assert carried() == 0


@pytest.mark.parametrize(
    ("choice", "reason"),
    [
        ({"sizing": "TIERED", "tiers": {"0": 1_000}}, "BELOW_MINIMUM"),
        ({"sizing": "TIERED", "tiers": [[0, "1000"]]}, "BELOW_MINIMUM"),
        ({"sizing": "TIERED", "tiers": []}, "BELOW_MINIMUM"),
        ({"sizing": "TIERED", "tiers": {"a": 1}, "below_minimum": "RAISE"}, "BELOW_MINIMUM"),
        ({"categories": "Weather"}, "CATEGORY_FILTERED"),
        ({"keywords": [1]}, "KEYWORD_FILTERED"),
    ],
)
def test_choices_stored_past_the_forms_copy_nothing_and_stop_nobody_else(
    world: World, choice: dict[str, Any], reason: str
) -> None:
    Market.objects.update(category="Weather")
    fay, fred = world.follower("Fay", **choice), world.follower("Fred")
    world.copy(world.row())
    assert [r for t in world.trades(fay) for r, *_ in reasons(t)] == [reason]
    assert [t.status for t in world.trades(fred)] == ["EXECUTED"]
