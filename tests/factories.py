"""Rows with safe defaults: a paper follower, lena's leader-like trade of $500, a copy that was skipped.

Everything not named by a test is valid and unremarkable. `trade_in` gives a copy trade in any state.
"""

from datetime import timedelta
from hashlib import blake2b
from typing import Any

import factory

from copytrading.models import CopyConfig, CopyTrade, Follower, Leader, Signal, SignalGroup
from copytrading.states import OPEN, Status
from execution.models import Market, Position
from execution.orders import ExchangeDomain, OrderType
from ledger.models import CashBalance
from ledger.units import ONE
from tests.doors import BEGINNING

TOKEN = 2**255 + 19
"""A token of ordinary length: 78 digits, above every native integer."""


def digest(name: str, size: int = 32) -> str:
    """A hash-like text that is the same in every run: 32 bytes for hashes and conditions, 20 for wallets."""
    return f"0x{blake2b(name.encode(), digest_size=size).hexdigest()}"


def wallet(name: str) -> str:
    """The wallet of somebody in the cast."""
    return digest(f"wallet of {name}", size=20)


class LeaderFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Leader

    name = factory.Sequence(lambda number: f"leader {number}")
    wallet = factory.LazyAttribute(lambda leader: wallet(leader.name))


class FollowerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Follower

    name = factory.Sequence(lambda number: f"follower {number}")
    wallet = factory.LazyAttribute(lambda follower: wallet(follower.name))
    mode = Follower.Mode.PAPER


class CopyConfigFactory(factory.django.DjangoModelFactory):
    """10 % of the leader's shares, at most $100 a trade, below the minimum SKIP, slippage 200 bps."""

    class Meta:
        model = CopyConfig

    follower = factory.SubFactory(FollowerFactory)
    leader = factory.SubFactory(LeaderFactory)
    sizing = CopyConfig.Sizing.PERCENTAGE
    percentage_bps = 1_000
    max_trade_micros = 100 * ONE
    below_minimum = CopyConfig.BelowMinimum.SKIP
    slippage_bps_max = 200


class MarketFactory(factory.django.DjangoModelFactory):
    """An open market of version 1 with tick 0.01, minimum 5 shares and no fees, as the venue said."""

    class Meta:
        model = Market

    title = factory.Sequence(lambda number: f"Will it rain on day {number}?")
    condition_id = factory.LazyAttribute(lambda market: digest(market.title))
    first_token_id = factory.Sequence(lambda number: TOKEN + 2 * number)
    second_token_id = factory.LazyAttribute(lambda market: market.first_token_id + 1)
    first_outcome = "Yes"
    second_outcome = "No"
    version = "v1"
    neg_risk = False
    tick_micros = 10_000
    fee_rate_bps = 0


class SignalGroupFactory(factory.django.DjangoModelFactory):
    """A leader's buy of 1,000 shares at 0.50, already acted on."""

    class Meta:
        model = SignalGroup

    leader = factory.SubFactory(LeaderFactory)
    tx_hash = factory.Sequence(lambda number: digest(f"leader transaction {number}"))
    key = factory.LazyAttribute(lambda group: digest(f"group {group.tx_hash}", size=16)[2:])
    kind = "TRADE"
    condition_id = digest("condition")
    token_id = TOKEN
    side = "BUY"
    acted_size_micros = 1_000 * ONE
    acted_notional_micros = 500 * ONE
    parts = 1
    traded_at = BEGINNING


class SignalFactory(factory.django.DjangoModelFactory):
    """The only part of its group, and done."""

    class Meta:
        model = Signal

    group = factory.SubFactory(SignalGroupFactory)
    leader = factory.SelfAttribute("group.leader")
    part = 1
    source = "test"
    side = factory.SelfAttribute("group.side")
    token_id = factory.SelfAttribute("group.token_id")
    condition_id = factory.SelfAttribute("group.condition_id")
    size_micros = 1_000 * ONE
    total_size_micros = factory.SelfAttribute("size_micros")
    price_micros = ONE // 2
    traded_at = BEGINNING
    detected_at = BEGINNING
    done_at = BEGINNING


class CopyTradeFactory(factory.django.DjangoModelFactory):
    """A copy of a signal for its config's follower: SKIPPED, or with `pending=True` sent with a reserved order.

    The order buys 100 shares with the limit 0.51.
    """

    class Meta:
        model = CopyTrade

    class Params:
        pending = factory.Trait(
            status=Status.PENDING,
            reasons=[],
            size_micros=100 * ONE,
            limit_micros=510_000,
            reserved_micros=51 * ONE,
            budget_micros=51 * ONE,
            budget_count=1,
            domain=ExchangeDomain.CTF_V2.value,
            signer=wallet("the test's signer"),
            order_type=OrderType.FAK.value,
            tick_micros=10_000,
            salt=factory.Sequence(lambda number: number),
            order_timestamp_ms=int(BEGINNING.timestamp()) * 1_000,
            maker_amount=51 * ONE,
            taker_amount=100 * ONE,
            order_hash=factory.Sequence(lambda number: digest(f"order {number}")),
            locked_by="a test",
            locked_at=BEGINNING,
            lock_token="1" * 32,
            attempts=1,
            expires_at=BEGINNING + timedelta(minutes=10),
        )

    config = factory.SubFactory(CopyConfigFactory)
    config_version = factory.SelfAttribute("config.version")
    follower = factory.SelfAttribute("config.follower")
    leader = factory.SelfAttribute("config.leader")
    signal = factory.SubFactory(SignalFactory, group__leader=factory.SelfAttribute("...config.leader"))
    mode = factory.SelfAttribute("follower.mode")
    side = factory.SelfAttribute("signal.side")
    token_id = factory.SelfAttribute("signal.token_id")
    condition_id = factory.SelfAttribute("signal.condition_id")
    leader_size_micros = factory.SelfAttribute("signal.size_micros")
    leader_price_micros = factory.SelfAttribute("signal.price_micros")
    idempotency_key = factory.Sequence(lambda number: digest(f"copy {number}", size=16)[2:])
    status = Status.SKIPPED
    reasons = factory.LazyFunction(
        lambda: [{"reason": "BELOW_MINIMUM", "value": 3 * ONE, "limit": 5 * ONE, "unit": "shares"}]
    )
    detected_at = factory.SelfAttribute("signal.detected_at")
    decided_at = BEGINNING


class PositionFactory(factory.django.DjangoModelFactory):
    """200 shares that cost $100."""

    class Meta:
        model = Position

    follower = factory.SubFactory(FollowerFactory)
    token_id = TOKEN
    condition_id = digest("condition")
    size_micros = 200 * ONE
    cost_micros = 100 * ONE


class CashBalanceFactory(factory.django.DjangoModelFactory):
    """$10,000, nothing reserved."""

    class Meta:
        model = CashBalance

    follower = factory.SubFactory(FollowerFactory)
    cash_micros = 10_000 * ONE


def columns_of(status: Status) -> dict[str, Any]:
    """What a sent copy's row must hold besides its status in this state, as the database's constraints demand."""
    columns: dict[str, Any] = {"status": status, "reserved_micros": 51 * ONE if status in OPEN else 0}
    columns |= {"fill_size_micros": 0, "executed_at": None}
    if status is Status.EXECUTED:
        columns |= {"fill_size_micros": 100 * ONE, "fill_price_micros": ONE // 2, "executed_at": BEGINNING}
        columns |= {"fill_cost_micros": 50 * ONE}
    if status is Status.SKIPPED:
        columns |= {"budget_micros": 0, "budget_count": 0}
    return columns


def trade_in(status: Status, **fields: Any) -> CopyTrade:
    """A copy trade in this state, reached as the database allows: born first, then moved."""
    if status is Status.SKIPPED:
        return CopyTradeFactory(**fields)
    if status is Status.READY:
        return CopyTradeFactory(status=status, reasons=[], size_micros=100 * ONE, limit_micros=510_000, **fields)
    trade = CopyTradeFactory(pending=True, **fields)
    if status is not Status.PENDING:
        CopyTrade.objects.filter(pk=trade.pk).update(**columns_of(status))
        trade.refresh_from_db()
    return trade
