"""The composition root's other half: what the live sources are made of, from the settings."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from copytrading.hearing import Hearing, Switched
from copytrading.held_database import HeldDatabase
from copytrading.hybrid import Health, HybridTerms, Races, SignalMode
from copytrading.leader_positions import LeaderPositions, PositionDoors, PositionSettings
from copytrading.leader_roll import LeaderRoll
from copytrading.modes import RacingSink, StreamWatch, Watched
from copytrading.queries import cursors_of
from copytrading.signals import ACTIVITY_ORDERS_MATCHED, ACTIVITY_TRADES, CHAIN_LOGS, DATA_API, MEMPOOL
from copytrading.sources.activity import ActivityDoors, ActivitySource
from copytrading.sources.block_chain import read_cursor
from copytrading.sources.book_watch import BookWatch, BookWatchDoors
from copytrading.sources.chain_doors import ChainDoors, ChainSettings
from copytrading.sources.chain_logs import ChainLogs
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.line import ActivitySettings
from copytrading.sources.live import Ear, Heard, LiveSink
from copytrading.sources.looks import PollingDoors, Replay
from copytrading.sources.market_events import MarketEvents, MarketEventsDoors, MarketEventsSettings
from copytrading.sources.market_news import RecordedNews
from copytrading.sources.mempool import Mempool, MempoolDoors, MempoolSettings
from copytrading.sources.polling import PollingSettings, PollingSource
from copytrading.sources.polls import PollPace
from copytrading.sources.stats import SourceStats
from copytrading.supervisor import Engine, Source
from copytrading.tokens import PlayedTokens
from copytrading.wiring import EngineDoors, build_shared_stores
from copytrading.wiring_books import book_allowance, build_books
from execution.data_api import DataApi
from execution.deployments import CONTRACTS, Deployment, DeploymentError, deployment_on
from execution.directory import DirectoryDoors, DirectorySettings, MarketDirectory
from execution.gamma_client import CLOB, GAMMA, GammaClient
from execution.hosts import Host
from execution.http import Http, SharedHttp
from execution.limits import Allowance, HostLimits, LimitSettings, data_api_allowances
from execution.quotes import LiveBooks
from execution.rpc import Rpc, RpcSettings, read_urls
from execution.sockets import Sockets, WebSockets
from guardrails.stores.base import CounterStore, Stores
from ledger.system import SystemClock

Gauges = Callable[[], Awaitable[dict[str, int]]]

MARKET_EVENTS = "market-events"

MS = 1_000

RECENT = timedelta(days=1)
"""A cursor that nobody moved for so long belongs to a layout of shards that is history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """What the live sources ask over the network with; `books` where somebody is priced on those of the venue."""

    http: Http
    sockets: Sockets
    api: DataApi
    directory: MarketDirectory
    books: LiveBooks | None = None
    shared: Stores | None = None

    def doors_for_engine(self, doors: EngineDoors) -> EngineDoors:
        """The doors, and what the network adds to them."""
        return replace(doors, markets=self.directory, books=self.books)

    async def close(self) -> None:
        """Let go of all connections."""
        if self.books is not None:
            await self.books.close()
        await self.directory.close()
        await self.http.close()
        if self.shared is not None:
            await self.shared.close()


def build_network(doors: EngineDoors, *, shards: int, http: Http | None = None) -> Network:
    """The clients of the venue's interfaces, with limits that the shards share where Redis is."""
    http = http or SharedHttp()
    limits = _Limits(doors, shards=shards)
    of_gamma = limits.of_host("gamma", (Allowance(kind=GAMMA, requests=settings.GAMMA_MARKETS_COUNT),))
    of_clob = limits.of_host("clob", (Allowance(kind=CLOB, requests=settings.CLOB_MARKETS_COUNT), book_allowance()))
    gamma = Host(http, of_gamma, base_url=settings.GAMMA_URL)
    clob = Host(http, of_clob, base_url=settings.CLOB_URL)
    allowances = data_api_allowances(
        activity=settings.DATA_API_ACTIVITY_COUNT,
        trades=settings.DATA_API_TRADES_COUNT,
        positions=settings.DATA_API_POSITIONS_COUNT,
    )
    data_api = Host(http, limits.of_host("data-api", allowances), base_url=settings.DATA_API_URL)
    return Network(
        http=http,
        sockets=WebSockets(),
        api=DataApi(data_api, doors.clock),
        directory=MarketDirectory(
            DirectoryDoors(client=GammaClient(gamma=gamma, clob=clob), database=doors.database, clock=doors.clock),
            DirectorySettings(markets_max=settings.MARKETS_CACHED_COUNT, fresh_s=settings.MARKETS_FRESH_S),
        ),
        books=build_books(http, of_clob, doors.clock),
        shared=limits.shared,
    )


def build_hearing(engine: Engine, network: Network, doors: EngineDoors) -> Hearing:
    """Every live source that the settings ask for, on this engine's intake. Raises ImproperlyConfigured."""
    parts = _Parts(engine, network, doors)
    running = [*parts.always(), *parts.streams(), *parts.chain()]
    engine.intake.stats = parts.stats
    engine.intake.holds = engine.lease.held
    hearing = Hearing(running, engine.clock, stats=parts.stats, prepare=parts.know_whom_to_hear)
    engine.reporter.sources = hearing.told
    engine.reporter.gauges = parts.with_stream(engine.reporter.gauges)
    return hearing


def deployment() -> Deployment:
    """The contracts of the chain that is set. Raises ImproperlyConfigured."""
    overrides = {name: getattr(settings, f"CONTRACT_{name.upper()}") for name in CONTRACTS}
    try:
        return deployment_on(settings.CHAIN_ID, overrides)
    except DeploymentError as error:
        raise ImproperlyConfigured(f"CHAIN_ID and CONTRACT_*: {error}") from None


class _Limits:
    """One pool of turns for each host."""

    def __init__(self, doors: EngineDoors, *, shards: int) -> None:
        self._doors, self._shards = doors, shards
        self.shared: Stores | None = build_shared_stores(doors.clock) if settings.REDIS_URL else None
        self._counters: CounterStore | None = self.shared.counters if self.shared else None

    def of_host(self, host: str, allowances: Sequence[Allowance]) -> HostLimits:
        terms = LimitSettings(
            allowances=tuple(allowances), share_percent=settings.DATA_API_SHARE_PERCENT, shards=self._shards
        )
        return HostLimits(self._doors.clock, self._doors.randomness, host=host, settings=terms, counters=self._counters)


class _Parts:
    """The sources of one shard, put together one by one."""

    def __init__(self, engine: Engine, network: Network, doors: EngineDoors) -> None:
        self._engine, self._network, self._doors = engine, network, doors
        self._mode = SignalMode(settings.COPY_TRADING_SIGNAL_MODE)
        self._leaders, self._heard = HeardLeaders(), Heard()
        self._database = HeldDatabase(engine.database, engine.lease.held)
        self._races = Races(lag_max_ms=settings.COPY_TRADING_WS_LAG_MAX_MS)
        self._stream_watch: StreamWatch | None = None
        self._roll = LeaderRoll(self._database, engine.clock, index=engine.configs, leaders=self._leaders)
        self.stats: dict[str, SourceStats] = {}
        self.other_places = other_places(str(settings.CHAIN_ID))
        sink = RacingSink(engine.intake, engine.clock, self._races)
        self._sink = LiveSink(
            sink,
            engine.clock,
            self._leaders,
            stats=self.stats,
            late_after_s=settings.COPY_TRADING_STALE_AFTER_S,
            heard=self._heard,
        )

    async def know_whom_to_hear(self) -> None:
        """The leaders of this shard are known when this returns."""
        await self._engine.configs.run_once()
        await self._roll.run_once()

    def with_stream(self, gauges: Gauges) -> Gauges:
        """The engine's gauges, and whether the stream is to be relied upon."""

        async def more() -> dict[str, int]:
            watch = self._stream_watch
            degraded = watch is not None and watch.state.health is Health.DEGRADED
            return {**await gauges(), "stream_degraded": int(degraded)}

        return more

    def always(self) -> list[Source]:
        """Whom to hear, and what they hold."""
        clock, database = self._engine.clock, self._database
        doors = PositionDoors(
            api=self._network.api,
            database=database,
            clock=clock,
            leaders=self._leaders,
            markets=self._network.directory,
        )
        reread = PositionSettings(reread_s=settings.COPY_TRADING_POSITIONS_REREAD_S)
        return [self._roll, LeaderPositions(doors, reread)]

    def streams(self) -> list[Source]:
        """The activity stream, the polls and the judgement between them; the market channel."""
        found: list[Source] = []
        poller = self._poller() if self._mode.polls else None
        if poller is not None:
            found.append(poller)
        if self._mode.hears_socket:
            matched = self._counted(ACTIVITY_ORDERS_MATCHED)
            activity = ActivitySource(
                ActivityDoors(sockets=self._network.sockets, matched=matched),
                self._ear(ACTIVITY_TRADES),
                ActivitySettings(
                    url=settings.COPY_TRADING_WS_URL, filter_by_address=settings.COPY_TRADING_WS_FILTER_BY_ADDRESS
                ),
            )
            self._stream_watch = self._watch(activity, matched, poller)
            found += [activity, self._stream_watch]
        if settings.COPY_TRADING_ENABLE_MARKET_EVENTS or self._network.books is not None:
            found += self._market_events()
        return found

    def chain(self) -> list[Source]:
        """Chain logs and mempool, where they are wanted and there are nodes."""
        if not (_hears_logs() or settings.COPY_TRADING_MEMPOOL):
            return []
        try:
            urls = read_urls(settings.RPC_URLS)
        except ValueError as error:
            raise ImproperlyConfigured(f"RPC_URLS: {error}") from None
        rpc = Rpc(
            self._network.http,
            self._engine.clock,
            self._doors.randomness,
            urls=urls.calls,
            settings=RpcSettings(chain_id=settings.CHAIN_ID),
        )
        found: list[Source] = []
        if _hears_logs():
            doors = ChainDoors(
                rpc=rpc,
                sockets=self._network.sockets,
                database=self._database,
                directory=self._network.directory,
            )
            found.append(ChainLogs(doors, self._ear(CHAIN_LOGS), self._chain_settings(urls.sockets)))
        if settings.COPY_TRADING_MEMPOOL:
            mempool = Switched(self._mempool(rpc, urls.sockets))
            self._engine.shedder.mempool = mempool.switch
            found.append(mempool)
        return found

    def _counted(self, label: str) -> SourceStats:
        return self.stats.setdefault(label, SourceStats(label))

    def _ear(self, label: str) -> Ear:
        return Ear(
            clock=self._engine.clock,
            randomness=self._doors.randomness,
            sink=self._sink,
            leaders=self._leaders,
            stats=self._counted(label),
        )

    def _poller(self) -> PollingSource:
        poller = PollingSource(
            PollingDoors(api=self._network.api, database=self._database),
            self._ear(DATA_API),
            PollingSettings(
                normal=_pace(settings.COPY_TRADING_POLL_ACTIVE_MS, settings.COPY_TRADING_POLL_QUIET_MS),
                fast=_pace(settings.COPY_TRADING_POLL_FAST_ACTIVE_MS, settings.COPY_TRADING_POLL_FAST_QUIET_MS),
                replay=Replay(
                    age_max_s=settings.COPY_TRADING_REPLAY_MAX_S,
                    rows_max=settings.COPY_TRADING_REPLAY_ROWS_COUNT,
                    trades_only=settings.COPY_TRADING_POLL_TRADES_ONLY,
                ),
                concurrency=settings.COPY_TRADING_POLL_CONCURRENCY_COUNT,
            ),
        )
        poller.pace(fast=not self._mode.hears_socket)
        self._heard.listeners.append(poller.heard)
        return poller

    def _watch(self, activity: ActivitySource, matched: SourceStats, poller: PollingSource | None) -> StreamWatch:
        others = [self._counted(CHAIN_LOGS)] if _hears_logs() else []
        if poller is not None:
            others.append(self._counted(DATA_API))
        silent_ms = MS * settings.COPY_TRADING_WS_SILENT_S
        return StreamWatch(
            self._database,
            self._engine.clock,
            Watched(
                leaders=self._leaders,
                feed=activity,
                socket=[self._counted(ACTIVITY_TRADES), matched],
                others=others,
                races=self._races,
            ),
            terms=HybridTerms(
                silent_ms=silent_ms, mute_ms=3 * silent_ms, lag_max_ms=settings.COPY_TRADING_WS_LAG_MAX_MS
            ),
            poller=poller,
        )

    def _market_events(self) -> list[Source]:
        engine = self._engine
        played = PlayedTokens(self._database, engine.clock)
        news = RecordedNews(self._database, engine.clock, engine.terms, refresh=self._network.directory.tick_changed)
        doors = MarketEventsDoors(
            sockets=self._network.sockets,
            clock=engine.clock,
            randomness=self._doors.randomness,
            tokens=played,
            news=news,
            stats=self._counted(MARKET_EVENTS),
            books=self._network.books.streamed if self._network.books else None,
        )
        channel = MarketEvents(doors, MarketEventsSettings(url=settings.COPY_TRADING_MARKET_WS_URL))
        return [played, channel, *self._book_watch(channel)]

    def _book_watch(self, channel: MarketEvents) -> list[Source]:
        found = self._network.books
        if found is None:
            return []
        doors = BookWatchDoors(books=found, channel=channel, clock=self._engine.clock)
        return [BookWatch(doors, compare_s=settings.COPY_TRADING_BOOK_COMPARE_S)]

    def _chain_settings(self, pushed: tuple[str, ...]) -> ChainSettings:
        shard = self._engine.lease.shard
        whole = str(settings.CHAIN_ID)
        key = whole if shard.of == 1 else f"{whole}:{shard}"
        return ChainSettings(
            contracts=deployment(),
            socket_urls=pushed,
            cursor_key=key,
            other_keys=self.other_places,
            wallets_max=settings.COPY_TRADING_CHAIN_WALLETS_COUNT,
            silence_s=settings.COPY_TRADING_CHAIN_SILENT_S,
            reconcile_s=settings.COPY_TRADING_CHAIN_RECONCILE_S,
            depth=settings.COPY_TRADING_CHAIN_DEPTH_COUNT,
            backfill_max=settings.COPY_TRADING_CHAIN_BACKFILL_COUNT,
            backfill_age_s=settings.COPY_TRADING_CHAIN_BACKFILL_S,
        )

    def _mempool(self, rpc: Rpc, pushed: tuple[str, ...]) -> Mempool:
        if not pushed:
            raise ImproperlyConfigured("COPY_TRADING_MEMPOOL needs a ws(s) address in RPC_URLS.")
        return Mempool(
            MempoolDoors(rpc=rpc, sockets=self._network.sockets),
            self._ear(MEMPOOL),
            MempoolSettings(
                contracts=deployment(),
                socket_urls=pushed,
                blocks_max=settings.COPY_TRADING_MEMPOOL_BLOCKS_COUNT,
                silence_s=settings.COPY_TRADING_CHAIN_SILENT_S,
            ),
        )


def _hears_logs() -> bool:
    wanted: bool | None = settings.COPY_TRADING_CHAIN_LOGS
    return bool(settings.RPC_URLS) if wanted is None else wanted


def _pace(active_ms: int, quiet_ms: int) -> PollPace:
    try:
        return PollPace(active_s=active_ms / MS, quiet_max_s=quiet_ms / MS)
    except ValueError as error:
        raise ImproperlyConfigured(f"COPY_TRADING_POLL_*: {error}") from None


def other_places(chain: str) -> tuple[str, ...]:
    """The cursors of the chain's logs, whoever moved them lately, the one furthest behind first.

    A shard without a cursor, because the number of shards is another one now, begins where the slowest was.
    """
    rows = cursors_of(CHAIN_LOGS, prefix=chain, since=SystemClock().now() - RECENT)
    behind = {key: marks[0].number for key, position in rows.items() if (marks := read_cursor(position))}
    return tuple(sorted(behind, key=behind.__getitem__))
