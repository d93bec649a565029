"""Worked examples of stops, in the form of `examples.md`: Fay copies Lena's buy of 1,000 @ 0.50 as 100 @ 0.50.

A stop of hers is reached, then she buys no more; HOLD keeps what she has and follows Lena's sells, EXIT sells it.
"""

from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CopyConfig, Signal, Standing
from copytrading.operations.exits import EXIT_ATTEMPTS_MAX
from copytrading.operations.stops import start_again
from execution.models import Market, Position
from guardrails.models import GuardrailEvent
from guardrails.operations import set_switch
from ledger.units import ONE
from tests.world import World, reasons, story

pytestmark = pytest.mark.django_db


def look(world: World) -> int:
    """One round of the stopper, and what its exits lead to."""
    stopped: int = world.run(world.engine.stopper.run_once)
    world.settle()
    return stopped


def price_moves(world: World, price: str) -> None:
    world.set_book(price, price)
    world.clock.advance(2)


def bought(world: World, **stops: Any) -> None:
    """Fay's 100 shares for $50, and the price as it was."""
    world.follower(**stops)
    world.copy(world.row("1000", "0.50"))
    assert look(world) == 0


def held() -> int:
    return Position.objects.get().size_micros // ONE


@pytest.mark.parametrize(
    ("stop", "price", "reason", "value"),
    [
        ({"take_profit_micros": 10 * ONE}, "0.60", "TAKE_PROFIT", 10 * ONE),
        ({"stop_loss_micros": 10 * ONE}, "0.40", "STOP_LOSS", 10 * ONE),
        ({"max_drawdown_micros": 10 * ONE}, "0.39", "MAX_DRAWDOWN", 11 * ONE),
    ],
)
def test_a_stop_that_is_reached_ends_buying_and_says_why(
    world: World, stop: dict[str, int], price: str, reason: str, value: int
) -> None:
    bought(world, **stop)
    price_moves(world, price)
    assert look(world) == 1
    *_, trade = world.copy(world.row("1000", price, tx=2))
    assert reasons(trade) == [(reason, value, 10 * ONE)]
    assert GuardrailEvent.objects.filter(trade=None, reason=reason, value=value).count() == 1


def test_a_price_that_does_not_reach_the_stop_changes_nothing(world: World) -> None:
    bought(world, take_profit_micros=10 * ONE, stop_loss_micros=10 * ONE)
    price_moves(world, "0.59")
    assert look(world) == 0
    assert Standing.objects.get().profit_micros == 9 * ONE


def test_the_drawdown_is_measured_from_the_highest_profit(world: World) -> None:
    bought(world, max_drawdown_micros=10 * ONE)
    price_moves(world, "0.80")
    assert look(world) == 0
    price_moves(world, "0.70")
    assert look(world) == 1
    assert (Standing.objects.get().peak_micros, Standing.objects.get().profit_micros) == (30 * ONE, 20 * ONE)


def test_hold_keeps_the_shares_and_follows_the_leaders_sells(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE)
    price_moves(world, "0.40")
    look(world)
    assert held() == 100
    world.lena_holds(1_000)
    *_, trade = world.copy(world.row("500", "0.40", tx=2, side="SELL"))
    assert story(trade)[:2] == ("EXECUTED", "50")


def test_exit_sells_what_was_copied_once(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE, on_stop="EXIT")
    price_moves(world, "0.40")
    assert look(world) == 1
    assert held() == 0
    *_, trade = world.trades()
    assert (story(trade)[:2], trade.side, trade.fill_price_micros) == (("EXECUTED", "100"), "SELL", 400_000)
    world.clock.advance(24 * 3600 + 1)  # until then a late fill may bring more
    assert look(world) == 0
    assert not Standing.objects.get().exiting
    assert len(world.trades()) == 2


def test_exit_sells_only_what_came_from_this_leader(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE, on_stop="EXIT")
    Position.objects.update(size_micros=150 * ONE)
    price_moves(world, "0.40")
    look(world)
    assert held() == 50


def test_exit_is_no_matter_of_other_followers(world: World) -> None:
    world.hold(world.follower("Fred"), 100)
    world.follower(stop_loss_micros=10 * ONE, on_stop="EXIT")
    world.copy(world.row("1000", "0.50"))
    look(world)
    price_moves(world, "0.40")
    look(world)
    assert [t.side for t in world.trades() if t.follower.name == "Fred"] == ["BUY"]


def test_an_exit_passes_the_followers_filters_and_its_age(make_world: Any) -> None:
    world = make_world(live=True)
    bought(world, stop_loss_micros=10 * ONE, on_stop="EXIT", sides="BUY", keywords=["rain"])
    price_moves(world, "0.40")
    look(world)
    assert held() == 0


def test_an_exit_waits_while_everything_is_paused_and_goes_on_after_it(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE, on_stop="EXIT")
    pause = {"kind": "PAUSE", "scope": "GLOBAL", "key": "", "who": "olga", "why": ""}
    set_switch(**pause, on=True, now=world.clock.now())
    price_moves(world, "0.40")
    look(world)
    assert [r for r, *_ in reasons(world.trades()[-1])] == ["GLOBAL_PAUSE"]
    set_switch(**pause, on=False, now=world.clock.now())
    world.clock.advance(5)
    look(world)
    assert held() == 0


def test_a_pause_of_a_day_does_not_use_up_an_exit(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE, on_stop="EXIT")
    pause = {"kind": "PAUSE", "scope": "GLOBAL", "key": "", "who": "olga", "why": ""}
    set_switch(**pause, on=True, now=world.clock.now())
    price_moves(world, "0.40")
    for _try in range(EXIT_ATTEMPTS_MAX + 2):
        look(world)
        world.clock.advance(300)
    set_switch(**pause, on=False, now=world.clock.now())
    look(world)
    assert held() == 0


def test_an_exit_of_a_closed_market_is_given_up_with_an_incident(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE, on_stop="EXIT")
    price_moves(world, "0.40")
    Market.objects.update(closed=True)
    for _try in range(EXIT_ATTEMPTS_MAX + 1):
        look(world)
        world.clock.advance(300)
    assert GuardrailEvent.objects.get(reason="EXIT_GIVEN_UP").value == 100 * ONE
    assert not Standing.objects.get().exiting
    assert len(Signal.objects.filter(only_config__isnull=False)) == 0


def test_a_resolved_market_is_worth_what_it_paid(world: World) -> None:
    bought(world, stop_loss_micros=50 * ONE)
    Market.objects.update(closed=True, first_price_micros=0, second_price_micros=ONE)
    world.clock.advance(2)
    assert look(world) == 1
    assert Standing.objects.get().stopped_value_micros == 50 * ONE


def test_started_again_it_copies_and_measures_from_there(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE)
    price_moves(world, "0.40")
    look(world)
    assert start_again([CopyConfig.objects.get().pk]) == 1
    world.clock.advance(2)
    assert look(world) == 0
    *_, trade = world.copy(world.row("1000", "0.40", tx=2))
    assert reasons(trade) == []
    price_moves(world, "0.34")
    assert look(world) == 1


def test_a_stop_holds_after_a_restart(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE)
    price_moves(world, "0.40")
    look(world)
    world.start()
    *_, trade = world.copy(world.row("1000", "0.40", tx=2))
    assert [r for r, *_ in reasons(trade)] == ["STOP_LOSS"]


def test_after_a_restart_the_last_trade_tells_the_price(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE)
    world.clock.advance(2)
    world.copy(world.row("1000", "0.40", tx=2))
    world.books.remove(world.trades()[0].token_id)
    world.start()
    assert look(world) == 1


def test_an_unknown_price_stops_nothing_and_forgets_nothing(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE)
    Signal.objects.update(token_id=9)
    world.books.remove(world.trades()[0].token_id)
    world.start()
    assert look(world) == 0
    assert Standing.objects.get().profit_micros == 0


def test_two_measurers_stop_a_config_once(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE)
    price_moves(world, "0.40")
    assert [look(world), look(world)] == [1, 0]
    assert GuardrailEvent.objects.filter(reason="STOP_LOSS").count() == 1


def test_the_wait_between_two_tries_of_an_exit_grows(world: World) -> None:
    bought(world, stop_loss_micros=10 * ONE, on_stop="EXIT")
    Market.objects.update(accepting_orders=False)
    price_moves(world, "0.40")
    waits = []
    for _try in range(4):
        look(world)
        waits.append(Standing.objects.get().next_exit_at - world.clock.now())
        world.clock.advance(300)
    assert waits == [timedelta(seconds=s) for s in (5, 10, 20, 40)]
