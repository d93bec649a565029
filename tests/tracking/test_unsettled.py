"""Matches that never become final: what is confirmed is booked after a bound, the rest is adopted when it comes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction

from copytrading.models import CopyConfig, CopyTrade, Leader
from copytrading.operations.fills import OrderNews, note_fills
from copytrading.queries import Due, Shard, to_rescue
from execution.models import Position
from execution.ports import NotFound, VenueTrade
from guardrails.models import Budget, GuardrailEvent
from ledger.models import CashBalance
from ledger.units import ONE
from tests.operations.deals import assert_books_agree, balances, bought, standing
from tests.tracking.exchange import ExchangeWorld
from tests.tracking.trades import later, standing_order, trade

pytestmark = pytest.mark.django_db


def asked(world: ExchangeWorld, *, after: float = 6) -> CopyTrade:
    """Time passes, rescue asks; the newest copy then."""
    world.clock.advance(after)
    world.rescue()
    return world.trades()[-1]


def parts(row: CopyTrade, rest: str, *, first: str = "CONFIRMED") -> tuple[VenueTrade, VenueTrade]:
    """The two trades of an order: of 60 shares, and of 40 that cost less."""
    return (
        trade(row, 60, "0.50", name="a", status=first, fee=700_000),
        trade(row, 40, "0.45", name="b", status=rest, fee=300_001),
    )


def half_settled(world: ExchangeWorld) -> CopyTrade:
    """A purchase of 100 shares of which 60 are confirmed, and nobody knows about 40."""
    Leader.objects.update(daily_limit_micros=150 * ONE)
    world.follower()
    (row,) = world.copy(world.row())
    world.exchange.show(row, *parts(row, "MATCHED"))
    return row


def events() -> list[tuple[str, int | None]]:
    return list(GuardrailEvent.objects.order_by("pk").values_list("reason", "value"))


def budget() -> int:
    return Budget.objects.get(scope="LEADER").spent_micros // 10_000


def reserved() -> int:
    return CashBalance.objects.get().reserved_micros


def test_what_is_confirmed_is_booked_at_once_and_after_the_bound_the_rest_is_watched(exchange: ExchangeWorld) -> None:
    half_settled(exchange)
    row = asked(exchange, after=590)
    assert (row.status, row.fill_size_micros, budget()) == ("MATCHED", 60 * ONE, 5_100)
    assert (Position.objects.get().size_micros, reserved() > 0) == (60 * ONE, True)
    row = asked(exchange, after=11)
    assert (row.status, row.fill_size_micros, row.fee_micros) == ("EXECUTED", 60 * ONE, 700_000)
    assert (reserved(), budget(), events()) == (0, 3_060, [("UNSETTLED", 40 * ONE)])
    assert row.watch_until is not None and row.next_retry_at is not None
    assert_books_agree(cash_before=0)


def noted(row: CopyTrade, *trades: VenueTrade, after: float = 0) -> None:
    overdue = OrderNews(order_hash=str(row.order_hash), ended=True, overdue=True)
    note_fills(trades, [overdue], now=later(after))


def everything(row: CopyTrade) -> tuple[Any, ...]:
    """All that a copy moved: its row, cash, shares, every account of the ledger."""
    columns = ("status", "fill_size_micros", "fill_price_micros", "fill_cost_micros", "fee_micros", "budget_micros")
    return CopyTrade.objects.filter(pk=row.pk).values_list(*columns).get(), standing(), balances()


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_booked_in_two_steps_is_booked_at_once_to_the_micro(fay_config: CopyConfig, side: str) -> None:
    # A third of a cent each, so that averages do not come out even.
    bought(fay_config, "0.333333", shares=107, fee="0.1")
    row = standing_order(fay_config, side)
    with transaction.atomic():
        noted(row, *parts(row, "CONFIRMED"))
        at_once = everything(row)
        transaction.set_rollback(True)
    noted(row, *parts(row, "MINED"), after=601)
    assert everything(row)[0][:2] == ("EXECUTED", 60 * ONE)
    assert_books_agree()
    noted(row, parts(row, "CONFIRMED")[1], after=700)
    assert everything(row) == at_once
    assert events() == [("UNSETTLED", 40 * ONE), ("LATE_FILL", 40 * ONE), ("LATE_FILL", None)]
    assert_books_agree()


def test_the_rest_that_is_confirmed_late_is_found_by_asking(exchange: ExchangeWorld) -> None:
    row = half_settled(exchange)
    asked(exchange, after=601)
    exchange.exchange.show(row, *parts(row, "CONFIRMED"))
    row = asked(exchange, after=61)
    assert (row.status, row.fill_size_micros, row.next_retry_at, budget()) == ("EXECUTED", 100 * ONE, None, 5_100)
    assert_books_agree(cash_before=0)


def test_the_rest_that_fails_late_changes_nothing_and_the_watch_ends_after_a_day(exchange: ExchangeWorld) -> None:
    row = half_settled(exchange)
    asked(exchange, after=601)
    before = standing()
    exchange.exchange.show(row, *parts(row, "FAILED"))
    for _hour in range(25):
        row = asked(exchange, after=3_600)
    assert (row.status, row.fill_size_micros, row.next_retry_at, standing()) == ("EXECUTED", 60 * ONE, None, before)


def test_what_was_booked_after_the_bound_is_taken_back_when_it_fails(exchange: ExchangeWorld) -> None:
    row = half_settled(exchange)
    asked(exchange, after=601)
    exchange.exchange.show(row, *parts(row, "MATCHED", first="FAILED"))
    row = asked(exchange, after=61)
    assert (row.status, reserved(), budget()) == ("FAILED", 0, 0)
    exchange.exchange.show(row, *parts(row, "CONFIRMED", first="FAILED"))
    row = asked(exchange, after=301)
    assert (row.status, row.fill_size_micros, budget()) == ("EXECUTED", 40 * ONE, 2_040)
    assert_books_agree(cash_before=0)


def test_after_a_crash_and_told_again_it_is_booked_once(exchange: ExchangeWorld) -> None:
    row = half_settled(exchange)
    asked(exchange, after=601)
    before, told = standing(), events()
    exchange.start()
    exchange.run(lambda: exchange.engine.rescue.fills.note(parts(row, "MATCHED")))
    assert asked(exchange, after=61).status == "EXECUTED"
    assert (standing(), events()) == (before, told)


def test_the_bound_counts_from_the_last_trade_that_was_heard(exchange: ExchangeWorld) -> None:
    row = half_settled(exchange)
    exchange.clock.advance(595)
    late = replace(trade(row, 40, name="b", status="MATCHED"), matched_at=exchange.clock.now())
    exchange.run(lambda: exchange.engine.rescue.fills.note([trade(row, 60, name="a"), late]))
    exchange.exchange.states[str(row.order_hash)] = NotFound()
    assert asked(exchange, after=590).status == "MATCHED"
    assert asked(exchange, after=61).status == "EXECUTED"


def test_nothing_confirmed_stays_matched_for_ever(exchange: ExchangeWorld) -> None:
    row = half_settled(exchange)
    exchange.exchange.show(row, *parts(row, "MATCHED", first="FAILED"))
    for _hour in range(30):
        row = asked(exchange, after=3_600)
    assert (row.status, reserved() > 0) == ("MATCHED", True)


def test_a_trade_that_was_never_shown_is_looked_for_during_a_day(exchange: ExchangeWorld) -> None:
    row = half_settled(exchange)
    first, second = parts(row, "CONFIRMED")
    exchange.exchange.show(row, first)
    row = asked(exchange, after=601)
    assert (row.status, row.fill_size_micros) == ("EXECUTED", 60 * ONE)
    exchange.exchange.show(row, first, second)
    row = asked(exchange, after=3_600)
    assert (row.status, row.fill_size_micros, row.next_retry_at) == ("EXECUTED", 100 * ONE, None)
    assert_books_agree(cash_before=0)


@pytest.mark.parametrize("mode", ["PAPER", "EXCHANGE"])
def test_a_copy_that_was_filled_whole_is_asked_about_no_more(exchange: ExchangeWorld, mode: str) -> None:
    fay = exchange.follower()
    type(fay).objects.update(mode=mode)
    (row,) = exchange.copy(exchange.row())
    if mode == "EXCHANGE":
        exchange.confirm(row)
    row.refresh_from_db()
    assert (row.status, row.next_retry_at, row.watch_until) == ("EXECUTED", None, None)
    then, modes = exchange.clock.now() + timedelta(hours=1), frozenset({"PAPER", "EXCHANGE"})
    assert to_rescue(Due(open_since=then, now=then, limit=9, shard=Shard(), modes=modes)) == []
