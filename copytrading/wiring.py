"""The composition root: settings in, concrete objects out. The only chooser of memory or Redis, paper or live."""

import os
import platform
from dataclasses import dataclass

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from copytrading.breaker_watch import Breakers
from copytrading.costs import NO_COSTS, Costs, MeasuredDatabase, MeasuredVenue
from copytrading.deciding import Planner
from copytrading.facts import Gatherer, OperatorBounds
from copytrading.gate import Gate
from copytrading.intake import Intake, IntakeSettings
from copytrading.metrics import StageTimes, Tallies
from copytrading.outcomes import OutcomeWriter
from copytrading.pipeline import Doors, Pipeline, PipelineSettings, Steps
from copytrading.reporter import Reporter
from copytrading.rescue import Rescue, RescueDoors
from copytrading.sending import SendDoors, Sender
from copytrading.shardlease import LeaseKeeper
from copytrading.stopper import Stopper
from copytrading.supervisor import Engine, Supervisor
from copytrading.sweeper import Sweeper
from execution.books import BookShape
from execution.orders import OrderPlan
from execution.ports import Venue
from execution.quotes import AroundLeader, KnownQuotes
from execution.signing import LocalSigner, address_of, sign_order
from execution.terms import KnownTerms
from execution.venues.paper import PaperConfig, PaperDoors, PaperVenue
from guardrails.breakers import BreakerTerms, Kind
from guardrails.budgets import PeriodBounds
from guardrails.intents import Limits
from guardrails.stores.base import StoreDown, Stores
from guardrails.stores.memory import memory_stores
from guardrails.stores.redis import redis_stores
from ledger.clock import Clock, Ids, Randomness
from ledger.commissions import Tiers, TiersError, parse_tiers
from ledger.db import ClosableDatabase, ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock, SystemIds
from ledger.units import ONE, Micros

# A publicly known test key: paper orders are signed as live ones will be, and no money hangs on it.
PAPER_KEY = bytes.fromhex("11" * 32)

BOOK_LEVELS = 10
RECLAIM_MS = 30_000
"""A queued signal whose taker died is given out again after this; longer than any batch takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What a command chooses beside the settings. `live` turns the filter for stale signals on.

    `operator` stands in for the bounds of the settings, `depth_shares` for the depth of the paper venue's books;
    `costs` measures.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDoors:
    """The outside of an engine; tests and simulations give their own. `venue` None is the paper venue."""

    clock: Clock
    ids: Ids
    randomness: Randomness
    database: ClosableDatabase
    stores: Stores
    venue: Venue | None = None


def refuse_unsafe_shards(of: int) -> None:
    """Several shards need stores that they share. Raises ImproperlyConfigured."""
    if of > 1 and connection.vendor != "postgresql":
        raise ImproperlyConfigured("Several shards need Postgres: SQLite has one writer. Set DATABASE_URL.")
    if of > 1 and not settings.REDIS_URL:
        raise ImproperlyConfigured("Several shards need Redis: memory is not shared between processes. Set REDIS_URL.")


def build_stores(clock: Clock, *, shard: int, of: int) -> Stores:
    """Redis when REDIS_URL is set, this process's memory otherwise. Each shard has a queue of its own."""
    queue_max = settings.COPY_TRADING_QUEUE_MAX
    if settings.REDIS_URL:
        prefix = f"{settings.REDIS_PREFIX}:{shard}of{of}"
        return redis_stores(settings.REDIS_URL, prefix, queue_max=queue_max, reclaim_ms=RECLAIM_MS)
    return memory_stores(clock, queue_max=queue_max, reclaim_ms=RECLAIM_MS)


def build_supervisor(choices: Choices) -> tuple[Engine, Supervisor]:
    """An engine on the real doors, and the supervisor that runs it."""
    refuse_unsafe_shards(choices.of)
    # SQLite has one writer: more threads would only wait for its lock.
    threads = settings.COPY_TRADING_DB_THREADS if connection.vendor == "postgresql" else 1
    clock = SystemClock()
    doors = EngineDoors(
        clock=clock,
        ids=SystemIds(),
        randomness=SeededRandomness(choices.seed),
        database=_measured_database(ThreadedDatabase(threads), choices.costs),
        stores=build_stores(clock, shard=choices.shard, of=choices.of),
    )
    engine = build_engine(choices, doors)
    return engine, Supervisor(engine, drain_ms=settings.COPY_TRADING_DRAIN_MS)


def build_engine(choices: Choices, doors: EngineDoors) -> Engine:
    """An engine on the doors given."""
    clock, database, queue = doors.clock, doors.database, doors.stores.queue
    core = _core(choices, doors)
    reporter = _reporter(choices, doors, core)
    return Engine(
        clock=clock,
        database=database,
        stores=doors.stores,
        lease=core.lease,
        intake=Intake(database, queue, clock, tallies=core.tallies, settings=_intake_settings(choices)),
        pipeline=_pipeline(choices, doors, core),
        sender=core.sender,
        writer=core.writer,
        breakers=core.breakers,
        sweeper=Sweeper(database, queue, clock, shard=core.lease.shard),
        stopper=Stopper(database, queue, clock, quotes=core.quotes, shard=core.lease.shard),
        rescue=Rescue(
            RescueDoors(
                database=database, venue=core.venue, clock=clock, breakers=core.breakers, tiers=commission_tiers()
            ),
            ids=doors.ids,
            lease=core.lease,
            tallies=core.tallies,
            worker=core.worker,
        ),
        reporter=reporter,
        stages=core.stages,
        tallies=core.tallies,
        costs=choices.costs,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """What several services share."""

    worker: str
    stages: StageTimes
    tallies: Tallies
    terms: KnownTerms
    quotes: KnownQuotes
    venue: Venue
    lease: LeaseKeeper
    breakers: Breakers
    writer: OutcomeWriter
    sender: Sender


def _core(choices: Choices, doors: EngineDoors) -> _Core:
    clock, database = doors.clock, doors.database
    worker = f"{platform.node()}:{os.getpid()}"
    stages, tallies, terms = StageTimes(clock), Tallies(), KnownTerms()
    quotes = choices.quotes or AroundLeader(
        clock, lambda token: terms.of(token).tick_micros, shape=_book_shape(choices)
    )
    paper = PaperDoors(quotes=quotes, terms_of=terms.of, clock=clock, randomness=doors.randomness)
    venue = doors.venue or PaperVenue("paper", paper, config=_paper_config(latency=choices.venue_latency))
    lease = LeaseKeeper(
        database,
        clock,
        shard=choices.shard,
        of=choices.of,
        holder=f"{worker}:{doors.ids.token()[:8]}",
        ttl_s=settings.COPY_TRADING_LEASE_TTL_S,
    )
    flush_ms = settings.COPY_TRADING_OUTCOME_FLUSH_MS
    tiers = commission_tiers()
    breakers = Breakers(database, clock, terms=breaker_terms())
    writer = OutcomeWriter(database, clock, stages=stages, flush_ms=flush_ms, costs=choices.costs, tiers=tiers)
    writer.breakers = breakers
    gate = Gate(database, clock, lease=lease, breakers=breakers)
    sender = Sender(
        SendDoors(
            venue=_measured_venue(venue, choices.costs),
            sign=_paper_sign,
            gate=gate,
            writer=writer,
            clock=clock,
            costs=choices.costs,
        ),
        stages=stages,
        tallies=tallies,
        in_flight_max=settings.COPY_TRADING_IN_FLIGHT_MAX,
    )
    return _Core(
        worker=worker,
        stages=stages,
        tallies=tallies,
        terms=terms,
        quotes=quotes,
        venue=venue,
        lease=lease,
        breakers=breakers,
        writer=writer,
        sender=sender,
    )


def _pipeline(choices: Choices, doors: EngineDoors, core: _Core) -> Pipeline:
    gatherer = Gatherer(
        doors.database,
        doors.clock,
        operator=choices.operator or operator_bounds(choices),
        terms=core.terms,
        breakers=core.breakers,
        cache_ms=settings.COPY_TRADING_CONFIG_CACHE_MS,
    )
    steps = Steps(
        gatherer=gatherer,
        planner=Planner(doors.clock, doors.ids, signer_wallet=PAPER_WALLET),
        sender=core.sender,
        lease=core.lease,
        stages=core.stages,
        tallies=core.tallies,
        costs=choices.costs,
    )
    return Pipeline(
        Doors(database=doors.database, queue=doors.stores.queue, quotes=core.quotes, clock=doors.clock, ids=doors.ids),
        steps,
        settings=PipelineSettings(
            batch_copies=settings.COPY_TRADING_BATCH_COPIES,
            expire_after_s=settings.COPY_TRADING_EXPIRE_AFTER_S,
            worker=core.worker,
        ),
    )


def _reporter(choices: Choices, doors: EngineDoors, core: _Core) -> Reporter:
    reporter = Reporter(
        doors.database,
        doors.clock,
        tallies=core.tallies,
        stages=core.stages,
        shard=f"{choices.shard}/{choices.of}",
        log_every_ms=settings.COPY_TRADING_METRICS_INTERVAL_MS,
    )

    async def gauges() -> dict[str, int]:
        told = {
            "in_flight": core.sender.in_flight,
            "in_flight_max": settings.COPY_TRADING_IN_FLIGHT_MAX,
            "queue_max": settings.COPY_TRADING_QUEUE_MAX,
        }
        try:
            return {**told, "queue": await doors.stores.queue.size()}
        except StoreDown:
            return told

    reporter.gauges = gauges
    return reporter


def _intake_settings(choices: Choices) -> IntakeSettings:
    return IntakeSettings(
        coalesce_ms=settings.COPY_TRADING_COALESCE_MS,
        queue_max=settings.COPY_TRADING_QUEUE_MAX,
        shard=choices.shard,
        of=choices.of,
        remember=choices.remember,
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


def breaker_terms() -> tuple[BreakerTerms, ...]:
    """The circuit breakers that the settings ask for; 0 is no such breaker. Raises ImproperlyConfigured."""
    rates = ((Kind.FAILURE_RATE, settings.BREAKER_REJECTED_BPS), (Kind.UNKNOWN_RATE, settings.BREAKER_UNKNOWN_BPS))
    comes_back = {
        "cooldown_s": settings.BREAKER_COOLDOWN_S,
        "cooldown_max_s": settings.BREAKER_COOLDOWN_MAX_S,
        "probes": settings.BREAKER_PROBES_COUNT,
    }
    least, window, losses = (getattr(settings, f"BREAKER_{n}_COUNT") for n in ("LEAST", "WINDOW", "LOSSES"))
    try:
        found = [
            BreakerTerms(kind=kind, open_bps=bps, least=least, window=window, **comes_back)
            for kind, bps in rates
            if bps
        ]
        if losses:
            found.append(BreakerTerms(kind=Kind.CONSECUTIVE_LOSSES, least=losses, **comes_back))
    except ValueError as error:
        raise ImproperlyConfigured(f"The settings BREAKER_* do not fit together: {error}") from None
    return tuple(found)


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


def _book_shape(choices: Choices) -> BookShape:
    depth = settings.PAPER_DEPTH_SHARES if choices.depth_shares is None else choices.depth_shares
    return BookShape(
        spread_bps=settings.PAPER_SPREAD_BPS,
        depth_micros=Micros(depth * ONE),
        levels=BOOK_LEVELS,
    )


def _paper_config(*, latency: bool) -> PaperConfig:
    return PaperConfig(
        latency_ms=settings.PAPER_LATENCY_MS if latency else 0,
        jitter_ms=settings.PAPER_JITTER_MS if latency else 0,
        reject_bps=settings.PAPER_REJECT_BPS,
        lost_answer_bps=settings.PAPER_LOST_ANSWER_BPS,
        lost_request_bps=settings.PAPER_LOST_REQUEST_BPS,
    )


def _measured_database(database: ClosableDatabase, costs: Costs) -> ClosableDatabase:
    return database if costs is NO_COSTS else MeasuredDatabase(database, costs)


def _measured_venue(venue: Venue, costs: Costs) -> Venue:
    return venue if costs is NO_COSTS else MeasuredVenue(venue, costs)


PAPER_WALLET = address_of(PAPER_KEY)
_paper_signer = LocalSigner({PAPER_WALLET: PAPER_KEY})


def _paper_sign(plan: OrderPlan) -> bytes:
    return sign_order(_paper_signer, plan, wallet=PAPER_WALLET)
