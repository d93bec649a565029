"""The venue's trades become rows and copies move with them: once, by what is confirmed, whoever heard of it."""

from typing import Any

import pytest

from copytrading.models import CopyConfig, CopyTrade
from copytrading.operations.fills import OrderNews, note_fills
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import record_outcomes
from copytrading.states import Actor, IllegalMove, Status
from execution.models import Position, VenueFill
from guardrails.intents import Reason, Refusal
from guardrails.models import Budget, GuardrailEvent
from ledger.models import CashBalance, LedgerEntry
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.operations.deals import assert_books_agree, balances, bought, standing
from tests.tracking.trades import standing_order, trade

pytestmark = pytest.mark.django_db


def note(*trades: Any, **news: Any) -> list[str]:
    """The statuses that copies were moved to."""
    orders = [OrderNews(**news)] if news else []
    return [move.to.value for move in note_fills(trades, orders, now=BEGINNING).moves]


def fresh(row: CopyTrade) -> CopyTrade:
    row.refresh_from_db()
    return row


def cash() -> tuple[int, int]:
    """Cash and what of it is reserved, in cents."""
    row = CashBalance.objects.get()
    return row.cash_micros // 10_000, row.reserved_micros // 10_000


def reasons(row: CopyTrade) -> list[str]:
    return [each["reason"] for each in fresh(row).reasons]


def events() -> list[str]:
    return list(GuardrailEvent.objects.order_by("pk").values_list("reason", flat=True))


def test_nothing_moves_while_a_trade_is_only_matched(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    assert note(trade(row, status="MATCHED")) == []
    assert (fresh(row).status, cash(), LedgerEntry.objects.count()) == ("MATCHED", (1_000_000, 9_900), 0)
    assert VenueFill.objects.get().status == "MATCHED"


def test_a_confirmed_trade_books_its_own_size_price_and_fee_and_frees_the_estimate(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    assert note(trade(row, 100, "0.47", fee=ONE)) == ["EXECUTED"]
    row = fresh(row)
    assert (row.fill_size_micros, row.fill_price_micros, row.fee_micros) == (100 * ONE, 470_000, ONE)
    assert (cash(), Position.objects.get().size_micros) == ((1_000_000 - 4_800, 0), 100 * ONE)
    assert_books_agree()


def test_a_sale_is_booked_with_what_it_really_sold(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50")
    row = standing_order(fay_config, "SELL", matched=60)
    assert note(trade(row, 60, "0.61")) == ["EXECUTED"]
    mine = Position.objects.get()
    assert (mine.size_micros, mine.reserved_micros) == (40 * ONE, 0)
    assert CashBalance.objects.get().cash_micros == (10_000 - 50) * ONE + 36_600_000
    assert_books_agree()


def test_the_same_trade_told_again_changes_nothing(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    note(trade(row))
    before = (standing(), balances(), fresh(row).fill_size_micros)
    assert [note(trade(row, status=said)) for said in ("CONFIRMED", "MINED", "MATCHED")] == [[], [], []]
    assert (standing(), balances(), fresh(row).fill_size_micros) == before
    assert (VenueFill.objects.count(), VenueFill.objects.get().status) == (1, "CONFIRMED")


def test_each_trade_is_booked_when_it_is_confirmed_and_frees_its_part_of_the_estimate(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    assert note(trade(row, 60, "0.50"), trade(row, 40, "0.60", name="t2", status="MINED")) == ["MATCHED"]
    assert (fresh(row).fill_size_micros, Position.objects.get().size_micros) == (60 * ONE, 60 * ONE)
    assert cash() == (1_000_000 - 3_000, 9_900 * 40 // 100)
    assert_books_agree()
    assert note(trade(row, 60, "0.50"), trade(row, 40, "0.60", name="t2", status="MINED")) == []
    assert note(trade(row, 40, "0.60", name="t2")) == ["EXECUTED"]
    assert (fresh(row).fill_size_micros, row.fill_cost_micros) == (100 * ONE, 54 * ONE)
    assert cash() == (1_000_000 - 5_400, 0)
    assert LedgerEntry.objects.filter(kind="SHARES").count() == 2
    assert_books_agree()


def test_a_sale_is_booked_trade_by_trade_with_one_result(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50")
    row = standing_order(fay_config, "SELL")
    assert note(trade(row, 60, "0.61"), trade(row, 40, "0.45", name="t2", status="MATCHED")) == ["MATCHED"]
    mine = Position.objects.get()
    assert (mine.size_micros, mine.reserved_micros, mine.realised_micros) == (40 * ONE, 40 * ONE, 6_600_000)
    assert note(trade(row, 40, "0.45", name="t2")) == ["EXECUTED"]
    mine.refresh_from_db()
    assert (mine.size_micros, mine.reserved_micros, mine.realised_micros) == (0, 0, 4_600_000)
    assert_books_agree()


def test_when_the_rest_fails_what_is_booked_stays_and_the_rest_is_free(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    note(trade(row, 60), trade(row, 40, name="t2", status="RETRYING"))
    booked = LedgerEntry.objects.count()
    assert note(trade(row, 40, name="t2", status="FAILED")) == ["EXECUTED"]
    assert (fresh(row).fill_size_micros, cash()) == (60 * ONE, (1_000_000 - 3_000, 0))
    assert (LedgerEntry.objects.count(), events()) == (booked, ["SETTLEMENT_FAILED"])
    assert_books_agree()


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_confirmed_trade_that_fails_while_others_are_open_is_taken_back(fay_config: CopyConfig, side: str) -> None:
    if side == "SELL":
        bought(fay_config, "0.50")
    row, before = standing_order(fay_config, side), standing()
    note(trade(row, 60, fee=700), trade(row, 40, name="t2", status="MINED"))
    assert note(trade(row, 60, status="FAILED")) == ["FAILED"]
    row = fresh(row)
    assert (row.fill_size_micros, row.reserved_micros, row.budget_micros) == (0, 0, 0)
    assert_books_agree()
    if side == "BUY":
        assert (cash(), Position.objects.get().size_micros) == ((1_000_000, 0), 0)
    assert note(trade(row, 40, name="t2")) == ["EXECUTED"]
    assert fresh(row).fill_size_micros == 40 * ONE
    assert_books_agree()
    assert before != standing()


def test_an_order_that_is_booked_in_part_cannot_fail_but_by_a_reversal(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    stale = CopyTrade.objects.get(pk=row.pk)
    note(trade(row, 60), trade(row, 40, name="t2", status="MINED"))
    refusal = Refusal(Reason.NO_FILL)
    given_up = [Move(row=stale, to=Status.FAILED, actor=Actor.RESCUE, refusal=refusal)]
    assert record_outcomes(given_up, now=BEGINNING) == set()
    with pytest.raises(IllegalMove, match="only a reversal"):
        record_outcomes([Move(row=fresh(row), to=Status.FAILED, actor=Actor.RESCUE, refusal=refusal)], now=BEGINNING)
    assert_books_agree()


def test_what_failed_of_two_trades_is_not_booked_and_is_told(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    assert note(trade(row, 60), trade(row, 40, name="t2", status="FAILED")) == ["EXECUTED"]
    assert fresh(row).fill_size_micros == 60 * ONE
    told = GuardrailEvent.objects.get(reason="SETTLEMENT_FAILED", trade=row)
    assert (told.value, cash()) == (40 * ONE, (1_000_000 - 3_000, 0))
    assert_books_agree()


def test_a_matched_order_whose_trades_failed_has_failed_and_holds_no_money(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    assert note(trade(row, status="FAILED")) == ["FAILED"]
    assert (reasons(row), cash(), row.budget_micros) == (["SETTLEMENT_FAILED"], (1_000_000, 0), 0)
    assert fresh(row).watch_until is not None
    assert_books_agree()


def test_a_killed_order_without_a_trade_was_not_filled(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config, status=Status.LIVE, matched=0)
    assert note(order_hash=row.order_hash) == []
    assert note(order_hash=row.order_hash, ended=True) == ["FAILED"]
    assert reasons(row) == ["NO_FILL"]


def test_a_killed_order_with_a_trade_was_filled(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config, status=Status.LIVE, matched=0)
    assert note(trade(row, 30), order_hash=row.order_hash, ended=True) == ["EXECUTED"]
    assert fresh(row).fill_size_micros == 30 * ONE


def test_a_trade_of_a_delayed_order_makes_it_matched(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config, status=Status.LIVE, matched=0)
    assert note(trade(row, status="MATCHED")) == ["MATCHED"]
    assert note(trade(row), order_hash=row.order_hash, matched_micros=100 * ONE) == ["EXECUTED"]


@pytest.mark.parametrize("status", [Status.PENDING, Status.UNKNOWN])
def test_a_trade_that_is_heard_before_the_answer_waits_for_it(fay_config: CopyConfig, status: Status) -> None:
    row = standing_order(fay_config, status=status, matched=0)
    noted = note_fills([trade(row)], now=BEGINNING)
    assert (noted.moves, noted.too_early) == ((), {row.order_hash})
    assert (fresh(row).status, VenueFill.objects.count()) == (status, 1)
    move = Move(row=row, to=Status.MATCHED, actor=Actor.RESCUE, matched_micros=100 * ONE)
    record_outcomes([move], now=BEGINNING)
    assert note(order_hash=row.order_hash) == ["EXECUTED"]


def test_trades_of_orders_that_are_not_ours_are_left_alone(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    CopyTrade.objects.filter(pk=row.pk).update(status=Status.FAILED, reserved_micros=0)
    foreign = CopyTrade(order_hash="0x" + "ff" * 32)
    assert note(trade(foreign)) == []
    assert not VenueFill.objects.exists()


def given_up(config: CopyConfig, reason: Reason = Reason.EXPIRED) -> CopyTrade:
    row = standing_order(config, status=Status.UNKNOWN, matched=0)
    day = BEGINNING.replace(hour=0)
    key = {"scope": "LEADER", "key": str(row.leader_id), "period": "DAY", "starts_at": day}
    Budget.objects.create(**key, spent_micros=row.budget_micros, count=row.budget_count)
    CopyTrade.objects.filter(pk=row.pk).update(budget_mask=0b100000)
    move = Move(row=fresh(row), to=Status.FAILED, actor=Actor.RESCUE, refusal=Refusal(reason))
    record_outcomes([move], now=BEGINNING)
    return fresh(row)


def budget() -> tuple[int, int]:
    row = Budget.objects.get()
    return row.spent_micros // ONE, row.count


def test_a_late_fill_of_a_failed_copy_is_adopted_with_an_incident_and_takes_its_budget(fay_config: CopyConfig) -> None:
    row = given_up(fay_config)
    assert (budget(), cash()) == ((0, 0), (1_000_000, 0))
    assert note(trade(row), order_hash=row.order_hash, matched_micros=100 * ONE) == ["EXECUTED"]
    assert events()[-1] == "LATE_FILL"
    assert (budget(), cash(), fresh(row).fill_size_micros) == ((99, 1), (1_000_000 - 5_000, 0), 100 * ONE)
    assert_books_agree()


def test_a_late_match_waits_for_its_confirmation_with_one_incident(fay_config: CopyConfig) -> None:
    row = given_up(fay_config)
    assert note(trade(row, status="MATCHED")) == ["MATCHED"]
    assert note(trade(row), order_hash=row.order_hash, ended=True) == ["EXECUTED"]
    assert (events().count("LATE_FILL"), budget()) == (1, (99, 1))
    assert_books_agree()


def test_a_late_match_that_fails_leaves_everything_as_it_was(fay_config: CopyConfig) -> None:
    row = given_up(fay_config)
    before = (standing(), budget())
    assert note(trade(row, status="MATCHED")) == ["MATCHED"]
    assert note(trade(row, status="FAILED"), order_hash=row.order_hash, ended=True) == ["FAILED"]
    assert (standing(), budget()) == before
    assert_books_agree()


def test_a_confirmed_trade_that_a_reorg_undoes_is_taken_back_whole(fay_config: CopyConfig) -> None:
    before = standing_order(fay_config)
    note(trade(before, fee=ONE))
    assert note(trade(before, fee=ONE, status="FAILED")) == ["FAILED"]
    row = fresh(before)
    assert (row.fill_size_micros, cash(), reasons(row)) == (0, (1_000_000, 0), ["SETTLEMENT_FAILED"])
    assert Position.objects.get().size_micros == 0
    assert_books_agree()


def test_what_a_reorg_leaves_of_a_copy_is_booked_again(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    note(trade(row, 60), trade(row, 40, name="t2"))
    assert note(trade(row, 40, name="t2", status="FAILED")) == ["FAILED", "EXECUTED"]
    assert (fresh(row).fill_size_micros, cash()) == (60 * ONE, (1_000_000 - 3_000, 0))
    assert note(trade(row, 40, name="t2", status="FAILED")) == []
    assert_books_agree()


def test_a_trade_that_appears_after_all_is_added_to_a_booked_copy(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config, matched=60)
    assert note(trade(row, 60)) == ["EXECUTED"]
    assert note(trade(row, 40, name="t2", status="MINED")) == []
    assert note(trade(row, 40, name="t2")) == ["FAILED", "EXECUTED"]
    assert (fresh(row).fill_size_micros, cash()) == (100 * ONE, (1_000_000 - 5_000, 0))
    assert_books_agree()


def test_no_copy_is_booked_beyond_the_size_of_its_order(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    assert note(trade(row, 101)) == ["EXECUTED"]
    assert fresh(row).fill_size_micros == 100 * ONE
    assert events() == ["AUDIT_DIFFERENCE"]


@pytest.mark.parametrize("status", [Status.LIVE, Status.MATCHED])
def test_what_the_venue_says_it_matched_is_kept_until_it_is_settled(fay_config: CopyConfig, status: Status) -> None:
    row = standing_order(fay_config, status=status, matched=0)
    assert note(order_hash=row.order_hash, matched_micros=80 * ONE) == []
    assert fresh(row).matched_micros == 80 * ONE


def test_a_trade_without_a_size_or_a_price_is_no_trade(fay_config: CopyConfig) -> None:
    row = standing_order(fay_config)
    assert note(trade(row, 0), trade(row, price="1"), trade(row, price="0")) == []
    assert not VenueFill.objects.exists()
