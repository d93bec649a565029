"""The worked examples about sending: dry run, pause, crash and partial fill. The numbers are those of `examples.md`."""

from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CopyTrade, Leader
from execution.ports import Unknown
from guardrails.models import Budget, GuardrailEvent
from guardrails.operations import set_switch
from ledger.models import CashBalance
from ledger.units import ONE
from tests.doors import outside_loop
from tests.venues import ScriptedVenue, filled
from tests.world import World, reasons, story

pytestmark = pytest.mark.django_db


def test_20_a_dry_run_is_planned_and_signed_and_uses_no_budget(make_world: Any) -> None:
    world = make_world(dry_run=True)
    Leader.objects.update(daily_limit_micros=150 * ONE)
    world.follower()
    (trade,) = world.copy(world.row())
    assert story(trade) == ("SKIPPED", "100", "0.51", ("DRY_RUN", None, None))
    assert trade.order_hash and not Budget.objects.exists()
    assert CashBalance.objects.get().reserved_micros == 0


def press_pause(world: World) -> None:
    set_switch(kind="PAUSE", scope="GLOBAL", key="", on=True, who="olga", why="test", now=world.clock.now())


def test_21_a_pause_between_prewrite_and_send_sends_nothing_and_frees_the_budget(
    make_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    Leader.objects.update(daily_limit_micros=150 * ONE)
    world.follower()
    start = world.engine.sender.start

    def pause_first(reserved: Any, **moment: Any) -> None:
        assert outside_loop(CopyTrade.objects.get).status == "PENDING"
        outside_loop(press_pause, world)
        start(reserved, **moment)

    monkeypatch.setattr(world.engine.sender, "start", pause_first)
    (trade,) = world.copy(world.row())
    assert not venue.submitted
    assert (trade.status, reasons(trade)) == ("FAILED", [("PAUSED_BEFORE_SEND", None, None)])
    assert trade.prewritten_at is not None and trade.submitted_at is None
    assert Budget.objects.get(scope="LEADER").spent_micros == 0
    assert CashBalance.objects.get().reserved_micros == 0


def die_after_the_prewrite(world: World) -> CopyTrade:
    """The rows are written, the process dies before anything is sent, another one starts."""
    world.engine.sender.start = lambda _reserved, **_moment: None  # type: ignore[method-assign]
    world.show(world.row())
    world.run(world.engine.pipeline.run_once)
    world.start()
    (trade,) = world.trades()
    assert trade.status == "PENDING"
    return trade


def test_22_after_a_crash_a_filled_order_is_found_by_its_hash(make_world: Any) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    world.follower()
    trade = die_after_the_prewrite(world)
    venue.states[trade.order_hash or ""] = filled(100 * ONE, 500_000)
    world.clock.advance(10)
    world.rescue()
    trade.refresh_from_db()
    assert (trade.status, trade.fill_size_micros) == ("EXECUTED", 100 * ONE)
    assert not venue.submitted


def test_22_after_a_crash_an_order_never_seen_fails_after_ten_minutes_and_is_watched_a_day(make_world: Any) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    Leader.objects.update(daily_limit_micros=150 * ONE)
    world.follower()
    trade = die_after_the_prewrite(world)
    for _minute in range(9):
        world.clock.advance(60)
        world.rescue()
    trade.refresh_from_db()
    assert trade.status == "UNKNOWN" and Budget.objects.get(scope="LEADER").spent_micros == 51 * ONE
    world.clock.advance(61)
    world.rescue()
    trade.refresh_from_db()
    assert (trade.status, reasons(trade)) == ("FAILED", [("EXPIRED", None, None)])
    assert Budget.objects.get(scope="LEADER").spent_micros == 0
    assert trade.watch_until == world.clock.now() + timedelta(hours=24)
    assert not venue.submitted


def test_22_a_late_fill_of_a_failed_order_is_adopted_with_an_incident(make_world: Any) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    Leader.objects.update(daily_limit_micros=150 * ONE)
    world.follower()
    trade = die_after_the_prewrite(world)
    world.clock.advance(601)
    world.rescue()
    venue.states[trade.order_hash or ""] = filled(100 * ONE, 510_000)
    world.clock.advance(3_600)
    world.rescue()
    trade.refresh_from_db()
    assert (trade.status, trade.fill_size_micros) == ("EXECUTED", 100 * ONE)
    assert GuardrailEvent.objects.filter(reason="LATE_FILL", trade=trade).count() == 1
    assert Budget.objects.get(scope="LEADER").spent_micros == 51 * ONE


def test_22_an_answer_that_was_lost_is_asked_for_and_nothing_is_sent_twice(make_world: Any) -> None:
    venue = ScriptedVenue()
    world = make_world(venue=venue)
    world.follower()
    venue.answer = Unknown(detail="lost")
    (trade,) = world.copy(world.row())
    assert trade.status == "UNKNOWN"
    venue.states[trade.order_hash or ""] = filled(100 * ONE, 500_000)
    world.clock.advance(10)
    world.rescue()
    trade.refresh_from_db()
    assert trade.status == "EXECUTED" and len(venue.submitted) == 1


def test_23_a_partial_fill_keeps_its_own_money_in_the_budget(world: World) -> None:
    Leader.objects.update(daily_limit_micros=150 * ONE)
    world.follower()
    world.set_book("0.49", "0.51", shares=60)
    (trade,) = world.copy(world.row())
    assert (trade.status, trade.fill_size_micros, trade.size_micros) == ("EXECUTED", 60 * ONE, 100 * ONE)
    assert Budget.objects.get(scope="LEADER").spent_micros == 60 * 510_000
    cash = CashBalance.objects.get()
    assert (cash.cash_micros, cash.reserved_micros) == (10_000 * ONE - 60 * 510_000, 0)
