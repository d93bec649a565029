"""The made-up world of a verification: leaders with followers and a book, and real engines that copy them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from threading import Barrier
from typing import Any, TypeVar

from django.db import connection
from django.db.models import QuerySet

from copytrading.groups import Tally
from copytrading.models import CopyConfig, CopyTrade, Follower, Leader
from copytrading.operations.cast import seed_followers, seed_leaders, wallet_named
from copytrading.operations.prewrite import Prewrite
from copytrading.operations.signals import record_signals
from copytrading.signals import LeaderAction, parse_row
from copytrading.supervisor import Engine
from copytrading.verification.doors import HeldBack
from copytrading.verification.steps import Wrong
from copytrading.wiring import EngineDoors, build_engine, build_shared_stores, build_stores
from copytrading.wiring_choices import Choices
from execution.books import Book, Level
from execution.models import Market
from execution.ports import Venue
from execution.quotes import FixedBooks
from ledger.clock import Clock
from ledger.db import ClosableDatabase, ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock, SystemIds
from ledger.units import ONE, Micros, micros_from_text

T = TypeVar("T")

STEP_SECONDS_MAX = 60
"""An engine that is at work for longer hangs; the slowest step takes about a second."""
RACE_SECONDS_MAX = 20
THREADS = 4
SHARES_DEEP = 1_000_000
CASH = 1_000 * ONE
FEE_BPS = 100
TOKEN_BASE = 10**76
"""Tokens as long as real ones, far above every native integer."""

TEN_DOLLARS: Mapping[str, Any] = {"sizing": "FIXED_AMOUNT", "amount_micros": 10 * ONE, "slippage_bps_max": 0}
"""What a follower buys unless said: at a price of 0.50, 20 shares for exactly $10 at the limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """A leader, those who follow, and the market that is traded."""

    leader: Leader
    followers: Sequence[Follower]
    condition_id: str
    token_id: int

    def action(self, side: str = "BUY", *, size: str = "1000", price: str = "0.50") -> LeaderAction:
        """The leader trades, in a transaction of its own, as the real parser reads it."""
        ids = SystemIds()
        row = {
            "proxyWallet": self.leader.wallet,
            "type": "TRADE",
            "side": side,
            "asset": str(self.token_id),
            "conditionId": self.condition_id,
            "size": size,
            "price": price,
            "timestamp": int(SystemClock().now().timestamp()),
            "transactionHash": f"0x{ids.token()}{ids.token()}",
            "outcomeIndex": 0,
        }
        action = parse_row(row, source="verify", place="a made-up row")
        if not isinstance(action, LeaderAction):
            raise Wrong(f"The made-up row could not be read: {action}.")
        return action

    def trades(self) -> QuerySet[CopyTrade]:
        """Every copy of this leader, oldest first."""
        return CopyTrade.objects.filter(leader=self.leader).order_by("pk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What an engine finds outside; the paper venue unless another is given."""

    clock: Clock
    venue: Venue | None = None
    through: Callable[[ClosableDatabase], ClosableDatabase] = lambda database: database


class Bench:
    """Makes casts, engines and races. Each cast is new: what one step does is nothing to the next."""

    def __init__(self) -> None:
        self.books = FixedBooks(SystemClock())
        self._casts = 0

    def cast(
        self, followers: int, *, vary: Sequence[Mapping[str, Any]] = ({},), limit_micros: int | None = None
    ) -> Cast:
        """A leader with so many followers, whose configs vary in turn; the limit is on the leader's day."""
        self._casts += 1
        number = self._casts
        wallet = wallet_named(f"verify leader {number}")
        (leader,) = seed_leaders({wallet: f"Leader {number}"}, holdings_complete=True)
        Leader.objects.filter(pk=leader.pk).update(daily_limit_micros=limit_micros)
        names = [f"Follower {index}" for index in range(followers)]
        rows = seed_followers(names, label=_label(number), cash_micros=CASH)
        CopyConfig.objects.bulk_create(
            CopyConfig(leader=leader, follower=row, **{**TEN_DOLLARS, **vary[index % len(vary)]})
            for index, row in enumerate(rows)
        )
        cast = Cast(leader=leader, followers=rows, condition_id=f"0x{number:064x}", token_id=TOKEN_BASE + number)
        Market.objects.create(condition_id=cast.condition_id, first_token_id=cast.token_id, fee_rate_bps=FEE_BPS)
        self.set_book(cast, "0.50")
        return cast

    def set_book(self, cast: Cast, price: str) -> None:
        """Deep bids and asks at this one price."""
        level = (Level(micros_from_text(price), Micros(SHARES_DEEP * ONE)),)
        self.books.put(Book(token_id=cast.token_id, bids=level, asks=level, version=f"at {price}"))

    def record(self, action: LeaderAction) -> int:
        """Write the action's signal without telling an engine; its id."""
        recorded = record_signals([Tally().add(action)], now=SystemClock().now())
        (signal,) = recorded.signals
        return signal.signal_id

    def plan(self, signal_id: int) -> Prewrite:
        """The batch that an engine would write for a signal now, with a lock token, salts and hashes of its own.

        It names no lease, which would make one of two writers wait for the other.
        """
        kept: list[HeldBack] = []

        def hold_back(database: ClosableDatabase) -> ClosableDatabase:
            kept.append(HeldBack(database))
            return kept[0]

        self.play(lambda engine: engine.pipeline.process([signal_id]), Outside(clock=SystemClock(), through=hold_back))
        (batch,) = kept[0].batches
        return replace(batch, lease=None)

    def copy(self, *actions: LeaderAction, outside: Outside | None = None) -> None:
        """An engine is shown these actions in one reading and carries the copies to their ends."""

        async def work(engine: Engine) -> None:
            await engine.intake.offer("reading", actions, complete=True)
            await decide_queued(engine)

        self.play(work, outside)

    def play(self, work: Callable[[Engine], Awaitable[T]], outside: Outside | None = None) -> T:
        """Have a fresh engine, which holds its shard's lease, do this work; the work's answer."""
        return asyncio.run(_play(work, outside or Outside(clock=SystemClock()), self.books))

    def race(self, *works: Callable[[], T]) -> list[T]:
        """What each work answers; all begin at the same moment, each on a connection of its own."""
        return asyncio.run(_race(works))


def wallets_of(*, casts: int, followers: Iterable[int]) -> list[str]:
    """The wallets of these followers (by index) of the first so many casts, known before there are any."""
    indexes = tuple(followers)
    return [wallet_named(f"{_label(number)}:{index}") for number in range(1, casts + 1) for index in indexes]


async def decide_queued(engine: Engine) -> None:
    """Decide what is queued and wait for the outcome of every order."""
    while await engine.stores.queue.size():
        await engine.pipeline.run_once()
    await engine.sender.idle()


async def clear_stores() -> None:
    """Delete what the engines' stores hold under the prefix of the settings, also what shards share."""
    clock = SystemClock()
    for stores in (build_stores(clock, shard=0, of=1), build_shared_stores(clock)):
        try:
            await stores.clear()
        finally:
            await stores.close()


def _label(number: int) -> str:
    return f"verify follower of {number}"


async def _play(work: Callable[[Engine], Awaitable[T]], outside: Outside, books: FixedBooks) -> T:
    # SQLite has one writer: more threads would only wait for its lock.
    database = ThreadedDatabase(THREADS if connection.vendor == "postgresql" else 1)
    stores = build_stores(outside.clock, shard=0, of=1)
    doors = EngineDoors(
        clock=outside.clock,
        ids=SystemIds(),
        randomness=SeededRandomness(1),
        database=outside.through(database),
        stores=stores,
        venue=outside.venue,
    )
    engine = build_engine(Choices(live=False, quotes=books, venue_latency=False), doors)
    try:
        async with asyncio.timeout(STEP_SECONDS_MAX), _running(engine):
            return await work(engine)
    finally:
        await stores.close()
        database.close()


@asynccontextmanager
async def _running(engine: Engine) -> AsyncIterator[None]:
    """The lease is held and outcomes are written; nothing else runs by itself."""
    await engine.lease.acquire()
    stop = asyncio.Event()
    writing = asyncio.create_task(engine.writer.run(stop))
    try:
        yield
    finally:
        stop.set()
        try:
            await writing
        finally:
            await engine.lease.release()


async def _race(works: Sequence[Callable[[], T]]) -> list[T]:
    start = Barrier(len(works))
    runners = [ThreadedDatabase(1) for _work in works]
    try:
        racing = (runner.run(partial(_begin, start, work)) for runner, work in zip(runners, works, strict=True))
        return await asyncio.gather(*racing)
    finally:
        for runner in runners:
            runner.close()


def _begin(start: Barrier, work: Callable[[], T]) -> T:
    connection.ensure_connection()
    start.wait(RACE_SECONDS_MAX)
    return work()
