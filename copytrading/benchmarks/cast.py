"""Who takes part in a benchmark: followers with every budget and guardrail set, so roomy that none of them refuses.

Nothing is switched off to look fast: each copy is checked against all of it and written to all of it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from copytrading.facts import OperatorBounds
from copytrading.models import CopyConfig, Follower, Leader, Signal
from copytrading.operations.cast import seed_configs, seed_followers, seed_leaders
from copytrading.signals import LeaderAction
from execution.models import Market
from guardrails.budgets import PeriodBounds
from guardrails.intents import Limits
from ledger.clock import Clock
from ledger.units import ONE, Micros

ROOMY_MICROS = Micros(1_000_000_000 * ONE)
ROOMY_COUNT = 1_000_000_000
CASH_MICROS = 10_000_000 * ONE
"""Of each follower: more than any benchmark spends."""

CATEGORY = "Benchmark"

ROOMY_BOUNDS = PeriodBounds(
    hourly_micros=ROOMY_MICROS, daily_micros=ROOMY_MICROS, hourly_count=ROOMY_COUNT, daily_count=ROOMY_COUNT
)

_LIMITS: dict[str, Any] = {
    "hourly_limit_micros": ROOMY_MICROS,
    "daily_limit_micros": ROOMY_MICROS,
    "hourly_limit_count": ROOMY_COUNT,
    "daily_limit_count": ROOMY_COUNT,
}
_FILTERS: dict[str, Any] = {
    "max_days_out": 3_650,
    "min_liquidity_micros": ONE,
    "min_volume_micros": ONE,
    "categories": [CATEGORY],
    "max_per_market_micros": ROOMY_MICROS,
}
_STOPS: dict[str, Any] = {
    "take_profit_micros": ROOMY_MICROS,
    "stop_loss_micros": ROOMY_MICROS,
    "max_drawdown_micros": ROOMY_MICROS,
}


class NotScratch(Exception):
    """The database holds somebody's rows; the message is a sentence for people."""


def require_scratch() -> None:
    """Raises NotScratch unless the database holds no leader, follower or signal."""
    if any(model.objects.exists() for model in (Leader, Follower, Signal)):
        raise NotScratch(
            "This database has leaders, followers or signals, and a benchmark writes thousands of rows that nothing "
            "removes: name an empty scratch database with DATABASE_URL, and migrate it first."
        )


def seed_cast(wallets: Iterable[str], followers: int, *, label: str) -> list[Follower]:
    """Leaders of these wallets, each followed by all these followers, with every limit, filter and stop set."""
    names = [f"Benchmark follower {number}" for number in range(1, followers + 1)]
    leaders = seed_leaders(dict.fromkeys(wallets, ""), holdings_complete=True)
    rows = seed_followers(names, label=label, cash_micros=CASH_MICROS)
    seed_configs(leaders, rows)
    Leader.objects.filter(pk__in=[leader.pk for leader in leaders]).update(**_LIMITS)
    Follower.objects.filter(pk__in=[row.pk for row in rows]).update(**_LIMITS)
    configs = CopyConfig.objects.filter(leader__in=leaders)
    configs.update(**_FILTERS, **_STOPS)
    configs.filter(max_trade_micros__isnull=True).update(max_trade_micros=ROOMY_MICROS)
    configs.filter(max_odds_micros__isnull=True).update(max_odds_micros=ONE - 1)
    return rows


def seed_markets(actions: Iterable[LeaderAction], clock: Clock) -> None:
    """The markets that these actions trade, with every fact that a filter asks for and with limits of their own."""
    named = {action.condition_id: action for action in actions if action.condition_id}
    rows = [
        Market(
            condition_id=condition_id,
            title=action.title,
            slug=action.slug,
            ends_at=clock.now() + timedelta(days=30),
            liquidity_micros=ROOMY_MICROS,
            volume_micros=ROOMY_MICROS,
            category=CATEGORY,
            **_LIMITS,
        )
        for condition_id, action in sorted(named.items())
    ]
    Market.objects.bulk_create(rows, ignore_conflicts=True)


def roomy_bounds(bounds: OperatorBounds, followers: Sequence[Follower]) -> OperatorBounds:
    """The operator's bounds, all of them set: global and market budgets, the allowlist, the maximum of a trade."""
    return replace(
        bounds,
        allowlist=frozenset(row.wallet for row in followers),
        limits=Limits(max_per_trade_micros=bounds.limits.max_per_trade_micros or ROOMY_MICROS),
        global_bounds=ROOMY_BOUNDS,
        market_bounds=ROOMY_BOUNDS,
    )
