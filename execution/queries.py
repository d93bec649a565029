"""Reads about markets and positions, returned as frozen values."""

from collections.abc import Iterable
from dataclasses import dataclass

from execution.fees import FeeTerms
from execution.models import Market, Position
from execution.preflight import MarketTerms
from guardrails.budgets import PeriodBounds
from guardrails.models import SpendingLimits
from ledger.units import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketFacts:
    """A market's order terms, and the operator's own bounds for it."""

    terms: MarketTerms
    bounds: PeriodBounds


def bounds_of(row: SpendingLimits) -> PeriodBounds:
    """A row's four limits as a value."""
    return PeriodBounds(
        hourly_micros=row.hourly_limit_micros,
        daily_micros=row.daily_limit_micros,
        hourly_count=row.hourly_limit_count,
        daily_count=row.daily_limit_count,
    )


def markets(condition_ids: Iterable[str]) -> dict[str, MarketFacts]:
    """The known ones among these markets."""
    return {row.condition_id: _facts(row) for row in Market.objects.filter(condition_id__in=set(condition_ids))}


def holdings(follower_ids: Iterable[int], token_ids: Iterable[int]) -> dict[tuple[int, int], Micros]:
    """Free shares by (follower, token): held and not reserved by an open sell."""
    rows = Position.objects.filter(follower_id__in=set(follower_ids), token_id__in=set(token_ids))
    return {
        (follower, token): Micros(size - reserved)
        for follower, token, size, reserved in rows.values_list(
            "follower_id", "token_id", "size_micros", "reserved_micros"
        )
    }


def _facts(row: Market) -> MarketFacts:
    return MarketFacts(
        terms=MarketTerms(
            tick_micros=Micros(row.tick_micros),
            min_size_micros=Micros(row.min_size_micros),
            accepting_orders=row.accepting_orders,
            closed=row.closed,
            version=row.version,
            neg_risk=row.neg_risk,
            fee=FeeTerms(rate_bps=row.fee_rate_bps, exponent=row.fee_exponent),
        ),
        bounds=bounds_of(row),
    )
