"""The guardrails, one short function each, and the tuples that order them. Pure.

A rule answers a refusal with the value it saw and the limit it holds, or None. Evaluating returns every
refusal, not only the first. Budgets are ruled on locked rows instead (`guardrails.budgets`).
"""

from collections.abc import Callable, Iterable

from guardrails.intents import Facts, Limits, Reason, Refusal, TradeIntent, Unit, Verdict
from ledger.units import Side

Rule = Callable[[TradeIntent, Facts, Limits], Refusal | None]


def global_pause(_intent: TradeIntent, facts: Facts, _limits: Limits) -> Refusal | None:
    """Nothing is copied while the operator has paused everything."""
    return Refusal(Reason.GLOBAL_PAUSE) if facts.global_pause else None


def follower_pause(_intent: TradeIntent, facts: Facts, _limits: Limits) -> Refusal | None:
    """Nothing is copied for a paused follower."""
    return Refusal(Reason.FOLLOWER_PAUSED) if facts.follower_paused else None


def leader_pause(_intent: TradeIntent, facts: Facts, _limits: Limits) -> Refusal | None:
    """Nothing of a paused leader is copied."""
    return Refusal(Reason.LEADER_PAUSED) if facts.leader_paused else None


def market_pause(_intent: TradeIntent, facts: Facts, _limits: Limits) -> Refusal | None:
    """Nothing is copied in a paused market."""
    return Refusal(Reason.MARKET_PAUSED) if facts.market_paused else None


def breaker(_intent: TradeIntent, facts: Facts, _limits: Limits) -> Refusal | None:
    """Nothing that an open circuit breaker holds back: everything, or the buys, of everybody, a venue or an account."""
    return Refusal(Reason.BREAKER_OPEN) if facts.breaker_open else None


def allowlist(_intent: TradeIntent, facts: Facts, _limits: Limits) -> Refusal | None:
    """Where an allowlist is set, only its followers trade."""
    return None if facts.follower_allowed else Refusal(Reason.NOT_ALLOWED)


def max_per_trade(intent: TradeIntent, _facts: Facts, limits: Limits) -> Refusal | None:
    """No single buy above the operator's bound, measured at the limit price."""
    bound = limits.max_per_trade_micros
    if bound is None or intent.side is Side.SELL or intent.cost_micros <= bound:
        return None
    return Refusal(Reason.MAX_PER_TRADE, intent.cost_micros, bound, Unit.MONEY)


def dry_run(_intent: TradeIntent, facts: Facts, _limits: Limits) -> Refusal | None:
    """Planned and signed, but never sent."""
    return Refusal(Reason.DRY_RUN) if facts.dry_run else None


PAUSES: tuple[Rule, ...] = (global_pause, follower_pause, leader_pause, market_pause, breaker)
"""Asked before the plan, and once more at the last hop before the bytes leave."""

BEFORE_PLAN: tuple[Rule, ...] = (*PAUSES, allowlist, max_per_trade)
"""Asked before a price is fetched."""

AFTER_PLAN: tuple[Rule, ...] = (dry_run,)
"""Asked when the order is planned and signed."""


def evaluate(rules: Iterable[Rule], intent: TradeIntent, facts: Facts, limits: Limits) -> Verdict:
    """Every refusal of these rules, in their order."""
    return Verdict(refusals=tuple(r for rule in rules if (r := rule(intent, facts, limits)) is not None))
