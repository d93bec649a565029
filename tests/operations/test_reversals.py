"""A fill that is undone: every account is as before, and what cannot go back is booked as what it then is."""

import pytest

from copytrading.models import CopiedPosition, CopyConfig, CopyTrade, Follower
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import record_outcomes, take_over
from copytrading.operations.reversals import reverse_fill, reverse_fills
from copytrading.states import Actor, IllegalMove, Status
from execution.models import Position
from guardrails.intents import Reason, Refusal
from guardrails.models import Budget, GuardrailEvent
from ledger.models import CashBalance, CommissionLog, LedgerEntry, ReferralVolume
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.operations.deals import (
    assert_books_agree,
    balances,
    bought,
    execute,
    fail,
    filled,
    later,
    order,
    sold,
    standing,
)

pytestmark = pytest.mark.django_db

REORG = Refusal(Reason.REVERSED)
TIERS = ((0, 500),)


def undo(row: CopyTrade, *, hours: int = 1) -> CopyTrade:
    """The fill is reversed."""
    assert reverse_fill(row, refusal=REORG, now=later(hours))
    row.refresh_from_db()
    return row


def events() -> list[str]:
    """Reasons of all events, oldest first."""
    return list(GuardrailEvent.objects.order_by("pk").values_list("reason", flat=True))


def held() -> tuple[int, int, int]:
    """Size, cost and realised profit of the only position, whole units."""
    row = Position.objects.get()
    return row.size_micros // ONE, row.cost_micros // ONE, row.realised_micros // ONE


def test_a_reversed_buy_gives_the_cash_back_and_takes_the_shares(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.40")
    before, had = standing(), balances()
    undo(bought(fay_config, "0.70", fee="0.50"))
    assert (standing(), balances()) == (before, had)
    assert events() == ["REVERSED"]
    assert_books_agree()


@pytest.mark.parametrize("price", ["0.60", "0.50", "0.30"])
def test_a_reversed_sell_puts_shares_and_cost_back_and_takes_the_profit(fay_config: CopyConfig, price: str) -> None:
    bought(fay_config, "0.50")
    before, had = standing(), balances()
    CopiedPosition.objects.get()
    undo(sold(fay_config, price, shares=40, fee="0.10"))
    assert (standing(), balances()) == (before, had)
    assert_books_agree()


def test_the_row_fails_with_its_reason_and_is_watched_for_a_day(fay_config: CopyConfig) -> None:
    row = undo(bought(fay_config), hours=5)
    assert (row.status, row.fill_size_micros, row.executed_at) == ("FAILED", 0, None)
    assert row.reasons[-1]["reason"] == "REVERSED"
    assert row.watch_until == later(5 + 24)
    assert row.next_retry_at is not None and row.next_retry_at < later(6)


def test_every_entry_is_answered_once_by_its_opposite(fay_config: CopyConfig) -> None:
    bought(fay_config)
    row = undo(sold(fay_config, "0.60", fee="0.10"))
    mine = list(LedgerEntry.objects.filter(trade=row))
    first = {entry.key: entry for entry in mine if entry.kind != "REVERSAL"}
    answers = {entry.key: entry for entry in mine if entry.kind == "REVERSAL"}
    assert set(answers) == {f"{key}:REVERSAL" for key in first} and len(first) == 4
    for key, entry in first.items():
        other = answers[f"{key}:REVERSAL"]
        assert (other.debit_account, other.credit_account) == (entry.credit_account, entry.debit_account)
        assert (other.asset, other.amount_micros) == (entry.asset, entry.amount_micros)


def test_a_row_that_somebody_else_holds_meanwhile_is_left_alone(fay_config: CopyConfig) -> None:
    row = bought(fay_config)
    before = standing()
    CopyTrade.objects.filter(pk=row.pk).update(lock_token="another")
    assert not reverse_fill(row, refusal=REORG, now=BEGINNING)
    assert standing() == before and events() == []


def test_a_fill_is_reversed_once(fay_config: CopyConfig) -> None:
    row = bought(fay_config)
    seen = CopyTrade.objects.get()
    undo(row)
    before = standing()
    assert not reverse_fill(seen, refusal=REORG, now=BEGINNING)
    assert standing() == before


@pytest.mark.parametrize("turn", [1, -1])
def test_a_buy_and_its_sale_go_back_together_without_a_trace(fay_config: CopyConfig, turn: int) -> None:
    both = [bought(fay_config, "0.50"), sold(fay_config, "0.60", now=later(1))]
    assert reverse_fills(both[::turn], refusal=REORG, now=later(2)) == {row.pk for row in both}
    assert (held(), balances()) == ((0, 0, 0), {})
    assert events() == ["REVERSED", "REVERSED"]
    assert_books_agree()


def test_of_many_only_those_that_are_as_they_were_seen_go_back(fay_config: CopyConfig) -> None:
    mine, theirs = bought(fay_config), bought(fay_config)
    CopyTrade.objects.filter(pk=theirs.pk).update(lock_token="another")
    assert reverse_fills([mine, theirs], refusal=REORG, now=later(1)) == {mine.pk}
    assert held() == (100, 50, 0)
    assert_books_agree()


def test_only_an_executed_copy_is_reversed(fay_config: CopyConfig) -> None:
    with pytest.raises(IllegalMove):
        reverse_fill(order(fay_config), refusal=REORG, now=BEGINNING)


def test_the_ordinary_way_of_outcomes_takes_no_fill_back(fay_config: CopyConfig) -> None:
    move = Move(row=bought(fay_config), to=Status.FAILED, actor=Actor.REORG, refusal=REORG)
    with pytest.raises(IllegalMove, match="only a reversal"):
        record_outcomes([move], now=BEGINNING)


def with_budget(row: CopyTrade) -> CopyTrade:
    """The row took from its leader's day, and nobody else did."""
    day = BEGINNING.replace(hour=0)
    key = {"scope": "LEADER", "key": str(row.leader_id), "period": "DAY", "starts_at": day}
    Budget.objects.create(**key, spent_micros=row.budget_micros, count=row.budget_count)
    CopyTrade.objects.update(budget_mask=0b100000)
    row.refresh_from_db()
    return row


def test_budgets_of_a_reversed_buy_are_released_as_often_as_it_is_reversed(fay_config: CopyConfig) -> None:
    row = with_budget(bought(fay_config))
    for _time in range(2):
        assert (Budget.objects.get().spent_micros, Budget.objects.get().count) == (99 * ONE, 1)
        undo(row)
        assert (Budget.objects.get().spent_micros, Budget.objects.get().count) == (0, 0)
        execute(row, "0.50")


def test_average_cost_is_exact_again_when_what_was_sold_is_all_that_is_left(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50")
    dear = bought(fay_config, "0.70")
    sold(fay_config, "0.60")
    assert held() == (100, 60, 0)
    undo(dear)
    assert held() == (0, 0, 10)  # what 100 bought at 0.50 and sold at 0.60 make
    assert_books_agree()


def test_cost_that_is_left_without_shares_is_a_loss(fay_config: CopyConfig) -> None:
    cheap = bought(fay_config, "0.10")
    bought(fay_config, "0.90")
    sold(fay_config, "0.60")
    assert held() == (100, 50, 10)
    undo(cheap)
    assert held() == (0, 0, -30)  # what 100 bought at 0.90 and sold at 0.60 make
    assert_books_agree()


def test_shares_of_a_reversed_buy_that_were_sold_are_found_outside_with_an_incident(fay_config: CopyConfig) -> None:
    buy = bought(fay_config, "0.50")
    sold(fay_config, "0.60")
    undo(buy)
    assert held() == (0, 0, 60)
    assert CashBalance.objects.get().cash_micros == 10_060 * ONE
    found = GuardrailEvent.objects.get(reason="OVERSOLD")
    assert (found.trade, found.value, found.limit, found.unit) == (buy, 100 * ONE, 0, "shares")
    assert_books_agree()


def test_shares_that_an_open_sell_has_reserved_stay_reserved(fay_config: CopyConfig) -> None:
    buy = bought(fay_config, "0.50")
    open_sell = order(fay_config, "SELL", 40)
    undo(buy)
    row = Position.objects.get()
    assert (row.size_micros, row.reserved_micros) == (40 * ONE, 40 * ONE)
    execute(open_sell, "0.60")
    assert held() == (0, 0, 24)
    assert_books_agree()


def test_shares_that_a_late_sell_found_are_gone_with_it(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50")
    late = fail(order(fay_config, "SELL"))
    sold(fay_config, "0.60")
    before = standing()
    undo(execute(late, "0.70"))
    assert standing() == before
    assert_books_agree()


def take(row: CopyTrade) -> CopyTrade:
    """The watch takes the row before it asks."""
    mine = take_over(row, token="2" * 32, by="watch", term=0, now=later(2))
    assert mine is not None
    return mine


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_late_fill_after_a_reversal_is_booked_again_under_keys_of_its_own(fay_config: CopyConfig, side: str) -> None:
    bought(fay_config, "0.40")
    row = bought(fay_config) if side == "BUY" else sold(fay_config)
    before, had = standing(), balances()
    undo(row)
    execute(take(row), "0.50" if side == "BUY" else "0.60")
    assert (standing(), balances()) == (before, had)
    undo(row)
    execute(row, "0.50" if side == "BUY" else "0.60")
    assert (standing(), balances()) == (before, had)
    assert events().count("LATE_FILL") == 2
    assert LedgerEntry.objects.filter(key__startswith=f"trade:{row.pk}:3:").exists()
    assert_books_agree()


def test_a_reversed_order_that_is_matched_first_and_filled_then_is_booked_again_too(fay_config: CopyConfig) -> None:
    row = undo(with_budget(bought(fay_config)))
    matched = Move(row=row, to=Status.MATCHED, actor=Actor.WATCH)
    assert record_outcomes([matched], now=later(2)) == {row.pk}
    row.refresh_from_db()
    filled_now = Move(row=row, to=Status.EXECUTED, actor=Actor.TRACKING, fill=filled(row, "0.50"))
    assert record_outcomes([filled_now], now=later(3)) == {row.pk}
    assert held() == (100, 50, 0)
    assert (Budget.objects.get().spent_micros, Budget.objects.get().count) == (99 * ONE, 1)
    assert_books_agree()


def test_what_a_reversal_had_to_assume_is_unsaid_when_the_fill_comes_back(fay_config: CopyConfig) -> None:
    buy = bought(fay_config, "0.50")
    sold(fay_config, "0.60")
    before, had = standing(), balances()
    undo(buy)
    execute(buy, "0.50")
    assert (standing(), balances()) == (before, had)
    assert_books_agree()


@pytest.fixture
def referred(fay: Follower, fred: Follower) -> Follower:
    """Fay, who was referred by Fred."""
    fay.referrer = fred
    fay.save()
    return fay


def test_volume_and_commission_are_reversed_with_the_trade(referred: Follower, fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50", tiers=TIERS)
    before, had = standing(), balances()
    undo(sold(fay_config, "0.60", tiers=TIERS), hours=20)
    assert (standing(), balances()) == (before, had)
    assert CommissionLog.objects.get().state == "REVERSED"
    assert ReferralVolume.objects.get().volume_micros == 50 * ONE
    assert events() == ["REVERSED"]


@pytest.mark.parametrize("state", ["PAID", "PAYING"])
def test_a_paid_commission_that_is_reversed_is_owed_by_the_referrer_and_an_incident(
    referred: Follower, fay_config: CopyConfig, state: str
) -> None:
    bought(fay_config, "0.50", tiers=TIERS)
    sale = sold(fay_config, "0.60", tiers=TIERS)
    CommissionLog.objects.update(state=state)
    undo(sale)
    assert CommissionLog.objects.get().state == "REVERSED"
    assert LedgerEntry.objects.filter(key=f"trade:{sale.pk}:COMMISSION:REVERSAL").exists()
    paid = GuardrailEvent.objects.get(reason="PAID_COMMISSION_REVERSED")
    assert (paid.trade, paid.value, paid.unit) == (sale, 500_000, "money")


def test_a_reversed_commission_is_earned_again_with_its_trade(referred: Follower, fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50", tiers=TIERS)
    sale = sold(fay_config, "0.60", tiers=TIERS)
    had = balances()
    undo(sale)
    execute(sale, "0.60", tiers=TIERS)
    log = CommissionLog.objects.get()
    assert (log.state, log.amount_micros) == ("EARNED", 500_000)
    assert balances() == had
    assert ReferralVolume.objects.get().volume_micros == 110 * ONE


def test_volume_that_was_never_counted_is_not_taken_below_zero(referred: Follower, fay_config: CopyConfig) -> None:
    uncounted = bought(fay_config, "0.50")
    bought(fay_config, "0.30", tiers=TIERS)
    undo(uncounted)
    assert ReferralVolume.objects.get().volume_micros == 0
