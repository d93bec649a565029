"""A row of every model."""

from datetime import date

from copytrading.models import (
    CarriedSize,
    CopiedPosition,
    CopyConfigVersion,
    CopyTradeArchive,
    DashboardEvent,
    DashboardSequence,
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
from guardrails.intents import Reason, Refusal, Unit
from guardrails.models import Breaker, Budget, Switch
from guardrails.operations import record_events
from ledger.audit import AuditNote
from ledger.entries import FillFacts, fill_entries
from ledger.models import CommissionLog, Debt, ReferralVolume, ReimbursementLedger
from ledger.operations import write_audit, write_entries
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING
from tests.factories import (
    TOKEN,
    CashBalanceFactory,
    CopyTradeFactory,
    FollowerFactory,
    MarketFactory,
    PositionFactory,
    SignalGroupFactory,
    trade_in,
)


def make_rows() -> None:
    """A row of every model."""
    trade = trade_in(Status.EXECUTED)
    CashBalanceFactory(follower=trade.follower, cash_micros=1_234_567_890_000, reserved_micros=51 * ONE)
    PositionFactory(follower=trade.follower, size_micros=1_960_070_000)
    MarketFactory(daily_limit_micros=2_500 * ONE)
    fill = FillFacts(
        trade_key="copy", follower_id=trade.follower_id, token_id=TOKEN, side=Side.BUY, size_micros=Micros(100 * ONE),
        cost_micros=Micros(50 * ONE), fee_micros=Micros(1), released_cost_micros=Micros(0),
    )  # fmt: skip
    write_entries([(entry, trade.pk) for entry in fill_entries(fill)])
    advance = ReimbursementLedger.objects.create(follower=trade.follower, trade=trade, amount_micros=12_500_000)
    Debt.objects.create(follower=trade.follower, reimbursement=advance, amount_micros=12_500_000)
    CommissionLog.objects.create(
        referrer=FollowerFactory(), follower=trade.follower, trade=trade,
        profit_micros=10 * ONE, rate_bps=1_000, amount_micros=ONE,
    )  # fmt: skip
    Budget.objects.create(scope="GLOBAL", period="DAY", starts_at=BEGINNING, spent_micros=1_500 * ONE, count=3)
    Switch.objects.create(scope="GLOBAL")
    Switch.objects.create(scope="LEADER", key=str(trade.leader_id))
    CopyConfigVersion.objects.create(config=trade.config, version=1, max_trade_micros=100 * ONE)
    skipped = CopyTradeFactory()
    record_events([(skipped.pk, Refusal(Reason.MAX_PER_TRADE, 12_345 * ONE, 10_000 * ONE, Unit.MONEY))], now=BEGINNING)
    archived = {field.attname: getattr(skipped, field.attname) for field in TradeFields._meta.fields}
    CopyTradeArchive.objects.create(
        trade_id=1, config_id=1, signal_id=1, follower_id=1, leader_id=1, idempotency_key="old", **archived
    )
    SignalSourceTotal.objects.create(group=SignalGroupFactory(), source="poll", size_micros=1, notional_micros=1)
    SignalCursor.objects.create(source="poll", position="1")
    LeaderPosition.objects.create(leader=trade.leader, token_id=TOKEN, size_micros=2_000 * ONE)
    ShardLease.objects.create(shard=0, of=9_999)
    ShardStandby.objects.create(holder="trader-2:77", shard=0, of=9_999, since=BEGINNING)
    DashboardSequence.objects.create(last=1)
    DashboardEvent.objects.create(sequence=1, kind="trade", payload={"id": 1})
    ReferralVolume.objects.create(referrer=trade.follower, day=date(2026, 6, 1), volume_micros=2_000 * ONE)
    note = AuditNote(
        actor="olga", action="change", subject="copytrading.leader", before={"name": "a"}, after={"name": "b"}
    )
    write_audit([note])
    Breaker.objects.create(kind="FAILURE_RATE", scope="VENUE", key="clob")
    CarriedSize.objects.create(config=trade.config, token_id=TOKEN, size_micros=3 * ONE)
    CopiedPosition.objects.create(config=trade.config, token_id=TOKEN, size_micros=100 * ONE, spent_micros=50 * ONE)
    TradingAccount.objects.create(follower=trade.follower, signer=trade.follower.wallet, missing=[])
    VenueFill.objects.create(
        trade=trade,
        venue_trade_id="t-1",
        order_hash=f"0x{1:064x}",
        size_micros=ONE,
        price_micros=500_000,
        cost_micros=ONE // 2,
        status="CONFIRMED",
        matched_at=BEGINNING,
    )
    Standing.objects.create(config=trade.config, profit_micros=7 * ONE, peak_micros=9 * ONE)
