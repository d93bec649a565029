"""A real engine that listens to a sandbox: intake, database on its threads, roll of leaders, sources and network are
those of a supervisor; only the times of the sources are shrunk.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, connection

from copytrading.hearing import Hearing
from copytrading.hybrid import HybridTerms, Races
from copytrading.leader_positions import LeaderPositions, PositionDoors, PositionSettings
from copytrading.leader_roll import LeaderRoll
from copytrading.modes import RacingSink, StreamWatch, Watched
from copytrading.signals import ACTIVITY_ORDERS_MATCHED, ACTIVITY_TRADES, CHAIN_LOGS, DATA_API, MEMPOOL
from copytrading.sources.activity import ActivityDoors, ActivitySource
from copytrading.sources.chain_doors import ChainDoors, ChainSettings
from copytrading.sources.chain_logs import ChainLogs
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.line import ActivitySettings
from copytrading.sources.live import Ear, Heard, LiveSink
from copytrading.sources.looks import WHOLE, PollingDoors
from copytrading.sources.mempool import Mempool, MempoolDoors, MempoolSettings
from copytrading.sources.polling import PollingSettings, PollingSource
from copytrading.sources.polls import PollPace
from copytrading.sources.stats import SourceStats
from copytrading.supervisor import Source
from copytrading.wiring import EngineDoors, build_engine
from copytrading.wiring_choices import Choices
from execution.data_api import DataApi
from execution.directory import DirectoryDoors, DirectorySettings, MarketDirectory
from execution.gamma_client import CLOB, GAMMA, GammaClient
from execution.hosts import Host
from execution.http import SharedHttp
from execution.limits import Allowance, HostLimits, LimitSettings, data_api_allowances
from execution.rpc import Rpc, RpcSettings, read_urls
from execution.sandbox.sandbox import Sandbox
from execution.sockets import WebSockets
from guardrails.stores.memory import memory_stores
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock, SystemIds
from tests.chain_bytes import POLYGON_CONTRACTS

POLLS, SOCKET, CHAIN, PENDING = "polls", "socket", "chain", "mempool"
"""The sources a test switches on."""

BOUND_S = 20
"""The most that anything here may take; usual are tenths of a second."""

LOOK_S = 0.01
BLOCKS_MAX = 5
"""A pending transaction counts as vanished after so many."""

MANY = 100_000
PAGE = 10
"""Rows of a page: few, so that every poll goes over several."""

ACTIVITY: Mapping[str, Any] = {
    "ping_s": 0.1,
    "silent_s": 0.4,
    "stale_s": 5.0,
    "handover_s": 0.3,
    "overlap_s": 0.05,
    "open_s": 0.3,
    "backoff_s": 0.01,
    "backoff_max_s": 0.05,
}
CHAIN_TERMS: Mapping[str, Any] = {
    "poll_s": 0.1,
    "silence_s": 0.5,
    "base_s": 0.01,
    "cap_s": 0.05,
    "reconcile_s": 0.3,
    "again_s": 0.1,
    "resolve_s": 0.05,
    "resolve_again_s": 0.05,
}
PACE = PollPace(active_s=0.03, quiet_max_s=0.1)


class LeapingClock(SystemClock):
    """The machine's clock, with leaps: as after a machine has slept."""

    def __init__(self) -> None:
        self._ahead_s, self._set_s = 0.0, 0.0

    def now(self) -> datetime:
        """The machine's time and the leaps, as far as it was set forward."""
        return super().now() + timedelta(seconds=self._ahead_s + self._set_s)

    def monotonic_ms(self) -> float:
        """The machine's and the leaps."""
        return super().monotonic_ms() + self._ahead_s * 1_000

    def leap(self, seconds: float) -> None:
        """It is later all at once."""
        self._ahead_s += seconds

    def set_forward(self, seconds: float) -> None:
        """Only the time of day is another one, and nobody has waited."""
        self._set_s += seconds


class Listener:
    """One life of an engine: from `start` to `stop`, or to `kill`."""

    def __init__(self, box: Sandbox, clock: LeapingClock, sources: Collection[str]) -> None:
        self._box, self.clock, self.sources = box, clock, frozenset(sources)
        self._randomness = SeededRandomness(1)
        self.database = ThreadedDatabase(3 if connection.vendor == "postgresql" else 1)
        stores = memory_stores(self.clock, queue_max=MANY, reclaim_ms=30_000)
        doors = EngineDoors(
            clock=self.clock, ids=SystemIds(), randomness=self._randomness, database=self.database, stores=stores
        )
        self.engine = build_engine(Choices(venue_latency=False), doors)
        self.stats: dict[str, SourceStats] = {}
        self.engine.intake.stats = self.stats
        self.leaders, self._heard, self._races = HeardLeaders(), Heard(), Races(lag_max_ms=1_000)
        self.http, self._sockets = SharedHttp(), WebSockets()
        self._environment = box.environment()
        self.api = DataApi(self._host("DATA_API_URL"), self.clock, page_rows=PAGE)
        gamma = GammaClient(gamma=self._host("GAMMA_URL"), clob=self._host("CLOB_URL"))
        self.directory = MarketDirectory(
            DirectoryDoors(client=gamma, database=self.database, clock=self.clock), DirectorySettings(unknown_s=0.2)
        )
        sink = RacingSink(self.engine.intake, self.clock, self._races)
        self._sink = LiveSink(sink, self.clock, self.leaders, stats=self.stats, late_after_s=60, heard=self._heard)
        self.roll = LeaderRoll(self.database, self.clock, index=self.engine.configs, leaders=self.leaders)
        self.positions = LeaderPositions(
            PositionDoors(
                api=self.api,
                database=self.database,
                clock=self.clock,
                leaders=self.leaders,
                markets=self.directory,
            ),
            PositionSettings(settle_s=0.0),
        )
        self.activity: ActivitySource | None = None
        self.watch: StreamWatch | None = None
        self.poller = self._make_poller() if POLLS in self.sources else None
        self.logs: ChainLogs | None = None
        parts = [*self._streams(), *self._chain()]
        self._hearing = Hearing(
            [self.engine.configs, self.roll, *parts], self.clock, stats=self.stats, close=self._close
        )
        self._stop, self._intake_stop = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    async def learn(self) -> None:
        """Whom to hear, and the tokens of every market: without them a split moves what nobody can name."""
        await self.engine.configs.run_once()
        await self.roll.run_once()
        await self.directory.load(list(self._box.world.markets))

    async def start(self) -> None:
        """Begin to listen; returns when every source has begun."""
        hearing, intake = self._hearing.run(self._stop), self.engine.intake.run(self._intake_stop)
        self._tasks = [asyncio.create_task(hearing), asyncio.create_task(intake)]
        await self.until(self._has_begun, "every source has begun")

    async def stop(self) -> None:
        """As the supervisor does it: the sources, then the intake."""
        async with asyncio.timeout(BOUND_S):
            self._stop.set()
            await self._tasks[0]
            self._intake_stop.set()
            await self._tasks[1]
        self._closed = True
        self.database.close()

    async def kill(self) -> None:
        """In the middle of whatever it does; what lies with the database comes to its end there. May come twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if not self._closed:
            self._closed = True
            await self._close()
            self.database.close()

    async def ends_without_database(self, *, within_s: float = BOUND_S) -> bool:
        """Whether it ends in this time because the database is away. Raises whatever else ended it."""
        done, _others = await asyncio.wait(self._tasks, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = task.exception()
            assert error is not None, "it ends for nothing"
            _away, other = BaseExceptionGroup("of a task", [error]).split((OperationalError, InterfaceError))
            if other is not None:
                raise other
        return bool(done)

    async def until(self, what: Callable[[], bool], name: str) -> None:
        """Let everybody work until it is so."""
        try:
            async with asyncio.timeout(BOUND_S):
                while not what():
                    self.raise_failure()
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"in {BOUND_S} s it never was so: {name}") from None

    def raise_failure(self) -> None:
        """What escaped a part is a bug, and the test's end."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    async def has_looked_again(self) -> None:
        """Each leader was polled whole twice since now: the first look may have begun before."""
        if self.poller is not None:
            poller, wanted = self.poller, self.poller.outcomes[WHOLE] + 2 * len(self.leaders.wallets) + 2
            await self.until(lambda: poller.outcomes[WHOLE] >= wanted, "everybody was polled again")

    def total(self, kind: str) -> int:
        """A count over all sources."""
        return sum(each.counts[kind] for each in self.stats.values())

    def counted(self, label: str) -> SourceStats:
        """The counters of a label."""
        return self.stats.setdefault(label, SourceStats(label))

    def _has_begun(self) -> bool:
        begun = [self.logs is None or self.logs.follower.chain.tip is not None]
        begun.append(self.poller is None or self.poller.outcomes[WHOLE] >= len(self.leaders.wallets))
        begun.append(self.activity is None or self.counted(ACTIVITY_TRADES).counts["received"] > 0)
        return all(begun)

    def _host(self, name: str) -> Host:
        allowances = (
            *data_api_allowances(activity=MANY, trades=MANY, positions=MANY),
            *(Allowance(kind=kind, requests=MANY) for kind in (GAMMA, CLOB)),
        )
        limits = HostLimits(self.clock, self._randomness, host=name, settings=LimitSettings(allowances=allowances))
        return Host(self.http, limits, base_url=self._environment[name])

    def _ear(self, label: str) -> Ear:
        return Ear(
            clock=self.clock,
            randomness=self._randomness,
            sink=self._sink,
            leaders=self.leaders,
            stats=self.counted(label),
        )

    def _make_poller(self) -> PollingSource:
        poller = PollingSource(
            PollingDoors(api=self.api, database=self.database),
            self._ear(DATA_API),
            PollingSettings(normal=PACE, fast=PACE),
        )
        self._heard.listeners.append(poller.heard)
        return poller

    def _streams(self) -> list[Source]:
        found: list[Source] = [] if self.poller is None else [self.poller]
        if SOCKET in self.sources:
            matched = self.counted(ACTIVITY_ORDERS_MATCHED)
            settings = ActivitySettings(url=self._environment["COPY_TRADING_WS_URL"], **ACTIVITY)
            self.activity = ActivitySource(
                ActivityDoors(sockets=self._sockets, matched=matched), self._ear(ACTIVITY_TRADES), settings
            )
            watched = Watched(
                leaders=self.leaders,
                feed=self.activity,
                socket=[self.counted(ACTIVITY_TRADES), matched],
                others=[self.counted(label) for label in (CHAIN_LOGS, DATA_API)],
                races=self._races,
            )
            terms = HybridTerms(silent_ms=600, mute_ms=1_800, lag_max_ms=1_000)
            self.watch = StreamWatch(self.database, self.clock, watched, terms=terms, poller=self.poller)
            found += [self.activity, self.watch]
        return found

    def _chain(self) -> list[Source]:
        found: list[Source] = []
        if not {CHAIN, PENDING} & self.sources:
            return found
        urls = read_urls(self._environment["RPC_URLS"])
        settings = RpcSettings(chain_id=137, timeout_s=0.5, rest_s=0.01)
        rpc = Rpc(self.http, self.clock, self._randomness, urls=urls.calls, settings=settings)
        if CHAIN in self.sources:
            doors = ChainDoors(rpc=rpc, sockets=self._sockets, database=self.database, directory=self.directory)
            chain = ChainSettings(
                contracts=POLYGON_CONTRACTS, socket_urls=urls.sockets, cursor_key="137", **CHAIN_TERMS
            )
            self.logs = ChainLogs(doors, self._ear(CHAIN_LOGS), chain)
            found.append(self.logs)
        if PENDING in self.sources:
            pending = MempoolSettings(
                contracts=POLYGON_CONTRACTS,
                socket_urls=urls.sockets,
                blocks_max=BLOCKS_MAX,
                silence_s=5.0,
                check_s=0.05,
            )
            doors_of_pending = MempoolDoors(rpc=rpc, sockets=self._sockets)
            found.append(Mempool(doors_of_pending, self._ear(MEMPOOL), pending))
        return found

    async def _close(self) -> None:
        await self.directory.close()
        await self.http.close()
