"""The composition root: settings in, concrete objects out. The only chooser of memory or Redis, paper or live."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace

from django.conf import settings
from django.db import connection

from copytrading.breaker_watch import Breakers
from copytrading.config_index import ConfigIndex
from copytrading.costs import NO_COSTS, Costs, MeasuredDatabase, MeasuredVenue
from copytrading.deciding import Planner
from copytrading.facts import GatherDoors, Gatherer, MarketsReady, VenueFunds
from copytrading.gate import Gate
from copytrading.held_database import HeldDatabase
from copytrading.intake import Intake
from copytrading.metrics import StageTimes, Tallies
from copytrading.models import Follower
from copytrading.outcomes import OutcomeWriter
from copytrading.pipeline import Doors, Pipeline, PipelineSettings, Steps
from copytrading.queries import Shard
from copytrading.quoting import Books
from copytrading.reporter import Reporter
from copytrading.rescue import Rescue, RescueDoors
from copytrading.sending import Route, SendDoors, Sender
from copytrading.shardlease import Claim, LeaseKeeper
from copytrading.shedder import Shedder
from copytrading.signalqueue import SignalQueue, SignalQueueSettings
from copytrading.states import ON_THE_VENUE
from copytrading.stopper import Stopper
from copytrading.supervisor import Engine, Service, Supervisor
from copytrading.sweeper import Sweeper
from copytrading.tracking.waiting import Waiting
from copytrading.waiting_room import OrderRates, WaitingRoom
from copytrading.wiring_books import VENUE
from copytrading.wiring_breakers import breaker_terms
from copytrading.wiring_choices import (
    Choices,
    book_shape,
    commission_tiers,
    index_terms,
    intake_settings,
    operator_bounds,
    paper_config,
    refuse_unsafe_shards,
    shed_settings,
)
from execution.orders import OrderPlan
from execution.ports import Venue
from execution.quotes import AroundLeader, KnownQuotes, LiveBooks
from execution.signing import LocalSigner, address_of, sign_order
from execution.terms import KnownTerms
from execution.venues.paper import PaperDoors, PaperVenue
from guardrails.stores.base import StoreDown, Stores
from guardrails.stores.memory import memory_stores
from guardrails.stores.redis import redis_stores
from ledger.clock import Clock, Ids, Randomness
from ledger.db import BoundedDatabase, ClosableDatabase, Database, ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock, SystemIds
from ledger.units import BPS

# A publicly known test key: paper orders are signed as live ones will be, and no money hangs on it.
PAPER_KEY = bytes.fromhex("11" * 32)

RECLAIM_MS = 30_000
"""A queued signal whose taker died is given out again after this; longer than any batch takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeDoors:
    """The way of real money: where orders go and who signs them, what accounts have, and the venue's limits."""

    route: Route
    funds: VenueFunds
    rates: OrderRates


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDoors:
    """The outside of an engine; tests and simulations give their own. `venue` None is the paper venue.

    `markets` is asked for what is unknown of a market before it is decided; None: rows are all there is. `books` are
    the venue's own, for real orders and for paper followers who want them. Without `exchange` nobody trades on it.
    """

    clock: Clock
    ids: Ids
    randomness: Randomness
    database: ClosableDatabase
    stores: Stores
    venue: Venue | None = None
    markets: MarketsReady | None = None
    books: LiveBooks | None = None
    exchange: ExchangeDoors | None = None


def build_stores(clock: Clock, *, shard: int, of: int) -> Stores:
    """Redis when REDIS_URL is set, this process's memory otherwise. Each shard has a queue of its own."""
    queue_max = settings.SUPERVISOR_QUEUE_MAX_SIZE
    exits = queue_max * settings.SUPERVISOR_QUEUE_EXITS_BPS // BPS
    if settings.REDIS_URL:
        prefix = f"{settings.REDIS_PREFIX}:{shard}of{of}"
        url = settings.REDIS_URL
        return redis_stores(url, prefix, queue_max=queue_max, exits_reserved=exits, reclaim_ms=RECLAIM_MS)
    return memory_stores(clock, queue_max=queue_max, exits_reserved=exits, reclaim_ms=RECLAIM_MS)


def build_shared_stores(clock: Clock) -> Stores:
    """The stores that all shards share: for what is counted for a whole address, such as requests."""
    if settings.REDIS_URL:
        prefix = f"{settings.REDIS_PREFIX}:shared"
        return redis_stores(settings.REDIS_URL, prefix, queue_max=1, exits_reserved=0, reclaim_ms=RECLAIM_MS)
    return memory_stores(clock, queue_max=1, exits_reserved=0, reclaim_ms=RECLAIM_MS)


def build_supervisor(choices: Choices) -> tuple[Engine, Supervisor]:
    """An engine on the real doors, and the supervisor that runs it."""
    engine = build_engine(choices, real_doors(choices))
    return engine, Supervisor(engine, drain_ms=settings.COPY_TRADING_DRAIN_MS)


def real_doors(choices: Choices) -> EngineDoors:
    """The system's clock, the database and the stores of the settings. Raises ImproperlyConfigured."""
    refuse_unsafe_shards(choices.of)
    # SQLite has one writer: more threads would only wait for its lock.
    threads = settings.COPY_TRADING_DB_THREADS if connection.vendor == "postgresql" else 1
    clock = SystemClock()
    return EngineDoors(
        clock=clock,
        ids=SystemIds(),
        randomness=SeededRandomness(choices.seed),
        database=_measured_database(ThreadedDatabase(threads), choices.costs),
        stores=build_stores(clock, shard=choices.shard, of=choices.of),
    )


def what_has_time(database: Database) -> Database:
    """The door for booking what was sent: of the threads half are left to what is still to be sent."""
    return BoundedDatabase(database, max(1, settings.COPY_TRADING_DB_THREADS // 2))


def build_engine(choices: Choices, doors: EngineDoors) -> Engine:
    """An engine on the doors given."""
    clock, database = doors.clock, doors.database
    core = _core(choices, doors)
    # A process that stands by for a shard may lose it, and wake up without it: its services then write nothing more.
    mine = HeldDatabase(database, core.lease.held) if choices.stands_by else database
    queue = _signal_queue(choices, doors, core, database=mine)
    pipeline, waiting = _pipeline(choices, doors, core, queue=queue)
    intake = Intake(mine, queue, clock, tallies=core.tallies, settings=intake_settings(choices))
    intake.fresh = pipeline.fresh
    shedder = Shedder(mine, clock, shard=core.lease.shard, settings=shed_settings(choices), queue=queue)
    shedder.fan_outs = [pipeline]
    reporter = _reporter(choices, doors, core, queue=queue, shedder=shedder)
    return Engine(
        clock=clock,
        database=database,
        stores=doors.stores,
        lease=core.lease,
        intake=intake,
        pipeline=pipeline,
        sender=core.sender,
        writer=core.writer,
        breakers=core.breakers,
        configs=core.configs,
        terms=core.terms,
        sweeper=Sweeper(mine, queue, clock, shard=core.lease.shard),
        shedder=shedder,
        stopper=Stopper(mine, queue, clock, quotes=core.quotes, shard=core.lease.shard),
        rescue=Rescue(
            RescueDoors(
                database=what_has_time(database),
                routes=core.routes,
                clock=clock,
                breakers=core.breakers,
                tiers=commission_tiers(),
                in_hand=core.sender.in_hand,
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
        deciding=waiting,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Core:
    """What several services share."""

    worker: str
    stages: StageTimes
    tallies: Tallies
    terms: KnownTerms
    quotes: KnownQuotes
    routes: Mapping[str, Route]
    lease: LeaseKeeper
    breakers: Breakers
    writer: OutcomeWriter
    sender: Sender
    configs: ConfigIndex


def _core(choices: Choices, doors: EngineDoors) -> _Core:
    clock, database = doors.clock, doors.database
    worker = f"{platform.node()}:{os.getpid()}"
    stages, tallies, terms = StageTimes(clock), Tallies(), KnownTerms()
    quotes = choices.quotes or _paper_books(choices, doors, terms)
    paper = PaperDoors(quotes=quotes, terms_of=terms.of, clock=clock, randomness=doors.randomness)
    venue = doors.venue or PaperVenue("paper", paper, config=paper_config(latency=choices.venue_latency))
    routes = {Follower.Mode.PAPER.value: Route(venue=_measured_venue(venue, choices.costs), sign=_paper_sign)}
    if doors.exchange is not None:
        real = doors.exchange.route
        routes[ON_THE_VENUE] = replace(real, venue=_measured_venue(real.venue, choices.costs))
    claim = Claim(
        shard=Shard(choices.shard, choices.of),
        holder=f"{worker}:{doors.ids.token()[:8]}",
        ttl_s=settings.COPY_TRADING_LEASE_TTL_S,
        stands_by=choices.stands_by,
        since=choices.since,
    )
    lease = LeaseKeeper(database, clock, claim)
    flush_ms = settings.COPY_TRADING_OUTCOME_FLUSH_MS
    tiers = commission_tiers()
    venues = {mode: route.venue.name for mode, route in routes.items()}
    breakers = Breakers(database, clock, terms=breaker_terms(), venues=venues)
    writer = OutcomeWriter(database, clock, stages=stages, flush_ms=flush_ms, costs=choices.costs, tiers=tiers)
    writer.breakers = breakers
    gate = Gate(database, clock, lease=lease, breakers=breakers)
    sender = Sender(
        SendDoors(
            routes=routes,
            gate=gate,
            writer=writer,
            clock=clock,
            costs=choices.costs,
            fresh_s=settings.COPY_TRADING_STALE_AFTER_S,
        ),
        stages=stages,
        tallies=tallies,
        in_flight_max=settings.SUPERVISOR_WORKER_POOL_SIZE,
    )
    return _Core(
        worker=worker,
        stages=stages,
        tallies=tallies,
        terms=terms,
        quotes=quotes,
        routes=routes,
        lease=lease,
        breakers=breakers,
        writer=writer,
        sender=sender,
        configs=ConfigIndex(database, clock, shard=lease.shard, terms=index_terms()),
    )


def _paper_books(choices: Choices, doors: EngineDoors, terms: KnownTerms) -> KnownQuotes:
    if doors.books is not None and settings.PAPER_BOOKS == VENUE:
        return doors.books
    return AroundLeader(doors.clock, lambda token: terms.of(token).tick_micros, shape=book_shape(choices))


def _signal_queue(choices: Choices, doors: EngineDoors, core: _Core, *, database: Database) -> SignalQueue:
    queue_max = settings.SUPERVISOR_QUEUE_MAX_SIZE
    bounds = SignalQueueSettings(queue_max=queue_max, reclaim_ms=RECLAIM_MS, patient=not choices.live)
    return SignalQueue(doors.stores.queue, database, doors.clock, shard=core.lease.shard, settings=bounds)


def _pipeline(
    choices: Choices, doors: EngineDoors, core: _Core, *, queue: SignalQueue
) -> tuple[Pipeline, tuple[Service, ...]]:
    """The pipeline, and what decides copies that had to wait, where some may."""
    exchange = doors.exchange
    gatherer = Gatherer(
        GatherDoors(
            database=doors.database,
            clock=doors.clock,
            terms=core.terms,
            breakers=core.breakers,
            index=core.configs,
            ready=doors.markets,
            funds=exchange.funds if exchange else None,
        ),
        operator=replace(choices.operator or operator_bounds(choices), real_trading=exchange is not None),
        cache_ms=settings.COPY_TRADING_MARKET_CACHE_MS,
    )
    steps = Steps(
        gatherer=gatherer,
        planner=Planner(doors.clock, doors.ids, signer_wallet=PAPER_WALLET),
        sender=core.sender,
        lease=core.lease,
        stages=core.stages,
        tallies=core.tallies,
        costs=choices.costs,
        room=_waiting_room(doors, exchange.rates) if exchange else None,
    )
    outside = Doors(
        database=doors.database,
        queue=queue,
        books=Books(paper=core.quotes, live=doors.books),
        clock=doors.clock,
        ids=doors.ids,
    )
    bounds = PipelineSettings(
        # A batch is sent together: one beyond the bound on copies under way would pass it.
        batch_copies=min(settings.COPY_TRADING_BATCH_COPIES, settings.SUPERVISOR_WORKER_POOL_SIZE),
        fan_out_max=settings.SUPERVISOR_FAN_OUT_COUNT,
        attempts_max=settings.SUPERVISOR_DEAD_LETTER_COUNT,
        expire_after_s=settings.COPY_TRADING_EXPIRE_AFTER_S,
        worker=core.worker,
    )
    waiting = (Waiting(outside, steps, settings=bounds),) if steps.room is not None else ()
    return Pipeline(outside, steps, settings=bounds), waiting


def _waiting_room(doors: EngineDoors, rates: OrderRates) -> WaitingRoom:
    return WaitingRoom(doors.clock, rates=rates, fresh_s=settings.COPY_TRADING_STALE_AFTER_S)


def _reporter(choices: Choices, doors: EngineDoors, core: _Core, *, queue: SignalQueue, shedder: Shedder) -> Reporter:
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
            "in_flight_max": settings.SUPERVISOR_WORKER_POOL_SIZE,
            "queue_max": settings.SUPERVISOR_QUEUE_MAX_SIZE,
            "queue_down": int(queue.down),
            "shedding_level": int(shedder.load.level),
            "configs": len(core.configs),
        }
        try:
            return {**told, "queue": await doors.stores.queue.size()}
        except StoreDown:
            return told

    reporter.gauges = gauges
    return reporter


def _measured_database(database: ClosableDatabase, costs: Costs) -> ClosableDatabase:
    return database if costs is NO_COSTS else MeasuredDatabase(database, costs)


def _measured_venue(venue: Venue, costs: Costs) -> Venue:
    return venue if costs is NO_COSTS else MeasuredVenue(venue, costs)


PAPER_WALLET = address_of(PAPER_KEY)
_paper_signer = LocalSigner({PAPER_WALLET: PAPER_KEY})


async def _paper_sign(plan: OrderPlan) -> bytes:
    return sign_order(_paper_signer, plan, wallet=PAPER_WALLET)
