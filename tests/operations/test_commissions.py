"""Commissions in the database: Fred referred Fay, and earns of what her sells make above what the shares cost."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from copytrading.models import CopyConfig, CopyTrade, Follower
from copytrading.operations.fills import note_fills
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import record_outcomes
from copytrading.operations.reversals import reverse_fill
from copytrading.states import Actor, Status
from guardrails.intents import Reason, Refusal
from ledger.entries import CASH
from ledger.models import CashBalance, CommissionLog, LedgerEntry, ReferralVolume
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import CashBalanceFactory, CopyConfigFactory, FollowerFactory, PositionFactory
from tests.operations.deals import assert_books_agree, balances, bought, filled, later, order, sold
from tests.tracking.trades import standing_order, trade

pytestmark = pytest.mark.django_db

TIERS = ((0, 500), (100 * ONE, 1_000), (1_000 * ONE, 2_000))
TODAY = BEGINNING.date()


@pytest.fixture
def referred(fay: Follower, fred: Follower) -> Follower:
    """Fay, who was referred by Fred."""
    fay.referrer = fred
    fay.save()
    return fay


def volumes() -> dict[date, int]:
    """Whole dollars by day."""
    return {row.day: row.volume_micros // ONE for row in ReferralVolume.objects.all()}


def logs() -> list[tuple[str, int, int, int]]:
    """State, profit in cents, rate and amount in cents of every commission, oldest first."""
    rows = CommissionLog.objects.order_by("pk")
    return [(r.state, r.profit_micros // 10_000, r.rate_bps, r.amount_micros // 10_000) for r in rows]


def test_a_profit_earns_the_referrer_a_part_that_the_operator_owes(
    referred: Follower, fred: Follower, fay_config: CopyConfig
) -> None:
    bought(fay_config, "0.50", tiers=TIERS)
    sale = sold(fay_config, "0.60", tiers=TIERS)
    assert logs() == [("EARNED", 10_00, 500, 50)]
    log = CommissionLog.objects.get()
    assert (log.referrer, log.follower, log.trade) == (fred, referred, sale)
    entry = LedgerEntry.objects.get(kind="COMMISSION")
    assert (entry.key, entry.trade) == (f"trade:{sale.pk}:COMMISSION", sale)
    assert balances()["operator:commissions", CASH] == 500_000
    assert balances()[f"follower:{fred.pk}:commissions", CASH] == -500_000
    assert_books_agree()


def test_a_sale_that_is_confirmed_in_parts_earns_once_on_the_whole(referred: Follower, fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50", tiers=TIERS)
    sale = standing_order(fay_config, "SELL")
    for status in ("MINED", "CONFIRMED"):
        parts = [trade(sale, 60, "0.70"), trade(sale, 40, "0.45", name="t2", status=status)]
        note_fills(parts, now=BEGINNING, tiers=TIERS)
    assert logs() == [("EARNED", 10_00, 500, 50)]
    assert volumes() == {TODAY: 50 + 60}
    entries = LedgerEntry.objects.filter(trade=sale, kind__in=("PROFIT", "LOSS")).order_by("pk")
    assert list(entries.values_list("kind", "amount_micros")) == [("PROFIT", 12 * ONE), ("LOSS", 2 * ONE)]
    sale.refresh_from_db()
    assert reverse_fill(sale, refusal=Refusal(Reason.SETTLEMENT_FAILED), now=BEGINNING)
    assert (logs()[0][0], volumes()) == ("REVERSED", {TODAY: 50})
    assert_books_agree()


def test_the_followers_own_cash_is_not_touched(referred: Follower, fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50", tiers=TIERS)
    sold(fay_config, "0.60", tiers=TIERS)
    assert CashBalance.objects.get(follower=referred).cash_micros == 10_010 * ONE


@pytest.mark.parametrize(("price", "fee"), [("0.40", "0"), ("0.50", "0"), ("0.60", "10"), ("0.60", "12")])
def test_a_loss_and_a_profit_that_its_fee_eats_earn_nothing(
    referred: Follower, fay_config: CopyConfig, price: str, fee: str
) -> None:
    bought(fay_config, "0.50", tiers=TIERS)
    sold(fay_config, price, fee=fee, tiers=TIERS)
    assert logs() == []
    assert not LedgerEntry.objects.filter(kind="COMMISSION").exists()


def test_the_fee_of_the_sell_is_taken_from_its_profit_first(referred: Follower, fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50", fee="3", tiers=TIERS)
    sold(fay_config, "0.60", fee="2", tiers=TIERS)
    assert logs() == [("EARNED", 8_00, 500, 40)]


def test_buys_and_sells_count_as_volume_on_the_utc_day_of_their_fill(
    referred: Follower, fay_config: CopyConfig
) -> None:
    bought(fay_config, "0.50", tiers=TIERS, now=datetime(2026, 11, 21, 23, 59, tzinfo=UTC))
    sold(fay_config, "0.60", tiers=TIERS, now=datetime(2026, 11, 22, 0, 1, tzinfo=UTC))
    assert volumes() == {date(2026, 11, 21): 50, date(2026, 11, 22): 60}


def test_the_volume_before_a_fill_picks_its_tier(referred: Follower, fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50", shares=200, tiers=TIERS)
    for hour in (1, 2):
        sold(fay_config, "0.60", tiers=TIERS, now=later(hour))
    assert logs() == [("EARNED", 10_00, 1_000, 1_00), ("EARNED", 10_00, 1_000, 1_00)]


@pytest.mark.parametrize(("days", "rate"), [(0, 2_000), (29, 2_000), (30, 500)])
def test_volume_counts_for_thirty_days_with_today(
    referred: Follower, fred: Follower, fay_config: CopyConfig, days: int, rate: int
) -> None:
    day = TODAY - timedelta(days=days)
    ReferralVolume.objects.create(referrer=fred, day=day, volume_micros=1_000 * ONE)
    ReferralVolume.objects.create(referrer=referred, day=TODAY, volume_micros=10**6 * ONE)
    bought(fay_config, "0.50")
    sold(fay_config, "0.60", tiers=TIERS)
    assert [log[2] for log in logs()] == [rate]


def test_all_followers_of_a_referrer_count_together(referred: Follower, fred: Follower, fay_config: CopyConfig) -> None:
    hal = FollowerFactory(referrer=fred)
    CashBalanceFactory(follower=hal)
    bought(CopyConfigFactory(follower=hal), "0.50", shares=2_000, tiers=TIERS)
    bought(fay_config, "0.50")
    sold(fay_config, "0.60", tiers=TIERS)
    assert [log[2] for log in logs()] == [2_000]


def test_within_a_batch_each_fill_finds_the_volume_of_those_before(referred: Follower, fay_config: CopyConfig) -> None:
    PositionFactory(follower=referred, size_micros=300 * ONE, cost_micros=150 * ONE)
    rows = [order(fay_config, "SELL") for _ in range(3)]
    record_outcomes(moves_of(rows), now=BEGINNING, tiers=TIERS)
    assert [log[2] for log in logs()] == [500, 500, 1_000]
    assert volumes() == {TODAY: 180}


def moves_of(rows: list[CopyTrade]) -> list[Move]:
    """All of them filled at 0.60."""
    return [Move(row=row, to=Status.EXECUTED, actor=Actor.PIPELINE, fill=filled(row, "0.60")) for row in rows]


def questions(rows: list[CopyTrade], tiers: tuple[tuple[int, int], ...]) -> list[str]:
    """The statements that these fills take."""
    with CaptureQueriesContext(connection) as queries:
        assert len(record_outcomes(moves_of(rows), now=BEGINNING, tiers=tiers)) == len(rows)
    return [query["sql"] for query in queries]


def sells(number: int, referrer: Follower | None) -> list[CopyTrade]:
    """So many sells of as many followers."""
    rows = []
    for _ in range(number):
        follower = FollowerFactory(referrer=referrer)
        CashBalanceFactory(follower=follower)
        PositionFactory(follower=follower)
        rows.append(order(CopyConfigFactory(follower=follower), "SELL"))
    return rows


@pytest.mark.postgres
def test_a_batch_takes_as_many_queries_for_one_follower_as_for_many(fred: Follower) -> None:
    few = len(questions(sells(2, fred), TIERS))
    assert len(questions(sells(30, fred), TIERS)) == few
    assert CommissionLog.objects.count() == 32


def test_without_tiers_nothing_is_asked_and_without_a_referrer_only_who_that_is(fred: Follower) -> None:
    plain = questions(sells(2, fred), ())
    assert not any("referr" in sql or "commission" in sql for sql in plain)
    assert len(questions(sells(2, None), TIERS)) == len(plain) + 1
    assert not ReferralVolume.objects.exists() and not CommissionLog.objects.exists()
