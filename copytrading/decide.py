"""The two decisions, whole: `decide_copy` (size, filters, rules) and `plan_order` (price, order). Pure.

Both answer either a value to go on with or a `Skip` with every reason found.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from copytrading.filters import NO_FILTERS, FilterTerms, market_filter_refusals
from copytrading.sizing import Already, Aside, Size, SizingFacts, SizingTerms, size_copy, size_exit
from execution.about import UNKNOWN_ABOUT, MarketAbout
from execution.accounts import AccountFacts
from execution.books import Book, Level, match
from execution.orders import ExchangeDomain, OffTick, OrderDraft, OrderError, OrderPlan, OrderType, build_plan
from execution.preflight import MarketTerms, market_refusal, minimum_size, unsaid_refusals
from execution.pricing import Slippage, auto_limit, deviation_refusal, fee_refusal, limit_price
from guardrails.budgets import PeriodBounds
from guardrails.intents import Facts, Limits, Reason, Refusal, TradeIntent, Unit
from guardrails.rules import AFTER_PLAN, BEFORE_PLAN, evaluate
from ledger.units import ONE, Micros, Side, cost_down, cost_up

NOTHING = Micros(0)

FEE_BPS_MAX = 1_000
"""Of a config that says nothing: the venue's highest schedule asks for 700 (polymarket.md 2.6)."""

DOMAIN_VERSIONS = frozenset({"v1", "v2"})
"""Gamma's market versions whose order domain is known; any other is refused (polymarket.md 0)."""


class Sides(StrEnum):
    """Which of a leader's trades a follower wants."""

    BOTH = "BOTH"
    BUY = "BUY"
    SELL = "SELL"


class Direction(StrEnum):
    """With the leader, or against: the market's other token at one minus the leader's price."""

    SAME = "SAME"
    COUNTER = "COUNTER"


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """One follower's choices about one leader at a version, as the decisions see them.

    `stopped` is the stop that its copies reached, for which it buys no more. `began_at`: when it was made, or last
    activated; what the leader did before is history. None copies whatever is shown.
    """

    config_id: int
    version: int
    follower_id: int
    follower_wallet: str
    mode: str
    leader_id: int
    terms: SizingTerms
    slippage_bps_max: int
    sides: Sides
    min_trigger_micros: int
    max_odds_micros: int | None
    follower_bounds: PeriodBounds
    leader_bounds: PeriodBounds
    direction: Direction = Direction.SAME
    slippage: Slippage = Slippage.FIXED
    fee_bps_max: int = FEE_BPS_MAX
    order_type: OrderType = OrderType.FAK
    filters: FilterTerms = NO_FILTERS
    max_per_market_micros: int | None = None
    leader_bankroll_micros: int | None = None
    stopped: Refusal | None = None
    began_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFacts:
    """A signal as the decisions see it; sizes in shares, the price in pUSD a share, all micros.

    Token and price are those to trade; the leader's own price is kept where they are not its own (see `against`).
    `only_config` names the one config of an exit, or of a standing position that is opened when a follow begins.
    """

    signal_id: int
    group_key: str
    part: int
    leader_id: int
    side: Side
    token_id: int
    condition_id: str
    size_micros: Micros
    total_size_micros: Micros
    price_micros: Micros
    leader_held_micros: Micros | None
    traded_at: datetime
    detected_at: datetime
    own_price_micros: Micros | None = None
    only_config: int | None = None

    @property
    def is_exit(self) -> bool:
        """Whether it sells out a stopped config."""
        return self.only_config is not None and self.side is Side.SELL

    @property
    def leader_cost_micros(self) -> Micros:
        """What the leader's whole group cost at its own price, rounded down."""
        return cost_down(self.total_size_micros, self.own_price_micros or self.price_micros)


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFacts:
    """What is known about one follower and the market when a signal is decided.

    `stale_after_s` None turns filters of age off (replay). `sold_already`: the leader sold of it later than this trade,
    and that was heard first. `account` is that of a follower who trades on the venue; without `real_trading` none may.
    """

    rule_facts: Facts
    limits: Limits
    market: MarketTerms
    already: Already
    held_micros: Micros
    stale_after_s: int | None
    about: MarketAbout = UNKNOWN_ABOUT
    bankroll_micros: int | None = None
    carried_micros: int = 0
    sold_already: bool = False
    account: AccountFacts | None = None
    real_trading: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What an order needs beside the intent; the salt and the moment fix its hash for life. `key` signs it.

    `left` is what the orders planned before have left of the book's side, None the whole of it. `whole_cents`: the
    venue takes an order that never rests only with few decimals (`orders.cut_amounts`); paper has no such rule.
    """

    book: Book | None
    market: MarketTerms
    maker: str
    signer: str
    signature_type: int
    salt: int
    timestamp_ms: int
    key: str = ""
    left: tuple[Level, ...] | None = None
    slippage: Slippage = Slippage.FIXED
    fee_bps_max: int = FEE_BPS_MAX
    order_type: OrderType = OrderType.FAK
    whole_cents: bool = False

    def levels(self, side: Side) -> tuple[Level, ...]:
        """What is there for an order of this side, best first."""
        if self.left is not None:
            return self.left
        return self.book.side_against(side) if self.book is not None else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """An order to send, the intent with the order's own limit, and the shares that it should take from the book."""

    plan: OrderPlan
    intent: TradeIntent
    takes_micros: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Skip:
    """Decided not to copy, with every reason; the intent where there was one, the plan after a dry run.

    `aside_micros` of it are put aside for the next copy.
    """

    refusals: tuple[Refusal, ...]
    intent: TradeIntent | None = None
    plan: OrderPlan | None = None
    aside_micros: Micros = NOTHING


def decide_copy(signal: SignalFacts, config: Config, facts: CopyFacts) -> TradeIntent | Skip:
    """Size, filters and rules for one follower; a copy refused by several keeps every reason."""
    refusals = list(filter_refusals(signal, config, facts))
    limit = limit_price(
        signal.price_micros, signal.side, slippage_bps=config.slippage_bps_max, tick_micros=facts.market.tick_micros
    )
    if limit is None:
        return Skip(refusals=(*refusals, Refusal(Reason.PRICE_OUT_OF_RANGE)))
    sizing = _sizing_facts(signal, config, facts, limit)
    size = size_exit(sizing) if signal.is_exit else size_copy(config.terms, sizing)
    if isinstance(size, Refusal):
        return Skip(refusals=(*refusals, size))
    intent = _intent(signal, config, size, limit, counted=facts.already.counted)
    refusals += evaluate(BEFORE_PLAN, intent, facts.rule_facts, facts.limits).refusals
    if isinstance(size, Aside):
        # What was refused anyway is not carried: it would be bought later by a way round the refusal.
        aside = NOTHING if refusals or facts.rule_facts.dry_run else size.size_micros
        return Skip(refusals=(*refusals, size.refusal), intent=intent, aside_micros=aside)
    return Skip(refusals=tuple(refusals), intent=intent) if refusals else intent


def against(signal: SignalFacts, other_token: int | None) -> SignalFacts | None:
    """The signal as a COUNTER follower trades it: the other token at one minus the price; None where it is unknown."""
    if other_token is None:
        return None
    price = Micros(ONE - signal.price_micros)
    return replace(signal, token_id=other_token, price_micros=price, own_price_micros=signal.price_micros)


def plan_order(intent: TradeIntent, order: OrderFacts, rule_facts: Facts, limits: Limits) -> Planned | Skip:
    """Check price, depth and fee against what is left of the book, and fix the order; a dry run ends here, planned."""
    levels = order.levels(intent.side)
    refusal = deviation_refusal(
        levels[0].price_micros if levels else None,
        intent.leader_price_micros,
        side=intent.side,
        slippage_bps=intent.slippage_bps_max,
    )
    if refusal is not None:
        return Skip(refusals=(refusal,), intent=intent)
    intent = _limited(intent, order, levels)
    found = match(levels, intent.side, size_micros=intent.size_micros, limit_micros=intent.limit_micros)
    refusal = _depth_refusal(found.size_micros, intent, order) or _fee_refusal(found.price_micros, intent, order)
    if refusal is not None:
        return Skip(refusals=(refusal,), intent=intent)
    try:
        plan = build_plan(_draft(intent, order))
    except OffTick:
        refusal = Refusal(Reason.PRICE_OUT_OF_RANGE, intent.limit_micros, order.market.tick_micros, Unit.PRICE)
        return Skip(refusals=(refusal,), intent=intent)
    except OrderError:
        return Skip(refusals=(Refusal(Reason.ORDER_IMPOSSIBLE),), intent=intent)
    refusals = evaluate(AFTER_PLAN, intent, rule_facts, limits).refusals
    if refusals:
        return Skip(refusals=refusals, intent=intent, plan=plan)
    return Planned(plan=plan, intent=intent, takes_micros=found.size_micros)


def _limited(intent: TradeIntent, order: OrderFacts, levels: tuple[Level, ...]) -> TradeIntent:
    """With AUTO, the intent at the limit that the book asks for; what it may cost falls with it."""
    if order.slippage is Slippage.FIXED or order.book is None:
        return intent
    limit = auto_limit(
        order.book,
        levels,
        side=intent.side,
        size_micros=intent.size_micros,
        bound_micros=intent.limit_micros,
        tick_micros=order.market.tick_micros,
    )
    return replace(intent, limit_micros=limit, cost_micros=cost_up(intent.size_micros, limit))


def _depth_refusal(found_micros: int, intent: TradeIntent, order: OrderFacts) -> Refusal | None:
    """Nothing within the limit, or for a FOK order less than the whole size: the venue would kill it."""
    if not found_micros:
        return Refusal(Reason.NO_LIQUIDITY)
    if order.order_type is OrderType.FOK and found_micros < intent.size_micros:
        return Refusal(Reason.NO_LIQUIDITY, found_micros, intent.size_micros, Unit.SHARES)
    return None


def _fee_refusal(price_micros: int, intent: TradeIntent, order: OrderFacts) -> Refusal | None:
    """Of a buy: a fee must not lock in what somebody wants to sell."""
    if intent.side is Side.SELL:
        return None
    return fee_refusal(price_micros, intent.leader_price_micros, terms=order.market.fee, fee_bps_max=order.fee_bps_max)


def filter_refusals(signal: SignalFacts, config: Config, facts: CopyFacts) -> tuple[Refusal, ...]:
    """The follower's filters. Those on price and size guard the opening of exposure; an exit passes them."""
    closed = market_refusal(closed=facts.market.closed, accepting_orders=facts.market.accepting_orders)
    found: list[Refusal] = [closed] if closed else []
    if facts.market.version not in DOMAIN_VERSIONS:
        found.append(Refusal(Reason.UNKNOWN_MARKET_VERSION))
    found += _mode_refusals(config.mode, facts)
    if signal.is_exit:
        return tuple(found)
    if config.sides is not Sides.BOTH and config.sides.value != signal.side.value:
        found.append(Refusal(Reason.SIDE_FILTERED))
    if facts.stale_after_s is not None:
        found += _age_refusals(signal, config, now=facts.rule_facts.now, stale_after_s=facts.stale_after_s)
    if signal.side is Side.BUY:
        found += _opening_refusals(signal, config, facts)
    return tuple(found)


def _age_refusals(signal: SignalFacts, config: Config, *, now: datetime, stale_after_s: int) -> list[Refusal]:
    """Too old for anybody, and older than this follow: what others heard of the leader before is its history.

    The venue's times are whole seconds, so the second in which the follow began counts as after it. A standing position
    is opened because the follow began, and its time is another clock's.
    """
    found: list[Refusal] = []
    age = int((now - signal.traded_at).total_seconds())
    if age > stale_after_s:
        found.append(Refusal(Reason.STALE_SIGNAL, age, stale_after_s, Unit.SECONDS))
    began = config.began_at
    if began is not None and signal.only_config is None and signal.traded_at < began.replace(microsecond=0):
        found.append(Refusal(Reason.BEFORE_FOLLOW))
    return found


def _mode_refusals(mode: str, facts: CopyFacts) -> tuple[Refusal, ...]:
    if mode == "PAPER":
        return ()
    if mode != "EXCHANGE" or not facts.real_trading:
        return (Refusal(Reason.MODE_UNAVAILABLE),)
    unsaid = unsaid_refusals(facts.market.unsaid)
    if facts.account is None:
        return (*unsaid, Refusal(Reason.ACCOUNT_NOT_READY, subject="there is no trading account"))
    return (*unsaid, *facts.account.refusals)


def _opening_refusals(signal: SignalFacts, config: Config, facts: CopyFacts) -> list[Refusal]:
    found: list[Refusal] = [config.stopped] if config.stopped is not None else []
    if facts.sold_already:
        # The sale is decided: nothing would ever sell what is bought now.
        found.append(Refusal(Reason.SOLD_ALREADY))
    paid = signal.leader_cost_micros
    if paid < config.min_trigger_micros:
        found.append(Refusal(Reason.BELOW_TRIGGER, paid, config.min_trigger_micros, Unit.MONEY))
    odds = config.max_odds_micros
    if odds is not None and signal.price_micros > odds:
        found.append(Refusal(Reason.MAX_ODDS, signal.price_micros, odds, Unit.PRICE))
    return [*found, *market_filter_refusals(config.filters, facts.about, now=facts.rule_facts.now)]


def _sizing_facts(signal: SignalFacts, config: Config, facts: CopyFacts, limit: Micros) -> SizingFacts:
    return SizingFacts(
        side=signal.side,
        part_micros=signal.size_micros,
        total_micros=signal.total_size_micros,
        already=facts.already,
        limit_micros=limit,
        minimum_micros=minimum_size(signal.side, limit, min_size_micros=facts.market.min_size_micros),
        held_micros=facts.held_micros,
        leader_held_micros=signal.leader_held_micros,
        leader_cost_micros=signal.leader_cost_micros,
        bankroll_micros=facts.bankroll_micros,
        leader_bankroll_micros=config.leader_bankroll_micros,
        carried_micros=facts.carried_micros,
    )


def _intent(signal: SignalFacts, config: Config, size: Size | Aside, limit: Micros, *, counted: bool) -> TradeIntent:
    return TradeIntent(
        config_id=config.config_id,
        follower_id=config.follower_id,
        leader_id=signal.leader_id,
        token_id=signal.token_id,
        condition_id=signal.condition_id,
        side=signal.side,
        size_micros=size.size_micros,
        limit_micros=limit,
        cost_micros=cost_up(size.size_micros, limit),
        leader_price_micros=signal.price_micros,
        slippage_bps_max=config.slippage_bps_max,
        # A group is one trade of the leader: its later parts do not count again.
        counts=0 if counted else 1,
        notes=size.notes if isinstance(size, Size) else (),
        taken_micros=size.taken_micros if isinstance(size, Size) else NOTHING,
    )


def _draft(intent: TradeIntent, order: OrderFacts) -> OrderDraft:
    return OrderDraft(
        domain=domain_of(order.market),
        maker=order.maker,
        signer=order.signer,
        signature_type=order.signature_type,
        token_id=intent.token_id,
        side=intent.side,
        size_micros=intent.size_micros,
        limit_micros=intent.limit_micros,
        tick_micros=order.market.tick_micros,
        salt=order.salt,
        timestamp_ms=order.timestamp_ms,
        order_type=order.order_type,
        whole_cents=order.whole_cents,
        book_version=order.book.version if order.book else "",
        key=order.key,
    )


def domain_of(market: MarketTerms) -> ExchangeDomain:
    """The exchange of a market, chosen by its version and never by which fields are present (polymarket.md 0)."""
    if market.version == "v2":
        return ExchangeDomain.V3
    return ExchangeDomain.NEG_RISK_V2 if market.neg_risk else ExchangeDomain.CTF_V2
