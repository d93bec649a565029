"""What asking brings: trades are booked, nothing is sent again, what is given up was cancelled and is watched."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CopyTrade, Follower, Leader
from copytrading.rescue import ASKED_AT_ONCE, LET_GO_WITHIN
from execution.models import VenueFill
from execution.orders import OrderPlan
from execution.ports import NotFound, OrderRef, OrderState, Rejected, RejectReason, Resting, Unknown
from guardrails.models import Budget, GuardrailEvent
from ledger.models import CashBalance
from ledger.units import ONE, Micros
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.tracking.trades import trade
from tests.world import reasons

pytestmark = pytest.mark.django_db


def asked(world: ExchangeWorld, *, after: float = 6) -> CopyTrade:
    """Time passes, rescue asks; the only copy then."""
    world.clock.advance(after)
    world.rescue()
    (row,) = world.trades()
    return row


def sent(world: ExchangeWorld, answer: Any = None, **follower: Any) -> CopyTrade:
    """A copy whose order had this answer."""
    Leader.objects.update(daily_limit_micros=150 * ONE)
    world.follower(**follower)
    world.exchange.answer = answer
    return world.copy(world.row())[0]


LOST = Unknown(detail="lost")


def budget() -> int:
    return Budget.objects.get(scope="LEADER").spent_micros // 10_000


def reserved() -> int:
    return CashBalance.objects.get().reserved_micros


def incidents(reason: str) -> int:
    return GuardrailEvent.objects.filter(reason=reason).count()


def test_a_matched_copy_is_settled_by_asking_for_its_trades(exchange: ExchangeWorld) -> None:
    row = sent(exchange)
    exchange.exchange.show(row, trade(row, status="MINED"))
    assert asked(exchange).status == "MATCHED"
    exchange.exchange.show(row, trade(row, 100, "0.49"))
    row = asked(exchange)
    assert (row.status, row.fill_price_micros, budget()) == ("EXECUTED", 490_000, 5_100)
    assert (VenueFill.objects.count(), reserved(), len(exchange.exchange.submitted)) == (1, 0, 1)


def test_a_lost_answer_of_an_order_that_was_matched_is_found_by_its_hash(exchange: ExchangeWorld) -> None:
    row = sent(exchange, LOST)
    assert row.status == "UNKNOWN"
    exchange.exchange.show(row, trade(row, status="MATCHED"))
    assert asked(exchange).status == "MATCHED"
    exchange.exchange.show(row, trade(row))
    row = asked(exchange)
    assert (row.status, row.fill_size_micros, len(exchange.exchange.submitted)) == ("EXECUTED", 100 * ONE, 1)


def test_a_list_of_trades_that_may_not_be_complete_settles_nothing(exchange: ExchangeWorld) -> None:
    row = sent(exchange, LOST)
    exchange.exchange.show(row, trade(row, 60))
    assert asked(exchange).status == "MATCHED"
    exchange.exchange.show(row, trade(row, 60), trade(row, 30, name="t2"))
    row = asked(exchange, after=30)
    assert (row.status, row.fill_size_micros) == ("EXECUTED", 90 * ONE)


def test_a_delayed_order_is_followed_to_its_end(exchange: ExchangeWorld) -> None:
    row = sent(exchange, Resting(matched=False))
    assert row.status == "LIVE"
    exchange.exchange.states[str(row.order_hash)] = Resting(matched=False)
    assert asked(exchange).status == "LIVE"
    exchange.exchange.show(row, trade(row, status="MATCHED"))
    assert asked(exchange).status == "MATCHED"


def test_a_delayed_order_that_the_venue_killed_has_failed(exchange: ExchangeWorld) -> None:
    row = sent(exchange, Resting(matched=False))
    exchange.exchange.states[str(row.order_hash)] = Rejected(reason=RejectReason.NO_FILL)
    row = asked(exchange)
    assert (row.status, reasons(row), budget(), reserved()) == ("FAILED", [("NO_FILL", None, None)], 0, 0)


def test_no_answer_about_a_matched_order_ever_fails_it(exchange: ExchangeWorld) -> None:
    row = sent(exchange)
    for state in (NotFound(), LOST, Rejected(reason=RejectReason.NO_FILL)):
        exchange.exchange.states[str(row.order_hash)] = state
        assert asked(exchange, after=700).status == "MATCHED"
    assert not exchange.exchange.cancelled


def test_a_copy_that_stays_matched_for_an_hour_is_an_incident_once_and_stays(exchange: ExchangeWorld) -> None:
    row = sent(exchange)
    exchange.exchange.show(row, trade(row, status="MINED"))
    assert (asked(exchange, after=3_500).status, incidents("UNSETTLED")) == ("MATCHED", 0)
    assert (asked(exchange, after=200).status, incidents("UNSETTLED")) == ("MATCHED", 1)
    assert (asked(exchange, after=200).status, incidents("UNSETTLED")) == ("MATCHED", 1)


@pytest.mark.parametrize("state", [NotFound(), LOST, Resting(matched=False)], ids=["not found", "no answer", "rests"])
def test_what_expires_is_cancelled_by_its_hash_first_and_watched(exchange: ExchangeWorld, state: OrderState) -> None:
    row = sent(exchange, LOST)
    exchange.exchange.states[str(row.order_hash)] = state
    assert asked(exchange, after=590).status in ("UNKNOWN", "LIVE")
    assert (budget(), exchange.exchange.cancelled) == (5_100, [])
    row = asked(exchange, after=11)
    assert (row.status, reasons(row), exchange.exchange.cancelled) == (
        "FAILED",
        [("EXPIRED", None, None)],
        [row.order_hash],
    )
    assert (budget(), reserved(), row.watch_until) == (0, 0, exchange.clock.now() + timedelta(hours=24))
    assert len(exchange.exchange.submitted) == 1


def test_what_was_filled_before_it_was_cancelled_is_booked(exchange: ExchangeWorld) -> None:
    row = sent(exchange, LOST)

    async def filled_meanwhile(order: OrderRef) -> bool:
        exchange.exchange.show(row, trade(row))
        return True

    exchange.exchange.cancel = filled_meanwhile  # type: ignore[method-assign]
    assert asked(exchange, after=601).status == "EXECUTED"


def test_what_cannot_be_cancelled_is_asked_about_until_a_bound(exchange: ExchangeWorld) -> None:
    sent(exchange, LOST)
    exchange.exchange.lets_go = False
    assert asked(exchange, after=601).status == "UNKNOWN"
    row = asked(exchange, after=LET_GO_WITHIN.total_seconds())
    assert (row.status, row.reasons[-1]["subject"]) == ("FAILED", "its cancelling was never answered")
    assert (len(exchange.exchange.cancelled), len(exchange.exchange.submitted)) == (2, 1)


def given_up(world: ExchangeWorld) -> CopyTrade:
    sent(world, LOST)
    return asked(world, after=601)


def test_a_fill_that_appears_late_is_adopted_with_an_incident(exchange: ExchangeWorld) -> None:
    row = given_up(exchange)
    exchange.exchange.show(row, trade(row))
    row = asked(exchange, after=3_600)
    assert (row.status, incidents("LATE_FILL"), budget(), reserved()) == ("EXECUTED", 1, 5_100, 0)


def test_a_late_fill_is_looked_for_during_a_day_and_not_after_it(exchange: ExchangeWorld) -> None:
    row = given_up(exchange)
    for _hour in range(24):
        row = asked(exchange, after=3_600)
    row = asked(exchange, after=3_600)
    assert (row.status, row.next_retry_at) == ("FAILED", None)
    exchange.exchange.show(row, trade(row))
    assert asked(exchange, after=3_600).status == "FAILED"


def test_an_order_that_was_given_up_and_rests_after_all_is_cancelled(exchange: ExchangeWorld) -> None:
    row = given_up(exchange)
    exchange.exchange.states[str(row.order_hash)] = Resting(matched=False)
    assert (asked(exchange, after=61).status, exchange.exchange.cancelled) == ("FAILED", [row.order_hash] * 2)


def test_a_trade_that_was_heard_before_the_answer_is_booked_when_rescue_comes(exchange: ExchangeWorld) -> None:
    row = sent(exchange, LOST)
    exchange.confirm(row)
    assert statuses(exchange) == ["UNKNOWN"]
    exchange.exchange.states[str(row.order_hash)] = Resting(matched=True, matched_micros=Micros(100 * ONE))
    assert asked(exchange).status == "EXECUTED"


@pytest.mark.parametrize("silent", [NotFound(), LOST, Rejected(reason=RejectReason.NO_FILL)])
def test_what_the_connection_told_outweighs_a_venue_that_shows_nothing(
    exchange: ExchangeWorld, silent: OrderState
) -> None:
    row = sent(exchange, LOST)
    exchange.exchange.states[str(row.order_hash)] = silent
    exchange.confirm(row, 60)
    assert asked(exchange, after=601).status == "MATCHED"
    exchange.confirm(row, 60)
    exchange.run(lambda: exchange.engine.rescue.fills.note([trade(row, 40, name="t2")]))
    (row,) = exchange.trades()
    assert (row.status, row.fill_size_micros, exchange.exchange.cancelled) == ("EXECUTED", 100 * ONE, [])


def test_a_killed_order_whose_fill_was_told_before_the_answer_is_adopted(exchange: ExchangeWorld) -> None:
    submit = exchange.exchange.submit

    async def filled_and_killed(plan: OrderPlan, signature: bytes, *, follower_id: int) -> Any:
        await submit(plan, signature, follower_id=follower_id)
        await exchange.engine.rescue.fills.note([trade(CopyTrade(order_hash=plan.order_hash))])
        return Rejected(reason=RejectReason.NO_FILL)

    exchange.exchange.submit = filled_and_killed  # type: ignore[method-assign]
    row = sent(exchange)
    assert (row.status, budget()) == ("FAILED", 0)
    row = asked(exchange, after=61)
    assert (row.status, incidents("LATE_FILL"), budget(), reserved()) == ("EXECUTED", 1, 5_100, 0)


def test_trades_that_the_venue_never_shows_do_not_keep_back_what_is_confirmed(exchange: ExchangeWorld) -> None:
    row = sent(exchange)
    exchange.exchange.show(row, trade(row, 60))
    assert asked(exchange, after=590).status == "MATCHED"
    row = asked(exchange, after=11)
    assert (row.status, row.fill_size_micros, reserved(), budget()) == ("EXECUTED", 60 * ONE, 0, 3_060)
    event = GuardrailEvent.objects.get(trade=row)
    assert (event.reason, event.value) == ("SETTLEMENT_FAILED", 40 * ONE)


def test_a_matched_order_without_any_trade_is_never_given_up_by_time(exchange: ExchangeWorld) -> None:
    row = sent(exchange)
    exchange.exchange.states[str(row.order_hash)] = Resting(matched=True, matched_micros=100 * ONE, final=True)
    assert asked(exchange, after=3_700).status == "MATCHED"


def test_a_list_is_complete_half_a_minute_after_its_latest_trade(exchange: ExchangeWorld) -> None:
    """An order may be delayed, or sent long after it was decided: how old its row is says nothing about its trades."""
    row = sent(exchange, Resting(matched=False))
    exchange.clock.advance(300)
    exchange.exchange.show(row, replace(trade(row, 60), matched_at=exchange.clock.now()))
    assert [asked(exchange, after=wait).status for wait in (10, 10, 11)] == ["MATCHED", "MATCHED", "EXECUTED"]


def test_a_copy_whose_way_is_closed_waits_untouched(exchange: ExchangeWorld) -> None:
    row = sent(exchange, LOST)
    exchange.engine.rescue._routes = {}
    after = asked(exchange, after=700)
    assert (after.status, after.lock_token) == ("UNKNOWN", row.lock_token)


def test_what_the_sender_still_holds_is_not_asked_about(exchange: ExchangeWorld) -> None:
    row = sent(exchange, LOST)
    exchange.engine.rescue._in_hand = lambda: frozenset({row.pk})
    assert asked(exchange).lock_token == row.lock_token


def test_the_sender_holds_an_order_from_its_start_until_it_is_recorded(exchange: ExchangeWorld) -> None:
    held: list[frozenset[int]] = []
    exchange.exchange.on_submit = lambda _plan: held.append(exchange.engine.sender.in_hand())
    row = sent(exchange)
    assert (held, exchange.engine.sender.in_hand()) == ([{row.pk}], frozenset())


def test_what_the_sender_still_holds_keeps_no_other_order_waiting(
    exchange: ExchangeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copytrading.rescue.ROWS_MAX", 2)
    for name in ("Ann", "Bob", "Fay"):
        exchange.follower(name)
    exchange.exchange.answer = LOST
    *held, last = exchange.copy(exchange.row())
    CopyTrade.objects.exclude(pk=last.pk).update(next_retry_at=None)
    exchange.engine.rescue._in_hand = lambda: frozenset(row.pk for row in held)
    exchange.clock.advance(6)
    exchange.rescue()
    assert [row.attempts for row in exchange.trades()] == [1, 1, 2]


def test_many_orders_are_asked_about_side_by_side_within_a_bound(exchange: ExchangeWorld) -> None:
    exchange.exchange.answer = Resting(matched=False)
    for number in range(ASKED_AT_ONCE + 8):
        exchange.follower(f"Follower {number}")
    exchange.copy(exchange.row())
    under_way, most = 0, 0

    async def slowly(order: OrderRef) -> OrderState:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _turn in range(3 * ASKED_AT_ONCE):
            await asyncio.sleep(0)
        under_way -= 1
        return NotFound()

    exchange.exchange.look_up = slowly  # type: ignore[method-assign]
    exchange.clock.advance(6)
    exchange.rescue()
    assert most == ASKED_AT_ONCE
    assert CopyTrade.objects.filter(attempts=2).count() == ASKED_AT_ONCE + 8 == Follower.objects.count()


def test_a_bug_while_asking_ends_the_round_with_it(exchange: ExchangeWorld) -> None:
    sent(exchange, LOST)

    async def broken(order: OrderRef) -> OrderState:
        raise ZeroDivisionError

    exchange.exchange.look_up = broken  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        asked(exchange)
