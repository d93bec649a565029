"""Reads what followers chose, as the decisions see it. One query, and no model for each row: they are read often."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from copytrading.decide import Config, Direction, Sides
from copytrading.filters import FilterTerms
from copytrading.models import CopyConfig
from copytrading.sizing import BelowMinimum, SellSizing, Sizing, SizingTerms
from guardrails.budgets import PeriodBounds
from guardrails.intents import Reason, Refusal, Unit

LIMITS = ("hourly_limit_micros", "daily_limit_micros", "hourly_limit_count", "daily_limit_count")
COLUMNS = (
    *("pk", "version", "follower_id", "leader_id", "follower__wallet", "follower__mode", "leader__bankroll_micros"),
    *("sizing", "percentage_bps", "amount_micros", "floor_micros", "cap_micros", "max_trade_micros", "below_minimum"),
    *("shares_micros", "tiers", "sell_sizing", "sell_amount_micros", "sell_percentage_bps"),
    *("slippage_bps_max", "sides", "min_trigger_micros", "max_odds_micros", "direction", "max_per_market_micros"),
    *("max_days_out", "min_liquidity_micros", "min_volume_micros", "categories", "keywords"),
    *("standing__stopped_at", "standing__stopped_reason"),
    *("standing__stopped_value_micros", "standing__stopped_limit_micros"),
    *(f"follower__{name}" for name in LIMITS),
    *(f"leader__{name}" for name in LIMITS),
)

FILTERS_MAX = 4_096
"""Different filters remembered: people choose from few."""


def active_configs(leader_ids: Iterable[int]) -> dict[int, tuple[Config, ...]]:
    """The active configs of these leaders in the stated order of granting: by config id."""
    found: dict[int, list[Config]] = {leader: [] for leader in leader_ids}
    rows = CopyConfig.objects.filter(leader_id__in=list(found), active=True).order_by("id")
    for row in rows.values_list(*COLUMNS, named=True):
        found[row.leader_id].append(_config(row))
    return {leader: tuple(configs) for leader, configs in found.items()}


def _config(row: Any) -> Config:
    return Config(
        config_id=row.pk,
        version=row.version,
        follower_id=row.follower_id,
        follower_wallet=row.follower__wallet,
        mode=row.follower__mode,
        leader_id=row.leader_id,
        terms=_terms(row),
        slippage_bps_max=row.slippage_bps_max,
        sides=Sides(row.sides),
        min_trigger_micros=row.min_trigger_micros,
        max_odds_micros=row.max_odds_micros,
        follower_bounds=PeriodBounds(*row[-2 * len(LIMITS) : -len(LIMITS)]),
        leader_bounds=PeriodBounds(*row[-len(LIMITS) :]),
        direction=Direction(row.direction),
        filters=_filters(
            row.max_days_out,
            row.min_liquidity_micros,
            row.min_volume_micros,
            categories=_texts_of(row.categories),
            keywords=_texts_of(row.keywords),
        ),
        max_per_market_micros=row.max_per_market_micros,
        leader_bankroll_micros=row.leader__bankroll_micros,
        stopped=_stop(row) if row.standing__stopped_at is not None else None,
    )


def _terms(row: Any) -> SizingTerms:
    return SizingTerms(
        sizing=Sizing(row.sizing),
        percentage_bps=row.percentage_bps,
        amount_micros=row.amount_micros,
        floor_micros=row.floor_micros,
        cap_micros=row.cap_micros,
        max_trade_micros=row.max_trade_micros,
        below_minimum=BelowMinimum(row.below_minimum),
        shares_micros=row.shares_micros,
        tiers=_tiers_of(row.tiers),
        sell_sizing=SellSizing(row.sell_sizing),
        sell_amount_micros=row.sell_amount_micros,
        sell_percentage_bps=row.sell_percentage_bps,
    )


@lru_cache(maxsize=FILTERS_MAX)
def _filters(
    days: int | None,
    liquidity: int | None,
    volume: int | None,
    *,
    categories: tuple[str, ...],
    keywords: tuple[str, ...],
) -> FilterTerms:
    return FilterTerms(
        max_days_out=days,
        min_liquidity_micros=liquidity,
        min_volume_micros=volume,
        categories=categories,
        keywords=keywords,
    )


def _stop(row: Any) -> Refusal:
    reason = Reason(row.standing__stopped_reason)
    return Refusal(reason, row.standing__stopped_value_micros, row.standing__stopped_limit_micros, Unit.MONEY)


def _tiers_of(stored: object) -> tuple[tuple[int, int], ...]:
    """The stored pairs; none, which copies nothing, where somebody stored something else past the forms."""
    pairs = stored if isinstance(stored, list) else []
    if not all(isinstance(pair, list) and [type(each) for each in pair] == [int, int] for pair in pairs):
        return ()
    return tuple((pair[0], pair[1]) for pair in pairs)


def _texts_of(stored: object) -> tuple[str, ...]:
    """The stored texts; one that nothing fits where somebody stored something else past the forms."""
    if isinstance(stored, list) and all(isinstance(each, str) for each in stored):
        return tuple(stored)
    return ("",)
