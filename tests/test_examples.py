"""The worked examples of money: what goes in, which rows come out. The numbers are those of `examples.md`."""

from typing import Any

import pytest

from copytrading.models import CopyTrade, Leader
from copytrading.states import Status
from guardrails.models import Budget, GuardrailEvent
from ledger.units import ONE
from tests.doors import outside_loop
from tests.venues import ScriptedVenue
from tests.world import TOKEN, World, notes, reasons, story

pytestmark = pytest.mark.django_db


def test_01_one_buy_is_one_signal_and_fays_tenth_of_it(world: World) -> None:
    world.follower()
    world.show(world.row("1000", "0.50"))
    assert [(s.part, s.size_micros) for s in world.signals()] == [(1, 1000 * ONE)]
    world.settle()
    (trade,) = world.trades()
    assert story(trade) == ("EXECUTED", "100", "0.51")
    assert trade.order_hash and len(trade.order_hash) == 66
    assert (trade.fill_size_micros, trade.fill_price_micros) == (100 * ONE, 500_000)


def test_01_the_row_is_pending_with_its_order_hash_before_the_bytes_leave(make_world: Any) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    world.follower()
    venue.on_submit = lambda plan: venue.seen.append(outside_loop(CopyTrade.objects.get, order_hash=plan.order_hash))
    world.copy(world.row())
    assert [trade.status for trade in venue.seen] == ["PENDING"]


def test_02_identical_rows_within_the_window_are_one_signal_of_their_sum(world: World) -> None:
    world.follower()
    row = world.row("1000", "0.50")
    world.show(row, complete=False)
    world.show(row, complete=False)
    world.window_passes()
    world.settle()
    assert [s.size_micros for s in world.signals()] == [2000 * ONE]
    assert [story(t) for t in world.trades()] == [("EXECUTED", "196.07", "0.51")]


def show_second_after_the_window(world: World) -> list[CopyTrade]:
    row = world.row("1000", "0.50")
    world.copy(row)
    return world.copy(row)


def test_03_a_second_row_after_the_window_is_a_part_sized_by_the_total(world: World) -> None:
    world.follower()
    first, second = show_second_after_the_window(world)
    assert [(s.part, s.size_micros) for s in world.signals()] == [(1, 1000 * ONE), (2, 1000 * ONE)]
    assert story(first) == ("EXECUTED", "100", "0.51")
    assert story(second) == ("EXECUTED", "96.07", "0.51")


def test_04_a_fixed_amount_is_spent_once_for_a_group_and_counts_once(world: World) -> None:
    Leader.objects.update(daily_limit_count=5)
    world.follower(sizing="FIXED_AMOUNT", amount_micros=20 * ONE)
    first, second = show_second_after_the_window(world)
    assert story(first) == ("EXECUTED", "39.21", "0.51")
    assert (second.status, reasons(second)) == ("SKIPPED", [("ALREADY_COPIED", None, None)])
    assert Budget.objects.get(scope="LEADER").count == 1


def test_04_a_later_part_that_is_copied_does_not_count_again(world: World) -> None:
    Leader.objects.update(daily_limit_count=1)
    world.follower()
    first, second = show_second_after_the_window(world)
    assert (first.status, second.status) == ("EXECUTED", "EXECUTED")
    assert Budget.objects.get(scope="LEADER").count == 1


def test_05_a_range_is_capped_once_for_a_group(world: World) -> None:
    world.follower(sizing="RANGE", floor_micros=5 * ONE, cap_micros=30 * ONE)
    first, second = show_second_after_the_window(world)
    assert story(first) == ("EXECUTED", "58.82", "0.51")
    assert (second.status, reasons(second)) == ("SKIPPED", [("ALREADY_COPIED", None, None)])


@pytest.mark.parametrize("source", ["data-api", "activity-trades"])
def test_06_the_same_rows_read_again_add_nothing(world: World, source: str) -> None:
    world.follower()
    rows = [world.row("1000", "0.50")] * 2
    world.copy(*rows)
    world.copy(*rows, walk="another walk", source=source)
    assert len(world.signals()) == len(world.trades()) == 1


def test_07_a_poll_that_shows_more_than_the_stream_adds_the_increase(world: World) -> None:
    world.follower()
    row = world.row("1000", "0.50")
    world.copy(row, walk="stream", source="activity-trades")
    world.copy(row, row, walk="poll", source="data-api")
    assert [(s.part, s.size_micros) for s in world.signals()] == [(1, 1000 * ONE), (2, 1000 * ONE)]


def test_08_more_than_the_chain_has_seen_is_an_incident_and_stops_the_group(world: World) -> None:
    world.follower()
    row = world.row("1000", "0.50")
    world.copy(row, row, walk="stream", source="activity-trades")
    world.copy(row, walk="chain", source="chain-logs")
    world.copy(row, row, row, walk="poll", source="data-api")
    assert len(world.signals()) == 1
    event = GuardrailEvent.objects.get(reason="OVERCOUNT")
    assert (event.value, event.limit) == (2000 * ONE, 1000 * ONE)


def test_10_the_two_frames_of_a_taker_fill_are_one_signal(world: World) -> None:
    world.follower()
    row = world.row("1000", "0.50")
    world.show(row, walk="stream", source="activity-trades", complete=False)
    world.show(row, walk="stream", source="activity-orders-matched", complete=False)
    world.window_passes()
    world.settle()
    assert [s.size_micros for s in world.signals()] == [1000 * ONE]


def test_11_below_the_minimum_is_skipped_with_value_and_limit_or_raised(world: World) -> None:
    skips = world.follower("Fay")
    raises = world.follower("Fred", below_minimum="RAISE")
    world.copy(world.row("30", "0.50"))
    (skipped,), (raised,) = world.trades(skips), world.trades(raises)
    assert (skipped.status, reasons(skipped)) == ("SKIPPED", [("BELOW_MINIMUM", 3 * ONE, 5 * ONE)])
    assert story(raised) == ("EXECUTED", "5", "0.51")


def test_12_a_sell_is_the_same_percentage_of_fays_holding(world: World) -> None:
    world.hold(world.follower(), 200)
    world.lena_holds(2000)
    (trade,) = world.copy(world.row("500", "0.50", side="SELL"))
    assert story(trade) == ("EXECUTED", "50", "0.49")
    assert world.lena_known_holding() == 1500 * ONE


@pytest.mark.parametrize("known", [None, 400])
def test_13_a_partial_history_is_never_divided_by(world: World, known: int | None) -> None:
    world.hold(world.follower(), 200)
    if known is not None:
        world.lena_holds(known)
    (trade,) = world.copy(world.row("500", "0.50", side="SELL"))
    assert story(trade) == ("EXECUTED", "50", "0.49")
    assert notes(trade) == ["LEADER_POSITION_UNKNOWN"]
    assert world.lena_known_holding() is None


def test_14_nothing_held_is_nothing_to_sell(world: World) -> None:
    world.follower()
    world.lena_holds(2000)
    (trade,) = world.copy(world.row("500", "0.50", side="SELL"))
    assert (trade.status, reasons(trade)) == ("SKIPPED", [("NOTHING_TO_SELL", None, None)])


def test_15_a_leaders_budget_is_granted_in_order_and_passes_over_who_does_not_fit(world: World) -> None:
    Leader.objects.update(daily_limit_micros=150 * ONE)
    for name, dollars in (("Ann", 100), ("Bob", 100), ("Cleo", 50)):
        world.follower(name, sizing="FIXED_AMOUNT", amount_micros=dollars * ONE, slippage_bps_max=0)
    ann, bob, cleo = world.copy(world.row("1000", "0.50"))
    assert (ann.status, cleo.status) == ("EXECUTED", "EXECUTED")
    assert (bob.status, reasons(bob)) == ("SKIPPED", [("LEADER_DAILY_LIMIT", 200 * ONE, 150 * ONE)])
    assert Budget.objects.get(scope="LEADER", period="DAY").spent_micros == 150 * ONE


def test_17_a_book_that_ran_away_is_refused_with_the_deviation(world: World) -> None:
    world.follower()
    world.set_book("0.52", "0.53")
    (trade,) = world.copy(world.row("1000", "0.50"))
    assert (trade.status, reasons(trade)) == ("SKIPPED", [("PRICE_DEVIATION", 600, 200)])


def test_18_max_odds_refuses_and_every_reason_is_kept(world: World) -> None:
    one = world.follower("Fay", max_odds_micros=850_000)
    two = world.follower("Fred", max_odds_micros=850_000, sides="SELL")
    world.set_book("0.92", "0.92")
    world.copy(world.row("1000", "0.92"))
    assert [reasons(t) for t in world.trades(one)] == [[("MAX_ODDS", 920_000, 850_000)]]
    assert [r[0] for t in world.trades(two) for r in reasons(t)] == ["SIDE_FILTERED", "MAX_ODDS"]


@pytest.mark.parametrize(
    ("kind", "more", "left"),
    [
        ("REDEEM", {"asset": "", "outcomeIndex": 999, "side": "", "price": 0}, 0),
        ("MERGE", {"asset": "", "outcomeIndex": 999, "side": "", "price": 0}, 1500),
        ("SPLIT", {"asset": "", "outcomeIndex": 999, "side": "", "price": 0}, 2500),
        ("REWARD", {"asset": "", "conditionId": "", "side": "", "price": 0}, 2000),
        ("SOMETHING_NEW", {"asset": "", "conditionId": "", "side": "", "price": 0}, 2000),
    ],
)
def test_24_what_is_no_trade_is_counted_and_moves_the_known_holding(
    world: World, kind: str, more: dict[str, Any], left: int
) -> None:
    world.follower()
    world.lena_holds(2000)
    for _reading in range(2):
        world.show(world.row("500", type=kind, **more), walk=f"walk {_reading}")
    assert world.engine.intake.counts.other_rows == {kind: 2}
    assert not world.signals()
    assert world.lena_known_holding() == left * ONE


def test_25_the_same_trade_on_another_engine_with_empty_memory_is_copied_once(world: World) -> None:
    world.follower()
    world.copy(world.row())
    world.start()
    world.copy(world.row(), walk="another engine's walk")
    assert len(world.signals()) == len(world.trades()) == 1


def test_25_a_signal_offered_again_is_decided_once(world: World) -> None:
    world.follower()
    (trade,) = world.copy(world.row())
    world.run(lambda: world.engine.pipeline.process([trade.signal_id]))
    assert len(world.trades()) == 1
    assert Status(world.trades()[0].status) is Status.EXECUTED
    assert world.trades()[0].token_id == TOKEN
