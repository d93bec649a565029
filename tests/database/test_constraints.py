"""Every CheckConstraint and UniqueConstraint refuses, by name, what it is there for."""

import itertools
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.apps import apps
from django.db import IntegrityError, connection, models, transaction

from copytrading.models import (
    CarriedSize,
    CopiedPosition,
    CopyConfigVersion,
    CopyTrade,
    CopyTradeArchive,
    LeaderPosition,
    ShardLease,
    ShardStandby,
    SignalCursor,
    SignalSourceTotal,
    Standing,
)
from copytrading.models.trades import TradeFields
from copytrading.states import Status
from execution.models import TradingAccount, VenueFill
from guardrails.models import Breaker, Budget, Switch
from ledger.models import CommissionLog, Debt, LedgerEntry, ReferralVolume, ReimbursementLedger
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import (
    TOKEN,
    CashBalanceFactory,
    CopyConfigFactory,
    CopyTradeFactory,
    FollowerFactory,
    LeaderFactory,
    MarketFactory,
    PositionFactory,
    SignalFactory,
    SignalGroupFactory,
    trade_in,
)

pytestmark = pytest.mark.django_db

APPS = ("ledger", "guardrails", "execution", "copytrading")


@pytest.fixture(autouse=True)
def constraints_alone(db: None) -> None:
    """The triggers of Postgres refuse some of these rows first; they have their own tests."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE copytrading_copytrade DISABLE TRIGGER USER")


def change(row: models.Model, **fields: Any) -> None:
    """Update past every rule of the application."""
    assert type(row)._default_manager.filter(pk=row.pk).update(**fields) == 1


def twice(make: Callable[[], object]) -> None:
    make()
    make()


def entry(**fields: Any) -> LedgerEntry:
    sane = {"key": "k", "kind": "FEE", "debit_account": "a", "credit_account": "b", "asset": "pUSD", "amount_micros": 1}
    return LedgerEntry.objects.create(**(sane | fields))


def reimbursement(**fields: Any) -> ReimbursementLedger:
    trade = CopyTradeFactory()
    sane = {"follower": trade.follower, "trade": trade, "amount_micros": 1}
    return ReimbursementLedger.objects.create(**(sane | fields))


def debt(**fields: Any) -> Debt:
    advance = reimbursement()
    sane = {"follower": advance.follower, "reimbursement": advance, "amount_micros": 1}
    return Debt.objects.create(**(sane | fields))


def commission(**fields: Any) -> CommissionLog:
    trade = CopyTradeFactory()
    sane = {"follower": trade.follower, "trade": trade, "profit_micros": 10, "rate_bps": 1_000, "amount_micros": 1}
    return CommissionLog.objects.create(**({"referrer": FollowerFactory()} | sane | fields))


def budget(**fields: Any) -> Budget:
    return Budget.objects.create(**({"scope": "GLOBAL", "period": "DAY", "starts_at": BEGINNING} | fields))


def switch(**fields: Any) -> Switch:
    return Switch.objects.create(**({"kind": "PAUSE", "scope": "GLOBAL"} | fields))


def breaker(**fields: Any) -> Breaker:
    return Breaker.objects.create(**({"kind": "FAILURE_RATE", "scope": "GLOBAL"} | fields))


def fill(**fields: Any) -> VenueFill:
    trade = CopyTrade.objects.first() or trade_in(Status.MATCHED)
    numbers = {"size_micros": ONE, "price_micros": ONE // 2, "cost_micros": ONE // 2} | fields
    return VenueFill.objects.create(
        trade=trade, venue_trade_id="t1", order_hash=trade.order_hash, status="MINED", matched_at=BEGINNING, **numbers
    )


def account(**fields: Any) -> TradingAccount:
    return TradingAccount.objects.create(follower=FollowerFactory(), signer="0x" + "ab" * 20, **fields)


def copied(**fields: Any) -> CopiedPosition:
    return CopiedPosition.objects.create(**({"config": CopyConfigFactory(), "token_id": TOKEN} | fields))


def same_volume_twice() -> None:
    referrer = FollowerFactory()
    twice(lambda: ReferralVolume.objects.create(referrer=referrer, day=BEGINNING.date()))


def same_carry_twice() -> None:
    config = CopyConfigFactory()
    twice(lambda: CarriedSize.objects.create(config=config, token_id=TOKEN))


def same_copied_twice() -> None:
    config = CopyConfigFactory()
    twice(lambda: copied(config=config))


def same_standing_twice() -> None:
    config = CopyConfigFactory()
    twice(lambda: Standing.objects.create(config=config))


def own_referrer() -> None:
    follower = FollowerFactory()
    change(follower, referrer=follower)


def same_config_twice() -> None:
    config = CopyConfigFactory()
    CopyConfigFactory(follower=config.follower, leader=config.leader)


def same_config_version_twice() -> None:
    config = CopyConfigFactory()
    twice(lambda: CopyConfigVersion.objects.create(config=config, version=1))


def same_signal_part_twice() -> None:
    SignalFactory(group=SignalFactory().group)


def same_source_total_twice() -> None:
    group = SignalGroupFactory()
    twice(lambda: SignalSourceTotal.objects.create(group=group, source="poll", size_micros=1, notional_micros=1))


def negative_source_total() -> None:
    SignalSourceTotal.objects.create(group=SignalGroupFactory(), source="poll", size_micros=-1, notional_micros=1)


def same_leader_position_twice() -> None:
    leader = LeaderFactory()
    twice(lambda: LeaderPosition.objects.create(leader=leader, token_id=TOKEN))


def same_copy_twice() -> None:
    trade = CopyTradeFactory()
    CopyTradeFactory(config=trade.config, signal=trade.signal)


def archived(**fields: Any) -> CopyTradeArchive:
    trade = CopyTradeFactory()
    kept = {field.attname: getattr(trade, field.attname) for field in TradeFields._meta.fields}
    ids = {"trade_id": trade.pk, "config_id": 1, "signal_id": 1, "follower_id": 1, "leader_id": 1}
    return CopyTradeArchive.objects.create(**kept, idempotency_key=trade.idempotency_key, **(ids | fields))


new_number = itertools.count(1).__next__


def same_position_twice() -> None:
    PositionFactory(follower=PositionFactory().follower)


CHECKS: list[Any] = [
    # ledger
    ("cash_reserved_not_negative", lambda: CashBalanceFactory(reserved_micros=-1)),
    ("entry_amount_positive", lambda: entry(amount_micros=0)),
    ("entry_two_accounts", lambda: entry(credit_account="a")),
    ("reimbursement_positive", lambda: reimbursement(amount_micros=0)),
    ("reimbursement_batch_is_named", lambda: reimbursement(state="IN_BATCH")),
    ("debt_positive", lambda: debt(amount_micros=0)),
    ("debt_recovered_within_amount", lambda: debt(recovered_micros=2)),
    ("debt_recovered_within_amount", lambda: debt(recovered_micros=-1)),
    ("commission_on_profit_only", lambda: commission(profit_micros=0, amount_micros=0)),
    ("commission_within_profit", lambda: commission(amount_micros=11)),
    ("commission_within_profit", lambda: commission(amount_micros=-1)),
    ("commission_from_another", lambda: change(row := commission(), referrer=row.follower)),
    (
        "referral_volume_not_negative",
        lambda: ReferralVolume.objects.create(referrer=FollowerFactory(), day=BEGINNING.date(), volume_micros=-1),
    ),
    # guardrails
    ("breaker_open_since_a_moment", lambda: breaker(state="OPEN")),
    ("breaker_key_fits_scope", lambda: breaker(key="clob")),
    ("breaker_key_fits_scope", lambda: breaker(scope="VENUE")),
    ("budget_not_negative", lambda: budget(spent_micros=-1)),
    ("budget_not_negative", lambda: budget(count=-1)),
    ("switch_key_fits_scope", lambda: switch(key="7")),
    ("switch_key_fits_scope", lambda: switch(scope="FOLLOWER")),
    # execution
    ("market_tick_known", lambda: MarketFactory(tick_micros=20_000)),
    ("market_minimum_not_negative", lambda: MarketFactory(min_size_micros=-1)),
    ("market_liquidity_not_negative", lambda: MarketFactory(liquidity_micros=-1)),
    ("market_volume_not_negative", lambda: MarketFactory(volume_micros=-1)),
    ("market_prices_at_most_one", lambda: MarketFactory(first_price_micros=ONE + 1)),
    ("market_prices_at_most_one", lambda: MarketFactory(second_price_micros=ONE + 1)),
    ("position_covers_reserved", lambda: PositionFactory(size_micros=9, reserved_micros=10)),
    ("position_covers_reserved", lambda: PositionFactory(reserved_micros=-1)),
    ("position_cost_not_negative", lambda: PositionFactory(cost_micros=-1)),
    # people
    ("follower_not_own_referrer", own_referrer),
    ("config_amounts_not_negative", lambda: CopyConfigFactory(amount_micros=-1)),
    ("config_amounts_not_negative", lambda: CopyConfigFactory(floor_micros=-1)),
    ("config_amounts_not_negative", lambda: CopyConfigFactory(min_trigger_micros=-1)),
    ("config_fixed_amount_set", lambda: CopyConfigFactory(sizing="FIXED_AMOUNT")),
    ("config_range_in_order", lambda: CopyConfigFactory(sizing="RANGE", floor_micros=2, cap_micros=1)),
    ("config_range_in_order", lambda: CopyConfigFactory(sizing="RANGE", cap_micros=0)),
    ("config_bps_sane", lambda: CopyConfigFactory(percentage_bps=1_000_001)),
    ("config_bps_sane", lambda: CopyConfigFactory(slippage_bps_max=10_000)),
    ("config_max_odds_is_a_price", lambda: CopyConfigFactory(max_odds_micros=0)),
    ("config_max_odds_is_a_price", lambda: CopyConfigFactory(max_odds_micros=ONE)),
    ("config_max_trade_positive", lambda: CopyConfigFactory(max_trade_micros=0)),
    ("config_shares_set", lambda: CopyConfigFactory(sizing="SHARES")),
    ("config_sell_amount_set", lambda: CopyConfigFactory(sell_sizing="FIXED_AMOUNT")),
    ("config_sell_percentage_sane", lambda: CopyConfigFactory(sell_percentage_bps=0)),
    ("config_sell_percentage_sane", lambda: CopyConfigFactory(sell_percentage_bps=10_001)),
    ("config_liquidity_positive", lambda: CopyConfigFactory(min_liquidity_micros=0)),
    ("config_volume_positive", lambda: CopyConfigFactory(min_volume_micros=0)),
    ("config_per_market_positive", lambda: CopyConfigFactory(max_per_market_micros=0)),
    ("config_take_profit_positive", lambda: CopyConfigFactory(take_profit_micros=0)),
    ("config_stop_loss_positive", lambda: CopyConfigFactory(stop_loss_micros=-1)),
    ("config_drawdown_positive", lambda: CopyConfigFactory(max_drawdown_micros=0)),
    ("leader_bankroll_positive", lambda: LeaderFactory(bankroll_micros=0)),
    # standings
    ("copied_sums_sane", lambda: copied(spent_micros=-1)),
    ("copied_sums_sane", lambda: copied(received_micros=-1)),
    ("copied_sums_sane", lambda: copied(fees_micros=-1)),
    ("standing_stop_is_whole", lambda: Standing.objects.create(config=CopyConfigFactory(), exiting=True)),
    ("standing_stop_is_whole", lambda: Standing.objects.create(config=CopyConfigFactory(), stopped_at=BEGINNING)),
    # signals
    ("group_totals_not_negative", lambda: SignalGroupFactory(acted_size_micros=-1)),
    ("group_totals_not_negative", lambda: SignalGroupFactory(acted_notional_micros=-1)),
    ("group_trade_has_token_and_side", lambda: SignalGroupFactory(token_id=None)),
    ("group_trade_has_token_and_side", lambda: SignalGroupFactory(side="")),
    ("source_total_not_negative", negative_source_total),
    ("signal_size_positive", lambda: SignalFactory(size_micros=0)),
    ("signal_price_between_0_and_1", lambda: SignalFactory(price_micros=0)),
    ("signal_price_between_0_and_1", lambda: SignalFactory(price_micros=ONE)),
    ("signal_side_known", lambda: SignalFactory(side="HOLD")),
    (
        "leader_position_not_negative",
        lambda: LeaderPosition.objects.create(leader=LeaderFactory(), token_id=TOKEN, size_micros=-1),
    ),
    # trades
    ("trade_status_known", lambda: CopyTradeFactory(status="LOST")),
    ("trade_side_known", lambda: CopyTradeFactory(side="HOLD")),
    ("trade_sent_only_with_its_order", lambda: CopyTradeFactory(status=Status.PENDING)),
    *(
        ("trade_sent_only_with_its_order", lambda missing=missing: change(trade_in(Status.PENDING), **missing))
        for missing in (
            *({name: None} for name in ("order_hash", "salt", "order_timestamp_ms", "expires_at")),
            *({name: 0} for name in ("maker_amount", "taker_amount")),
            *({name: ""} for name in ("lock_token", "domain")),
        )
    ),
    *(
        # NULL > 0 is unknown, and a CHECK refuses only what is false.
        ("trade_sent_only_with_its_order", lambda name=name: change(trade_in(Status.PENDING), **{name: None}))
        for name in ("maker_amount", "taker_amount")
    ),
    ("trade_ready_was_never_sent", lambda: change(trade_in(Status.PENDING), status="READY")),
    ("trade_executed_has_a_fill", lambda: change(trade_in(Status.EXECUTED), fill_size_micros=0)),
    ("trade_executed_has_a_fill", lambda: change(trade_in(Status.EXECUTED), executed_at=None)),
    ("trade_not_made_has_no_fill", lambda: change(trade_in(Status.FAILED), fill_size_micros=1)),
    ("trade_fill_within_size", lambda: change(trade_in(Status.EXECUTED), fill_size_micros=100 * ONE + 1)),
    ("trade_fill_within_size", lambda: change(trade_in(Status.PENDING), fill_size_micros=-1)),
    ("trade_final_reserves_nothing", lambda: change(trade_in(Status.EXECUTED), reserved_micros=1)),
    ("trade_final_reserves_nothing", lambda: change(trade_in(Status.FAILED), reserved_micros=1)),
    ("trade_skipped_uses_no_budget", lambda: CopyTradeFactory(budget_micros=1)),
    ("trade_skipped_uses_no_budget", lambda: CopyTradeFactory(budget_count=1)),
    ("trade_numbers_sane", lambda: CopyTradeFactory(leader_size_micros=0)),
    ("trade_numbers_sane", lambda: CopyTradeFactory(leader_price_micros=ONE)),
    ("trade_numbers_sane", lambda: CopyTradeFactory(fee_micros=-1)),
    # on the venue
    ("fill_numbers_sane", lambda: fill(size_micros=0)),
    ("fill_numbers_sane", lambda: fill(price_micros=ONE)),
    ("fill_money_not_negative", lambda: fill(cost_micros=-1)),
    ("fill_money_not_negative", lambda: fill(fee_micros=-1)),
    ("account_signature_type_known", lambda: account(signature_type=4)),
    ("account_session_of_deposit_wallet", lambda: account(kind="SESSION", session_valid_until=BEGINNING)),
    ("account_session_of_deposit_wallet", lambda: account(kind="SESSION", signature_type=3)),
    ("account_stopped_since_a_moment", lambda: account(state="STOPPED")),
    ("config_fee_bound_sane", lambda: CopyConfigFactory(fee_bps_max=10_001)),
    # running
    ("lease_shard_in_range", lambda: ShardLease.objects.create(shard=1, of=1)),
    ("standby_shard_in_range", lambda: ShardStandby.objects.create(holder="h", shard=1, of=1, since=BEGINNING)),
]

UNIQUES: list[tuple[str, Callable[[], object]]] = [
    ("fill_once_per_trade_and_order", lambda: twice(fill)),
    ("budget_once", lambda: twice(budget)),
    ("switch_once", lambda: twice(switch)),
    ("position_once", same_position_twice),
    ("config_once", same_config_twice),
    ("config_version_once", same_config_version_twice),
    ("signal_part_once", same_signal_part_twice),
    ("source_total_once", same_source_total_twice),
    ("cursor_once", lambda: twice(lambda: SignalCursor.objects.create(source="poll", position="1"))),
    ("leader_position_once", same_leader_position_twice),
    ("trade_once_per_config_and_signal", same_copy_twice),
    ("archived_once_per_config_and_signal", lambda: twice(archived)),
    ("referral_volume_once", same_volume_twice),
    ("breaker_once", lambda: twice(breaker)),
    ("carried_once", same_carry_twice),
    ("copied_once", same_copied_twice),
    ("copytrading_standing_config", same_standing_twice),
    ("lease_once", lambda: twice(lambda: ShardLease.objects.create(shard=0, of=1))),
    # unique=True of one column
    ("ledger_ledgerentry_key", lambda: twice(entry)),
    ("copytrading_copytradearchive_trade_id", lambda: twice(lambda: archived(trade_id=1, signal_id=new_number()))),
    ("copytrading_copytrade_order_hash", lambda: twice(lambda: CopyTradeFactory(order_hash="0xab"))),
    ("copytrading_copytrade_idempotency_key", lambda: twice(lambda: CopyTradeFactory(idempotency_key="k"))),
    ("copytrading_leader_wallet", lambda: twice(lambda: LeaderFactory(name="Lena"))),
    ("copytrading_follower_wallet", lambda: twice(lambda: FollowerFactory(name="Fay"))),
    ("copytrading_signalgroup_key", lambda: twice(lambda: SignalGroupFactory(key="k"))),
    ("execution_market_condition_id", lambda: twice(lambda: MarketFactory(condition_id="0x1"))),
]


@pytest.mark.parametrize(("name", "offend"), CHECKS)
def test_check_refuses_what_it_is_there_for(name: str, offend: Callable[[], object]) -> None:
    with pytest.raises(IntegrityError, match=rf"\b{name}\b"), transaction.atomic():
        offend()


@pytest.mark.parametrize(("name", "offend"), UNIQUES)
def test_second_row_of_the_same_thing_is_refused(name: str, offend: Callable[[], object]) -> None:
    # SQLite names the columns, Postgres the constraint.
    text = name if connection.vendor == "postgresql" else "UNIQUE"
    with pytest.raises(IntegrityError, match=text), transaction.atomic():
        offend()


def test_every_constraint_of_the_models_is_tried_above() -> None:
    tried = {case.values[0] if hasattr(case, "values") else case[0] for case in (*CHECKS, *UNIQUES)}
    declared = {
        constraint.name
        for app in APPS
        for model in apps.get_app_config(app).get_models()
        for constraint in model._meta.constraints
    }
    assert sorted(declared - tried) == []


def test_order_hash_may_be_absent_from_many_copies() -> None:
    twice(CopyTradeFactory)


def test_rows_of_every_state_are_accepted() -> None:
    assert [trade_in(status).status for status in Status] == list(Status)


def test_budgets_of_different_windows_stand_side_by_side() -> None:
    budget()
    budget(starts_at=BEGINNING + timedelta(days=1))
    budget(period="HOUR")
    assert Budget.objects.count() == 3
