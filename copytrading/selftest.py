"""One paper trade through the whole real path before a supervisor starts, on made-up people; nothing is committed.

Signal, queue, decision, prewrite, signed order, paper venue, outcome, ledger: the same parts as in the engine, on the
configured database, with stores of its own. The operator's limits and pauses are not in its way.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import structlog
from django.db import connection
from prometheus_client.metrics import MetricWrapperBase

from copytrading import metrics
from copytrading.models import CopyConfig, CopyTrade, Follower, Leader, Signal
from copytrading.operations.cast import seed_followers, seed_leaders
from copytrading.rehearsal import Rehearsal
from copytrading.shards import shard_of
from copytrading.signals import LeaderAction, parse_row
from copytrading.states import Status
from copytrading.supervisor import Engine
from copytrading.wiring import EngineDoors, build_engine
from copytrading.wiring_choices import Choices, operator_bounds
from execution.books import Book, Level
from execution.models import Market, Position
from execution.ports import Venue
from execution.quotes import FixedBooks
from execution.terms import USUAL
from execution.venues.paper import PaperConfig, PaperDoors, PaperVenue
from guardrails.budgets import PeriodBounds
from guardrails.intents import Limits
from guardrails.models import Breaker, Switch
from guardrails.stores.memory import memory_stores
from ledger.clock import Clock, Ids
from ledger.models import CashBalance, LedgerEntry
from ledger.system import SeededRandomness, SystemClock, SystemIds
from ledger.units import ONE, Micros

HIDDEN = (Switch, Breaker)
"""Tables that could refuse the trade, and that shards and the pause button write: empty in here, never locked."""

OF = 32_767
"""As many shards as a lease can name and no installation has: the self-test's lease is in nobody's way."""

CASH, DOLLARS, PRICE, SHARES = 100 * ONE, 10 * ONE, Micros(ONE // 2), 20 * ONE
"""The follower's deposit; what it copies: $10 at 0.50, which is 20 shares."""
TERMS = {"sizing": "FIXED_AMOUNT", "amount_micros": DOLLARS, "slippage_bps_max": 0}
LEADER_SHARES = "1000"
RECLAIM_MS = 30_000

log = structlog.get_logger(__name__)


class SelfTestFailed(Exception):
    """What went wrong, as a sentence, and at which step."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"The self-test failed at the step `{step}`: {why}")
        self.step = step


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTestDoors:
    """The outside; tests give a venue or a database that fails. `venue` None is a paper venue without faults."""

    seconds_max: int
    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=SystemIds)
    venue: Venue | None = None
    rehearsal: Callable[..., Rehearsal] = Rehearsal


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cast:
    leader: Leader
    follower: Follower
    condition_id: str
    token_id: int


def run_selftest(doors: SelfTestDoors) -> dict[str, float]:
    """Milliseconds by step. Raises SelfTestFailed; nothing stays, whether it passes, fails or is interrupted."""
    try:
        return asyncio.run(_within_time(doors))
    finally:
        _forget_metrics()


async def _within_time(doors: SelfTestDoors) -> dict[str, float]:
    test = _SelfTest(doors)
    try:
        async with asyncio.timeout(doors.seconds_max):
            return await test.run()
    except TimeoutError:
        raise SelfTestFailed(test.step, f"it took longer than {doors.seconds_max} s.") from None


class _SelfTest:
    """The steps, each timed; `step` is the one under way."""

    def __init__(self, doors: SelfTestDoors) -> None:
        self._doors = doors
        self._took_ms: dict[str, float] = {}
        self.step = "begin"

    async def run(self) -> dict[str, float]:
        doors, token = self._doors, self._doors.ids.token()
        try:
            async with doors.rehearsal(seconds_max=doors.seconds_max, hidden=HIDDEN) as database:
                cast = await self._timed("begin", lambda: database.run(_make_cast, token))
                engine = _engine(doors, database, cast)
                await self._trade(engine, cast)
                self.step = "roll back"
        except SelfTestFailed:
            raise
        except Exception as error:  # the boundary: whatever a step meets is its failure
            log.error("The self-test raised.", action="selftest", step=self.step, exc_info=error)
            first_line = str(error).strip().partition("\n")[0]
            raise SelfTestFailed(self.step, f"{type(error).__name__}: {first_line}") from error
        return self._took_ms

    async def _trade(self, engine: Engine, cast: _Cast) -> None:
        await self._timed("lease", engine.lease.acquire)
        await self._timed("record", lambda: _record(engine, cast))
        stop = asyncio.Event()
        writing = asyncio.create_task(engine.writer.run(stop), name="selftest outcomes")
        try:
            await self._timed("decide", engine.pipeline.run_once)
            await self._timed("send", lambda: _sent(engine, writing))
        finally:
            stop.set()
            writing.cancel()
        await self._timed("check", lambda: engine.database.run(_check, cast))

    async def _timed(self, step: str, work: Callable[[], Awaitable[Any]]) -> Any:
        self.step, began_ms = step, self._doors.clock.monotonic_ms()
        try:
            return await work()
        finally:
            self._took_ms[step] = round(self._doors.clock.monotonic_ms() - began_ms, 1)


def _make_cast(token: str) -> _Cast:
    """Made-up people whose wallets, condition and token nobody else has."""
    leader_wallet, condition_id, token_id = f"0x{token:0>40}", f"0x{token:0>64}", int(token, 16)
    (leader,) = seed_leaders({leader_wallet: "Self-test leader"}, holdings_complete=True)
    (follower,) = seed_followers(["Self-test follower"], label=f"selftest:{token}", cash_micros=CASH)
    CopyConfig.objects.create(leader=leader, follower=follower, **TERMS)
    Market.objects.create(condition_id=condition_id, first_token_id=token_id, title="Self-test")
    return _Cast(leader=leader, follower=follower, condition_id=condition_id, token_id=token_id)


def _engine(doors: SelfTestDoors, database: Rehearsal, cast: _Cast) -> Engine:
    books = FixedBooks(doors.clock)
    level = (Level(PRICE, Micros(1_000_000 * ONE)),)
    books.put(Book(token_id=cast.token_id, bids=level, asks=level, version="selftest"))
    randomness = SeededRandomness(1)
    paper = PaperDoors(quotes=books, terms_of=lambda _token: USUAL, clock=doors.clock, randomness=randomness)
    choices = Choices(shard=shard_of(cast.leader.wallet, OF), of=OF, live=False, quotes=books)
    unbounded = replace(
        operator_bounds(choices),
        dry_run=False,
        allowlist=frozenset(),
        limits=Limits(),
        global_bounds=PeriodBounds(),
        market_bounds=PeriodBounds(),
    )
    outside = EngineDoors(
        clock=doors.clock,
        ids=doors.ids,
        randomness=randomness,
        database=database,
        stores=memory_stores(doors.clock, queue_max=1, reclaim_ms=RECLAIM_MS),
        venue=doors.venue or PaperVenue("paper", paper, config=PaperConfig(latency_ms=0, jitter_ms=0)),
    )
    return build_engine(replace(choices, operator=unbounded), outside)


async def _record(engine: Engine, cast: _Cast) -> None:
    row = {
        "proxyWallet": cast.leader.wallet,
        "type": "TRADE",
        "side": "BUY",
        "asset": str(cast.token_id),
        "conditionId": cast.condition_id,
        "size": LEADER_SHARES,
        "price": "0.50",
        "timestamp": int(engine.clock.now().timestamp()),
        "transactionHash": cast.condition_id,
        "outcomeIndex": 0,
    }
    action = parse_row(row, source="selftest", place="a made-up row")
    if not isinstance(action, LeaderAction):
        raise SelfTestFailed("record", f"the made-up row could not be read: {action}.")
    await engine.intake.offer("selftest", [action], complete=True)
    queued = await engine.stores.queue.size()
    if queued != 1:
        raise SelfTestFailed("record", f"{queued} signals were queued instead of 1.")


async def _sent(engine: Engine, writing: "asyncio.Task[None]") -> None:
    """Every order has its outcome, or what the writer raised."""
    idle = asyncio.create_task(engine.sender.idle(), name="selftest sends")
    try:
        await asyncio.wait({idle, writing}, return_when=asyncio.FIRST_COMPLETED)
        (writing if writing.done() else idle).result()
    finally:
        idle.cancel()


def _check(cast: _Cast) -> None:
    """Every row says what this trade must leave behind. Raises SelfTestFailed."""
    trade = CopyTrade.objects.filter(leader=cast.leader).first()
    if trade is None or trade.status != Status.EXECUTED:
        told = f"{trade.status} {[each['reason'] for each in trade.reasons]}" if trade else "no row"
        raise SelfTestFailed("check", f"the copy is {told} instead of EXECUTED.")
    cash = CashBalance.objects.get(follower=cast.follower)
    position = Position.objects.filter(follower=cast.follower, token_id=cast.token_id).first()
    found = {
        "open signals": Signal.objects.filter(leader=cast.leader, done_at__isnull=True).count(),
        "filled micros": trade.fill_size_micros,
        "cash micros": cash.cash_micros,
        "reserved micros": cash.reserved_micros,
        "position micros": position.size_micros if position else 0,
        "ledger entries": LedgerEntry.objects.filter(trade=trade).exists(),
    }
    wanted = {
        "open signals": 0,
        "filled micros": SHARES,
        "cash micros": CASH - DOLLARS,
        "reserved micros": 0,
        "position micros": SHARES,
        "ledger entries": True,
    }
    wrong = [f"{name}: {found[name]} instead of {wanted[name]}" for name in wanted if found[name] != wanted[name]]
    if wrong:
        raise SelfTestFailed("check", f"{'; '.join(wrong)}.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # what a commit would have checked


def _forget_metrics() -> None:
    """The trade never happened: this process's counters begin at zero again."""
    for metric in vars(metrics).values():
        if not isinstance(metric, MetricWrapperBase):
            continue
        if metric._labelnames:
            metric.clear()
        elif reset := getattr(metric, "reset", None):
            reset()
