"""What is chosen: a command's choices, and the settings as the values that the parts of an engine take."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from copytrading.config_index import IndexTerms
from copytrading.costs import NO_COSTS, Costs
from copytrading.facts import OperatorBounds
from copytrading.intake import IntakeSettings
from copytrading.shedder import ShedSettings
from copytrading.shedding import ShedBounds
from execution.books import BookShape
from execution.quotes import KnownQuotes
from execution.venues.paper import PaperConfig
from guardrails.budgets import PeriodBounds
from guardrails.intents import Limits
from ledger.commissions import Tiers, TiersError, parse_tiers
from ledger.units import ONE, Micros

BOOK_LEVELS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a command chooses beside the settings. `live` turns the filter for stale signals on.

    `operator` stands in for the bounds of the settings, `depth_shares` for the depth of the paper venue's books;
    `costs` measures. `stands_by` and `since` are of the shard's lease: see `Claim`.
    """

    shard: int = 0
    of: int = 1
    live: bool = True
    dry_run: bool = False
    remember: bool = False
    seed: int | None = None
    quotes: KnownQuotes | None = None
    venue_latency: bool = True
    costs: Costs = NO_COSTS
    operator: OperatorBounds | None = None
    depth_shares: int | None = None
    stands_by: bool = False
    since: datetime | None = None


def refuse_unsafe_shards(of: int) -> None:
    """Several shards need stores that they share. Raises ImproperlyConfigured."""
    if of > 1 and connection.vendor != "postgresql":
        raise ImproperlyConfigured("Several shards need Postgres: SQLite has one writer. Set DATABASE_URL.")
    if of > 1 and not settings.REDIS_URL:
        raise ImproperlyConfigured("Several shards need Redis: memory is not shared between processes. Set REDIS_URL.")


def index_terms() -> IndexTerms:
    """How fresh the configs in memory are."""
    # SQLite does not stamp changed rows.
    reconcile_s = settings.COPY_TRADING_CONFIG_RECONCILE_S if connection.vendor == "postgresql" else 0
    return IndexTerms(refresh_ms=settings.COPY_TRADING_CONFIG_REFRESH_MS, reconcile_s=reconcile_s)


def shed_settings(choices: Choices) -> ShedSettings:
    """When load is shed, and how."""
    # A replay goes as fast as it is decided: its queue is always full, and its lag says nothing.
    live = int(choices.live)
    return ShedSettings(
        bounds=ShedBounds(
            depth_max=live * settings.SUPERVISOR_SHED_QUEUE_SIZE,
            lag_ms_max=live * settings.SUPERVISOR_SHED_LAG_MS,
            healthy_windows=settings.SUPERVISOR_SHED_HEALTHY_COUNT,
        ),
        fan_out=settings.SUPERVISOR_SHED_FAN_OUT_COUNT,
        entry_age=timedelta(seconds=settings.SUPERVISOR_SHED_ENTRY_AGE_S),
    )


def intake_settings(choices: Choices) -> IntakeSettings:
    """How what is read becomes signals."""
    return IntakeSettings(
        coalesce_ms=settings.COPY_TRADING_COALESCE_MS,
        queue_max=settings.SUPERVISOR_QUEUE_MAX_SIZE,
        shard=choices.shard,
        of=choices.of,
        remember=choices.remember,
        wait_for_room=not choices.live,
    )


def operator_bounds(choices: Choices) -> OperatorBounds:
    """The settings that bound everybody, in micros; 0 in the settings is no bound."""
    return OperatorBounds(
        stale_after_s=settings.COPY_TRADING_STALE_AFTER_S if choices.live else None,
        dry_run=choices.dry_run or settings.COPY_TRADING_DRY_RUN,
        allowlist=frozenset(wallet.lower() for wallet in settings.COPY_TRADING_FOLLOWER_ALLOWLIST),
        limits=Limits(max_per_trade_micros=_micros(settings.COPY_TRADING_MAX_PER_TRADE_USD)),
        global_bounds=_period_bounds("GLOBAL"),
        market_bounds=_period_bounds("MARKET"),
    )


def commission_tiers() -> Tiers:
    """The tiers of commissions as set. Raises ImproperlyConfigured."""
    try:
        return parse_tiers(settings.COMMISSION_TIERS)
    except TiersError as error:
        raise ImproperlyConfigured(f"COMMISSION_TIERS: {error}") from None


def _period_bounds(scope: str) -> PeriodBounds:
    return PeriodBounds(
        hourly_micros=_micros(_setting(scope, "HOURLY_USD")),
        daily_micros=_micros(_setting(scope, "DAILY_USD")),
        hourly_count=_setting(scope, "HOURLY_COUNT") or None,
        daily_count=_setting(scope, "DAILY_COUNT") or None,
    )


def _setting(scope: str, name: str) -> int:
    return int(getattr(settings, f"COPY_TRADING_{scope}_{name}"))


def _micros(dollars: int) -> Micros | None:
    return Micros(dollars * ONE) if dollars else None


def book_shape(choices: Choices) -> BookShape:
    """The books that the paper venue makes around a leader's price."""
    depth = settings.PAPER_DEPTH_SHARES if choices.depth_shares is None else choices.depth_shares
    return BookShape(
        spread_bps=settings.PAPER_SPREAD_BPS,
        depth_micros=Micros(depth * ONE),
        levels=BOOK_LEVELS,
    )


def paper_config(*, latency: bool) -> PaperConfig:
    """What the paper venue does wrong, and how long it takes."""
    return PaperConfig(
        latency_ms=settings.PAPER_LATENCY_MS if latency else 0,
        jitter_ms=settings.PAPER_JITTER_MS if latency else 0,
        reject_bps=settings.PAPER_REJECT_BPS,
        lost_answer_bps=settings.PAPER_LOST_ANSWER_BPS,
        lost_request_bps=settings.PAPER_LOST_REQUEST_BPS,
    )
