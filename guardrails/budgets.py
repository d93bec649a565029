"""Which of many wishes fit into budgets, follower by follower in a stated order. Pure.

The same function rules on locked rows in the prewrite, so its answer is final there. Each copy looks at up to eight
budgets three times over, so what names and bounds them are plain tuples, made once for a window (docs/benchmarks.md).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from guardrails.intents import Reason, Refusal, Unit

CACHED_MAX = 65_536
"""Bounds and masks remembered: far above the followers, leaders and markets at work within an hour."""

MOMENTS_CACHED_MAX = 1_024
"""Moments whose window is remembered: a batch asks about one of them for each of its copies."""


class BudgetScope(StrEnum):
    """Whom a budget bounds; the order is the order of locking."""

    FOLLOWER = "FOLLOWER"
    GLOBAL = "GLOBAL"
    LEADER = "LEADER"
    MARKET = "MARKET"


class Period(StrEnum):
    """The window of a budget; days and hours are UTC."""

    HOUR = "HOUR"
    DAY = "DAY"


class BudgetKey(NamedTuple):
    """One budget row; sorting by it is the order in which rows are locked."""

    scope: BudgetScope
    key: str
    period: Period
    starts_at: datetime


@dataclass(frozen=True, slots=True)
class Bound:
    """The most a budget may hold; None is no bound."""

    money_micros: int | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class Spent:
    """What a budget holds now: money at limit prices, and copies."""

    micros: int = 0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Wish:
    """What one copy would take from each of its budgets."""

    cost_micros: int
    counts: int
    budgets: tuple[tuple[BudgetKey, Bound], ...]


class PeriodBounds(NamedTuple):
    """The four bounds that an operator may set for one leader, market or follower, or for all."""

    hourly_micros: int | None = None
    daily_micros: int | None = None
    hourly_count: int | None = None
    daily_count: int | None = None


_BITS = {
    (scope, period): 1 << index
    for index, (scope, period) in enumerate((scope, period) for scope in BudgetScope for period in Period)
}


NOTHING_SPENT = Spent()


@lru_cache(maxsize=MOMENTS_CACHED_MAX)
def window_start(period: Period, now: datetime) -> datetime:
    """The start of the window that holds `now` (aware, UTC)."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    return hour if period is Period.HOUR else hour.replace(hour=0)


def bounded(
    scope: BudgetScope, key: str, bounds: PeriodBounds, *, now: datetime
) -> tuple[tuple[BudgetKey, Bound], ...]:
    """The budgets that these bounds make necessary; a period without a bound is not counted."""
    return _bounded(scope, key, bounds, window_start(Period.HOUR, now))


@lru_cache(maxsize=CACHED_MAX)
def _bounded(
    scope: BudgetScope, key: str, bounds: PeriodBounds, hour_at: datetime
) -> tuple[tuple[BudgetKey, Bound], ...]:
    hour = Bound(bounds.hourly_micros, bounds.hourly_count)
    day = Bound(bounds.daily_micros, bounds.daily_count)
    return tuple(
        (BudgetKey(scope, key, period, window_start(period, hour_at)), bound)
        for period, bound in ((Period.HOUR, hour), (Period.DAY, day))
        if bound.money_micros is not None or bound.count is not None
    )


def mask_of(keys: Iterable[BudgetKey]) -> int:
    """Which budgets granted a copy, one bit for each scope and period, kept on its row for the release."""
    mask = 0
    for key in keys:
        mask |= _BITS[key.scope, key.period]
    return mask


def keys_of(mask: int, keys: Mapping[BudgetScope, str], decided_at: datetime) -> tuple[BudgetKey, ...]:
    """The budgets that granted a copy, from its mask, its ids and the moment of its decision."""
    windows = _windows(mask, window_start(Period.HOUR, decided_at))
    return tuple(BudgetKey(scope, keys[scope], period, starts_at) for scope, period, starts_at in windows)


@lru_cache(maxsize=CACHED_MAX)
def _windows(mask: int, hour_at: datetime) -> tuple[tuple[BudgetScope, Period, datetime], ...]:
    return tuple((scope, period, window_start(period, hour_at)) for (scope, period), bit in _BITS.items() if mask & bit)


def refusals(wish: Wish, spent: Mapping[BudgetKey, Spent]) -> tuple[Refusal, ...]:
    """Every bound that this wish would pass, with the total it would reach."""
    found: list[Refusal] = []
    for key, bound in wish.budgets:
        now = spent.get(key, NOTHING_SPENT)
        money, count = now.micros + wish.cost_micros, now.count + wish.counts
        if bound.money_micros is not None and money > bound.money_micros:
            found.append(Refusal(_reason(key, "LIMIT"), money, bound.money_micros, Unit.MONEY))
        if bound.count is not None and count > bound.count and wish.counts:
            found.append(Refusal(_reason(key, "COUNT"), count, bound.count, Unit.COUNT))
    return tuple(found)


def take(wish: Wish, spent: dict[BudgetKey, Spent]) -> None:
    """Add a granted wish to its budgets."""
    for key, _bound in wish.budgets:
        now = spent.get(key, NOTHING_SPENT)
        spent[key] = Spent(now.micros + wish.cost_micros, now.count + wish.counts)


def grant(
    wishes: Sequence[Wish], spent: Mapping[BudgetKey, Spent]
) -> tuple[list[tuple[Refusal, ...]], dict[BudgetKey, Spent]]:
    """Grant in the given order: for each wish its refusals (none = granted), and what the budgets hold after."""
    after = dict(spent)
    answers: list[tuple[Refusal, ...]] = []
    for wish in wishes:
        refused = refusals(wish, after)
        if not refused:
            take(wish, after)
        answers.append(refused)
    return answers, after


def _reason(key: BudgetKey, measure: str) -> Reason:
    return Reason(f"{key.scope}_{'HOURLY' if key.period is Period.HOUR else 'DAILY'}_{measure}")
