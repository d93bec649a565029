"""Reads what followers chose, as the decisions see it. One query, and no model for each row: they are read often."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.db import connection, models
from django.db.models import Case, F, OuterRef, QuerySet, Subquery, When
from django.db.models.functions import Coalesce

from copytrading.decide import Config, Direction, Sides
from copytrading.filters import FilterTerms
from copytrading.models import CopyConfig, CopyConfigVersion, Follower, Leader, Standing
from copytrading.sizing import BelowMinimum, SellSizing, Sizing, SizingTerms
from execution.orders import OrderType
from execution.pricing import Slippage
from guardrails.budgets import PeriodBounds
from guardrails.intents import Reason, Refusal, Unit
from ledger.questions import Question, Row, together
from ledger.sql import database_now

LIMITS = ("hourly_limit_micros", "daily_limit_micros", "hourly_limit_count", "daily_limit_count")
COLUMNS = (
    *("pk", "version", "follower_id", "leader_id", "follower__wallet", "follower__mode", "leader__bankroll_micros"),
    *("sizing", "percentage_bps", "amount_micros", "floor_micros", "cap_micros", "max_trade_micros", "below_minimum"),
    *("shares_micros", "tiers", "sell_sizing", "sell_amount_micros", "sell_percentage_bps"),
    *("slippage_bps_max", "slippage", "fee_bps_max", "order_type"),
    *("sides", "min_trigger_micros", "max_odds_micros", "direction", "max_per_market_micros"),
    *("max_days_out", "min_liquidity_micros", "min_volume_micros", "categories", "keywords"),
    *("standing__stopped_at", "standing__stopped_reason"),
    *("standing__stopped_value_micros", "standing__stopped_limit_micros"),
    "began_at",
    *(f"follower__{name}" for name in LIMITS),
    *(f"leader__{name}" for name in LIMITS),
)

SOURCES: tuple[tuple[str, type[models.Model], str], ...] = (
    ("config", CopyConfig, "pk"),
    ("follower", Follower, "follower_id"),
    ("leader", Leader, "leader_id"),
    ("standing", Standing, "standing__pk"),
)
"""The tables that a config is read from, and how a config names their rows."""

_VERSIONS = CopyConfigVersion.objects.filter(config=OuterRef("pk"))
_SLEPT = CopyConfigVersion.objects.filter(config=OuterRef("config_id"), active=False).order_by("-version")
_WOKEN = _VERSIONS.filter(active=True, version__gt=Subquery(_SLEPT.values("version")[:1])).order_by("version")

_BEGAN_AT = Case(
    # Most configs were never changed: for them nothing is looked up.
    When(version=1, then=F("created_at")),
    default=Coalesce(Subquery(_WOKEN.values("created_at")[:1]), F("created_at")),
)
"""When an active config was made, or activated for the last time: the first version after the last inactive one.

The first version's own row says nothing: it may have been written with the second."""

CHOICES_MAX = 4_096
"""Different filters, terms and bounds remembered: people choose from few, so that many configs share one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment of the database: its time, and which transactions had ended.

    All with an id below `all_ended` had, and those from `none_begun` on had not yet begun to write. 0 on SQLite,
    where everything is read each time.
    """

    at: datetime
    all_ended: int = 0
    none_begun: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Configs in the order of their ids, the last id looked at, and a moment before it was read."""

    configs: tuple[Config, ...]
    last_id: int
    more: bool
    read_at: Moment


@dataclass(frozen=True, slots=True)
class Change:
    """A row that configs are read from, and when it was changed."""

    table: str
    pk: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Configs that something about them changed: their own row, their follower, leader or stop."""

    config_ids: tuple[int, ...]
    marks: frozenset[Change]
    read_at: Moment


def configs_after(last_id: int, leader_ids: Collection[int] | None, *, limit: int) -> Page:
    """The next active configs, of these leaders or (None) of all. Ids are compared, so nothing is skipped."""
    read_at = _moment()
    rows = CopyConfig.objects.filter(pk__gt=last_id)
    if leader_ids is not None:
        rows = rows.filter(leader_id__in=leader_ids)
    configs = tuple(_read(rows, limit=limit))
    last = configs[-1].config_id if configs else last_id
    return Page(configs=configs, last_id=last, more=len(configs) == limit, read_at=read_at)


def configs_by_id(config_ids: Iterable[int]) -> tuple[Config, ...]:
    """Those of these configs that are active."""
    return tuple(_read(CopyConfig.objects.filter(pk__in=list(config_ids))))


def changes_since(moment: datetime, *, known: Collection[Change]) -> Changes:
    """What was changed from this moment of the database's clock on, without what is known already.

    Four questions on indexes, asked together; a change of a leader or follower names all its configs.
    """
    read_at = _moment()
    with together():
        asked = [_CHANGED[table].ask(moment, read=_as_they_are) for table, _model, _name in SOURCES]
    marks: set[Change] = set()
    ids: set[int] = set()
    for (table, _model, name), changed in zip(SOURCES, asked, strict=True):
        new = {Change(table, pk, at) for pk, at in changed.answer()} - set(known)
        if new:
            of_these = CopyConfig.objects.filter(**{f"{name}__in": [mark.pk for mark in new]})
            ids.update(of_these.values_list("pk", flat=True))
            marks |= new
    return Changes(config_ids=tuple(sorted(ids)), marks=frozenset(marks), read_at=read_at)


def _changed(model: type[models.Model]) -> Question:
    return Question(
        lambda moment: model._default_manager.filter(updated_at__gte=moment).values_list("pk", "updated_at")
    )


_CHANGED = {table: _changed(model) for table, model, _name in SOURCES}


def _as_they_are(rows: Sequence[Row]) -> Sequence[Row]:
    return rows


def _moment() -> Moment:
    if connection.vendor != "postgresql":
        return Moment(at=database_now())
    with connection.cursor() as cursor:
        # An id of our own, because a snapshot does not say which ids were given out, only which have ended.
        cursor.execute(
            "SELECT clock_timestamp(), pg_snapshot_xmin(pg_current_snapshot())::text, pg_current_xact_id()::text"
        )
        at, all_ended, none_begun = cursor.fetchone()
    return Moment(at=at, all_ended=int(all_ended), none_begun=int(none_begun))


def _read(rows: QuerySet[CopyConfig], *, limit: int | None = None) -> Iterator[Config]:
    active = rows.filter(active=True).annotate(began_at=_BEGAN_AT).order_by("id")[:limit]
    for row in active.values_list(*COLUMNS, named=True):
        yield _config(row)


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
        slippage=Slippage(row.slippage),
        fee_bps_max=row.fee_bps_max,
        order_type=OrderType(row.order_type),
        sides=Sides(row.sides),
        min_trigger_micros=row.min_trigger_micros,
        max_odds_micros=row.max_odds_micros,
        follower_bounds=_bounds(*row[-2 * len(LIMITS) : -len(LIMITS)]),
        leader_bounds=_bounds(*row[-len(LIMITS) :]),
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
        began_at=row.began_at,
    )


@lru_cache(maxsize=CHOICES_MAX)
def _bounds(*limits: int | None) -> PeriodBounds:
    return PeriodBounds(*limits)


@lru_cache(maxsize=CHOICES_MAX)
def _shared(terms: SizingTerms) -> SizingTerms:
    return terms


def _terms(row: Any) -> SizingTerms:
    terms = SizingTerms(
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
    return _shared(terms)


@lru_cache(maxsize=CHOICES_MAX)
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
