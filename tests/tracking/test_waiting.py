"""Copies that must wait before they are sent: READY, provably unsent, and decided anew when their time has come."""

from datetime import timedelta
from typing import Any

import pytest

from copytrading.models import CopyConfig, CopyTrade, Leader
from copytrading.operations.waiting import due_ready
from copytrading.queries import Shard
from copytrading.waiting_room import BUY_WAIT_MAX
from execution.models import Position
from execution.ports import Resting, Unknown
from guardrails.models import Budget, GuardrailEvent
from guardrails.operations import set_switch
from ledger.models import CashBalance
from ledger.units import ONE, Micros
from tests.tracking.exchange import ExchangeWorld, statuses
from tests.tracking.trades import trade
from tests.world import notes, reasons

pytestmark = pytest.mark.django_db


def _pause(world: ExchangeWorld) -> None:
    set_switch(kind="PAUSE", scope="GLOBAL", key="", on=True, who="olga", why="", now=world.clock.now())


def reserved() -> int:
    return CashBalance.objects.get().reserved_micros


def test_a_copy_is_sent_at_once_where_there_is_room(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (row,) = exchange.copy(exchange.row())
    assert (row.status, len(exchange.exchange.submitted), len(exchange.rates.asked)) == ("MATCHED", 1, 1)


def test_nobody_waits_on_paper(exchange: ExchangeWorld) -> None:
    fay = exchange.follower()
    type(fay).objects.update(mode="PAPER")
    exchange.rates.wait_ms = 1_000
    (row,) = exchange.copy(exchange.row())
    assert (row.status, exchange.rates.asked) == ("EXECUTED", [])


def test_a_copy_beyond_the_limit_is_ready_without_an_order_and_without_money(exchange: ExchangeWorld) -> None:
    Leader.objects.update(daily_limit_micros=150 * ONE)
    exchange.follower()
    exchange.rates.wait_ms = 500
    (row,) = exchange.copy(exchange.row())
    assert (row.status, row.order_hash, notes(row), reasons(row)) == ("READY", None, ["RATE_LIMITED"], [])
    assert (reserved(), Budget.objects.filter(spent_micros__gt=0).count(), exchange.exchange.submitted) == (0, 0, [])


def test_what_waited_for_the_limit_is_decided_anew_granted_and_sent(exchange: ExchangeWorld) -> None:
    Leader.objects.update(daily_limit_micros=150 * ONE)
    exchange.follower()
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row())
    exchange.rates.wait_ms = 0
    exchange.look(after=0.4)
    assert statuses(exchange) == ["READY"]
    exchange.look(after=0.2)
    (row,) = exchange.trades()
    assert (row.status, notes(row), row.size_micros, row.attempts) == ("MATCHED", ["RATE_LIMITED"], 100 * ONE, 1)
    assert (reserved(), Budget.objects.get(scope="LEADER").spent_micros) == (51 * ONE, 51 * ONE)
    assert [plan.order_hash for plan in exchange.exchange.submitted] == [row.order_hash]
    exchange.confirm(row)
    assert (statuses(exchange), reserved()) == (["EXECUTED"], 0)


def test_its_waiting_counts_before_the_decision_and_its_row_has_every_moment(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.rates.wait_ms = 500
    (row,) = exchange.copy(exchange.row())
    assert row.prewritten_at is None
    exchange.rates.wait_ms = 0
    exchange.look(after=0.6)
    (row,) = exchange.trades()
    assert row.prewritten_at is not None and row.submitted_at is not None
    assert row.detected_at + timedelta(seconds=0.5) <= row.decided_at <= row.prewritten_at <= row.submitted_at


def test_what_waits_too_long_for_the_limit_is_skipped_with_that_reason(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row())
    for _look in range(61):
        exchange.look(after=1)
    (row,) = exchange.trades()
    assert (row.status, [reason for reason, _v, _l in reasons(row)]) == ("SKIPPED", ["RATE_LIMITED"])
    assert not exchange.exchange.submitted and GuardrailEvent.objects.filter(reason="RATE_LIMITED").count() == 1


def test_orders_of_one_account_keep_their_order_behind_one_that_waits(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row(tx=1))
    exchange.rates.wait_ms = 0
    exchange.copy(exchange.row(tx=2))
    assert statuses(exchange) == ["READY", "READY"]
    for _look in range(4):
        exchange.look(after=0.3)
    first, second = exchange.trades()
    assert [plan.order_hash for plan in exchange.exchange.submitted] == [first.order_hash, second.order_hash]


def test_other_accounts_do_not_wait_behind_it(exchange: ExchangeWorld) -> None:
    exchange.follower("Fay")
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row(tx=1))
    exchange.rates.wait_ms = 0
    fred = exchange.follower("Fred")
    exchange.clock.advance(2)
    exchange.copy(exchange.row(tx=2))
    assert [row.status for row in exchange.trades(fred)] == ["MATCHED"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_pause, "GLOBAL_PAUSE"),
        (lambda world: world.set_book("0.57", "0.58"), "PRICE_DEVIATION"),
        (lambda world: CopyConfig.objects.update(sides="SELL", version=2), "SIDE_FILTERED"),
        (lambda world: CopyConfig.objects.update(active=False, version=2), "NO_SUBSCRIBERS"),
        (lambda world: CashBalance.objects.update(cash_micros=0), "NOT_ENOUGH_CASH"),
        (lambda world: Leader.objects.update(daily_limit_micros=ONE), "LEADER_DAILY_LIMIT"),
    ],
)
def test_what_is_refused_when_its_time_has_come_is_skipped_with_why(
    exchange: ExchangeWorld, change: Any, reason: str
) -> None:
    exchange.follower()
    exchange.rates.wait_ms = 2_000
    exchange.copy(exchange.row())
    exchange.rates.wait_ms = 0
    change(exchange)
    exchange.look(after=2.5)
    (row,) = exchange.trades()
    assert (row.status, [told for told, _v, _l in reasons(row)]) == ("SKIPPED", [reason])
    assert (exchange.exchange.submitted, GuardrailEvent.objects.get(trade=row).reason) == ([], reason)


def test_a_copy_that_waited_is_sized_by_its_own_part_and_those_before_it(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.copy(exchange.row("1000", tx=1))
    exchange.rates.wait_ms = 900
    exchange.window_passes()
    exchange.copy(exchange.row("1000", tx=1), exchange.row("1000", tx=1), walk="later")
    exchange.rates.wait_ms = 0
    exchange.window_passes()
    exchange.look(after=1)
    first, second = exchange.trades()
    # Both parts together are capped at $100, which is 196.07 shares at the limit.
    assert (first.size_micros, second.size_micros, second.status) == (100 * ONE, 96_070_000, "MATCHED")


def test_after_a_crash_ready_copies_go_on(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row())
    exchange.start()
    exchange.rates.wait_ms = 0
    exchange.look(after=1)
    assert (statuses(exchange), len(exchange.exchange.submitted)) == (["MATCHED"], 1)


# --- A sale and its purchase ----------------------------------------------------------------------------------------


def sale(exchange: ExchangeWorld, *, tx: int = 2) -> CopyTrade:
    """Lena sells half of what she bought a moment ago."""
    exchange.lena_holds(1_000)
    exchange.clock.advance(1)
    return exchange.copy(exchange.row("500", tx=tx, side="SELL"))[-1]


def test_a_follower_who_went_to_paper_meanwhile_has_a_paper_copy(exchange: ExchangeWorld) -> None:
    fay = exchange.follower()
    exchange.rates.wait_ms = 500
    exchange.copy(exchange.row())
    type(fay).objects.update(mode="PAPER")
    CopyConfig.objects.update(version=2)
    exchange.look(after=1)
    (row,) = exchange.trades()
    assert (row.status, row.mode, row.executor, exchange.exchange.submitted) == ("EXECUTED", "PAPER", "paper", [])


def test_a_queue_that_is_due_at_every_look_keeps_nobody_else_waiting(exchange: ExchangeWorld) -> None:
    for name in ("Fay", "Fred"):
        exchange.follower(name)
    exchange.rates.wait_ms = 500
    first, second = exchange.copy(exchange.row())
    at = exchange.clock.now()
    CopyTrade.objects.filter(pk=first.pk).update(next_retry_at=at + timedelta(seconds=2))
    later = at + timedelta(seconds=3)
    assert [row.pk for row in due_ready(now=later, limit=1, shard=Shard())] == [second.pk]
    assert [row.pk for row in due_ready(now=later, limit=2, shard=Shard())] == [first.pk, second.pk]


def test_a_sale_waits_for_its_purchase_and_sells_what_that_really_bought(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.exchange.answer = Resting(matched=True, matched_micros=Micros(80 * ONE), final=True)
    (buy,) = exchange.copy(exchange.row())
    exchange.exchange.answer = None
    row = sale(exchange)
    assert (row.status, notes(row), row.order_hash) == ("READY", ["WAITED_FOR_BUY"], None)
    exchange.look()
    assert statuses(exchange) == ["MATCHED", "READY"]
    exchange.confirm(buy, 80)
    exchange.look()
    row.refresh_from_db()
    assert (row.status, row.size_micros, notes(row)) == ("MATCHED", 40 * ONE, ["WAITED_FOR_BUY"])
    exchange.confirm(row, 40)
    assert Position.objects.get().size_micros == 40 * ONE


def test_a_sale_whose_purchase_failed_finds_nothing_to_sell(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (buy,) = exchange.copy(exchange.row())
    row = sale(exchange)
    exchange.confirm(buy, status="FAILED")
    exchange.look()
    row.refresh_from_db()
    assert (row.status, [told for told, _v, _l in reasons(row)]) == ("SKIPPED", ["NOTHING_TO_SELL"])


def test_a_sale_waits_for_longer_than_settlement_may_take_and_then_sells_what_is_held(exchange: ExchangeWorld) -> None:
    fay = exchange.follower()
    exchange.hold(fay, 60)
    exchange.copy(exchange.row())
    row = sale(exchange)
    assert row.expires_at == exchange.clock.now() + BUY_WAIT_MAX
    for _look in range(11):
        exchange.look(after=65)
    assert statuses(exchange)[-1] == "READY"
    exchange.look(after=6)
    row.refresh_from_db()
    assert (row.status, row.size_micros, notes(row)) == ("MATCHED", 30 * ONE, ["WAITED_FOR_BUY", "UNSOLD"])
    assert GuardrailEvent.objects.get().reason == "UNSOLD"


def test_a_sale_of_at_least_what_is_still_to_come_waits_a_minute(exchange: ExchangeWorld) -> None:
    exchange.hold(exchange.follower(), 200)
    (buy,) = exchange.copy(exchange.row())
    row = sale(exchange)
    for _look in range(11):
        exchange.look(after=5.4)
    assert statuses(exchange)[-1] == "READY"
    exchange.look(after=1)
    row.refresh_from_db()
    assert (row.status, row.size_micros, notes(row)) == ("MATCHED", 100 * ONE, ["WAITED_FOR_BUY", "UNSOLD"])
    assert GuardrailEvent.objects.get().trade_id == row.pk
    exchange.confirm(row)
    exchange.confirm(buy)
    assert (statuses(exchange), Position.objects.get().size_micros) == (["EXECUTED", "EXECUTED"], 200 * ONE)


def test_a_sale_that_waited_for_a_slow_settlement_is_not_too_old(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (buy,) = exchange.copy(exchange.row())
    row = sale(exchange)
    for _look in range(8):
        exchange.look(after=60)
    exchange.confirm(buy)
    exchange.look(after=2)
    row.refresh_from_db()
    assert (row.status, row.size_micros, notes(row)) == ("MATCHED", 50 * ONE, ["WAITED_FOR_BUY"])
    assert not GuardrailEvent.objects.exists()


def test_the_price_of_a_sale_that_waited_is_held_against_the_book_of_then(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (buy,) = exchange.copy(exchange.row())
    row = sale(exchange)
    exchange.look(after=300)
    exchange.set_book("0.40", "0.41")
    exchange.confirm(buy)
    exchange.look(after=2)
    row.refresh_from_db()
    assert (row.status, [told for told, _v, _l in reasons(row)]) == ("SKIPPED", ["PRICE_DEVIATION"])


def test_a_sale_whose_purchase_never_settles_is_given_up_with_an_incident(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (buy,) = exchange.copy(exchange.row())
    row = sale(exchange)
    for _look in range(12):
        exchange.look(after=60.1)
    row.refresh_from_db()
    assert (row.status, reasons(row)[0][0], notes(row)) == ("SKIPPED", "NOTHING_TO_SELL", ["WAITED_FOR_BUY", "UNSOLD"])
    assert sorted(GuardrailEvent.objects.filter(trade=row).values_list("reason", flat=True)) == [
        *("NOTHING_TO_SELL", "UNSOLD")
    ]
    exchange.confirm(buy)
    exchange.look(after=2)
    assert statuses(exchange) == ["EXECUTED", "SKIPPED"]


def test_a_sale_that_waited_for_its_purchase_may_still_wait_for_the_limit(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (buy,) = exchange.copy(exchange.row())
    row = sale(exchange)
    exchange.look(after=300)
    exchange.confirm(buy)
    exchange.rates.wait_ms = 500
    exchange.look(after=2)
    row.refresh_from_db()
    assert (row.status, notes(row)) == ("READY", ["WAITED_FOR_BUY", "RATE_LIMITED"])
    assert row.expires_at == exchange.clock.now() + timedelta(seconds=60)
    exchange.rates.wait_ms = 0
    exchange.look(after=1)
    row.refresh_from_db()
    assert (row.status, row.size_micros) == ("MATCHED", 50 * ONE)


def test_a_sale_goes_on_when_part_of_its_purchase_is_booked_after_the_bound(exchange: ExchangeWorld) -> None:
    exchange.follower()
    (buy,) = exchange.copy(exchange.row())
    exchange.exchange.show(buy, trade(buy, 60, name="a"), trade(buy, 40, name="b", status="MATCHED"))
    row = sale(exchange)
    for _look in range(12):
        exchange.rescue()
        exchange.look(after=55)
    row.refresh_from_db()
    buy.refresh_from_db()
    assert (buy.status, row.status, row.size_micros, notes(row)) == (
        *("EXECUTED", "MATCHED", 30 * ONE),
        ["WAITED_FOR_BUY"],
    )


def test_a_sale_waits_for_a_purchase_whose_answer_was_lost(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.exchange.answer = Unknown(detail="lost")
    exchange.copy(exchange.row())
    assert sale(exchange).status == "READY"


def test_a_sale_of_another_token_or_of_somebody_else_does_not_wait(exchange: ExchangeWorld) -> None:
    exchange.follower("Fay")
    exchange.copy(exchange.row())
    fred = exchange.follower("Fred")
    exchange.hold(fred, 100)
    CopyConfig.objects.filter(follower=fred).update(version=2)
    exchange.clock.advance(1)
    sale(exchange)
    assert [row.status for row in exchange.trades(fred)] == ["MATCHED"]


def test_a_paused_sale_does_not_wait(exchange: ExchangeWorld) -> None:
    exchange.hold(exchange.follower(), 100)
    exchange.copy(exchange.row())
    _pause(exchange)
    row = sale(exchange)
    assert (row.status, reasons(row)[0][0]) == ("SKIPPED", "GLOBAL_PAUSE")


def test_a_purchase_that_waits_is_given_up_when_the_leader_has_sold_meanwhile(exchange: ExchangeWorld) -> None:
    exchange.follower()
    exchange.rates.wait_ms = 3_000
    exchange.copy(exchange.row())
    exchange.rates.wait_ms = 0
    row = sale(exchange)
    assert row.status == "READY"
    exchange.look(after=3)
    exchange.look()
    buy, row = exchange.trades()
    assert (buy.status, reasons(buy)) == ("SKIPPED", [("SOLD_ALREADY", None, None)])
    assert (row.status, reasons(row)[0][0]) == ("SKIPPED", "NOTHING_TO_SELL")
    assert not exchange.exchange.submitted
