"""Hears trades of accounts that were active lately, each on a connection of its own: the venue wants one for each key.

A connection is speed, never truth: it has no replay, so whatever it misses is found by rescue's questions. Accounts
that are quiet, or too many at once, have none. What a connection does is never said against an account: of several that
end the channel's own restart is the likelier reason, so that it only makes somebody ask the venue about the key.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import structlog
from django.db import InterfaceError, OperationalError

from copytrading.accounts.doubts import About, Doubt
from copytrading.operations.fills import OrderNews, ask_soon
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard
from copytrading.tracking.fills import FillTracking
from copytrading.tracking.queries import active_followers
from execution.backoff import backoff_s
from execution.clob.credentials import Access, CredentialBook
from execution.clob.user_stream import PING, PING_S, UserNews, read_frame, subscription
from execution.hosts import HostDown, HostRefused
from execution.ports import VenueTrade
from execution.sockets import Socket, SocketDown, Sockets
from ledger.clock import Clock, Randomness
from ledger.db import Database

LOOK_S = 1.0
"""How often is looked who is active."""

SILENT_S = 30.0
"""The venue answers every ping: three without an answer, and the connection is dead."""

OPEN_S = 10.0
RETRY_BASE_S, RETRY_CAP_S = 1.0, 60.0

LASTED_S = 60.0
"""A connection that lasted so long was well; the next failure counts as the first again."""

DOUBTED_AFTER = 3
"""The venue closes on a key that it does not take and says nothing: after so many closed unheard somebody asks it."""

TRIES_MAX = 3
"""Of reading a trade whose market's fee is not known yet; then it is left to rescue."""

CLOSES = Doubt(about=About.CREDENTIALS, why="The user channel closes on its key at once.")
REFUSES = Doubt(about=About.CREDENTIALS, why="The user channel refused its key.")

OnDoubt = Callable[[int, Doubt], None]
"""Called when the venue seems to take a follower's key no longer: the account is looked at."""

log = structlog.get_logger(__name__)


class TradeReader(Protocol):
    """Reads trade rows as parts of an account's orders; `execution.venues.clob` does."""

    async def own_parts(self, rows: Sequence[Mapping[str, object]], access: Access) -> tuple[VenueTrade, ...]:
        """Raises HostDown for what cannot be read, or not yet."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamDoors:
    """The outside as the connections reach it."""

    database: Database
    clock: Clock
    randomness: Randomness
    sockets: Sockets
    access: CredentialBook
    trades: TradeReader
    fills: FillTracking
    doubt: OnDoubt


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """Where the user channel is; an account is active for so long after its last copy, at most so many have one."""

    url: str
    active_for: timedelta = timedelta(minutes=10)
    connections_max: int = 200


class UserStreams:
    """Keeps a connection for each active account that belongs to the shard, whichever shard sent its orders."""

    name = "user streams"

    def __init__(self, doors: StreamDoors, settings: StreamSettings, *, shard: Shard) -> None:
        self._doors, self._settings, self._shard = doors, settings, shard
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def connections(self) -> frozenset[int]:
        """The followers that have one now, or are about to."""
        return frozenset(self._tasks)

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second who is active, until stopped; then all connections are closed."""
        try:
            while not stop.is_set():
                try:
                    await self.run_once()
                except (OperationalError, InterfaceError):
                    log.warning("The database is away; connections stay as they are.", action="user stream")
                await sleep_or_stop(self._doors.clock, stop, LOOK_S)
        finally:
            await self._end(self._tasks)

    async def run_once(self) -> None:
        """Open what is missing, close what is quiet. Raises what a connection raised, which is a bug."""
        since = self._doors.clock.now() - self._settings.active_for
        wanted = await self._doors.database.run(
            active_followers, since=since, limit=self._settings.connections_max, shard=self._shard
        )
        for task in [task for task in self._tasks.values() if task.done()]:
            task.result()
        await self._end(self._tasks.keys() - set(wanted))
        for follower_id in wanted:
            if follower_id not in self._tasks:
                stream = _Stream(self._doors, self._settings.url, follower_id=follower_id)
                self._tasks[follower_id] = asyncio.create_task(stream.run(), name=f"user-{follower_id}")

    async def _end(self, follower_ids: Iterable[int]) -> None:
        ending = [self._tasks.pop(each) for each in list(follower_ids)]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)


class _Stream:
    """One account's connection, made again whenever it ends."""

    def __init__(self, doors: StreamDoors, url: str, *, follower_id: int) -> None:
        self._doors, self._url, self._follower_id = doors, url, follower_id
        self._failed = self._unheard = 0
        self._heard_ms, self._answered = 0.0, False

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            began_ms = self._doors.clock.monotonic_ms()
            try:
                access = await self._doors.access.of(self._follower_id)
                if access is not None:
                    await self._listen(access)
            except SocketDown as down:
                self._note_end(str(down), lasted_s=(self._doors.clock.monotonic_ms() - began_ms) / 1_000)
            self._failed += 1
            wait_s = backoff_s(
                self._failed - 1, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, randomness=self._doors.randomness
            )
            await self._doors.clock.sleep(wait_s)

    async def _listen(self, access: Access) -> None:
        socket = await self._doors.sockets.open(self._url, timeout_s=OPEN_S)
        try:
            await socket.send(subscription(access.credentials))
            self._heard_ms, self._answered = self._doors.clock.monotonic_ms(), False
            minding = asyncio.create_task(self._mind(socket))
            receiving = asyncio.create_task(self._receive(socket, access))
            try:
                await asyncio.wait({minding, receiving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                minding.cancel()
                receiving.cancel()
                ends = await asyncio.gather(minding, receiving, return_exceptions=True)
            bugs = [end for end in ends if isinstance(end, Exception) and not isinstance(end, SocketDown)]
            raise next(iter(bugs), None) or next(end for end in ends if isinstance(end, SocketDown))
        finally:
            await socket.close()

    async def _mind(self, socket: Socket) -> None:
        """Ping, and end a connection on which nothing comes any more, not even the answers."""
        while True:
            await self._doors.clock.sleep(PING_S)
            if self._doors.clock.monotonic_ms() - self._heard_ms >= SILENT_S * 1_000:
                raise SocketDown(f"No answer for {SILENT_S:g} s.")
            await socket.send(PING)

    async def _receive(self, socket: Socket, access: Access) -> None:
        while True:
            frame = await socket.receive()
            self._heard_ms, self._answered = self._doors.clock.monotonic_ms(), True
            news = read_frame(frame)
            if news.unread:
                self._look_at_unread(news)
            if news.trades or news.orders:
                self._failed = self._unheard = 0
                await self._take(news, access)

    def _look_at_unread(self, news: UserNews) -> None:
        if news.refused:
            self._doors.doubt(self._follower_id, REFUSES)
            raise SocketDown("The venue refused the key.")
        log.warning("A frame of the user channel could not be read.", action="user stream", follower=self._follower_id)

    async def _take(self, news: UserNews, access: Access) -> None:
        trades = await self._read(news, access)
        matched = [
            OrderNews(order_hash=order.order_hash, matched_micros=order.matched_micros)
            for order in news.orders
            if order.matched_micros and not order.rests
        ]
        # That an order is over says what its trades are only when they are read after it.
        ask = {order.order_hash for order in news.orders if not order.rests}
        try:
            if trades or matched:
                # What stands on the venue and has no outcome here is rescue's to find.
                ask |= (await self._doors.fills.note(trades, matched)).too_early
            if ask:
                await self._doors.database.run(ask_soon, sorted(ask), now=self._doors.clock.now())
        except (OperationalError, InterfaceError):
            log.warning("The database is away; rescue will ask about these trades.", action="user stream")

    async def _read(self, news: UserNews, access: Access) -> tuple[VenueTrade, ...]:
        why = ""
        for _try in range(TRIES_MAX):
            try:
                return await self._doors.trades.own_parts(news.trades, access) if news.trades else ()
            except (HostDown, HostRefused) as trouble:
                why = str(trouble)
            await self._doors.clock.sleep(RETRY_BASE_S)
        log.warning("A trade of the user channel could not be read; rescue will ask.", action="user stream", why=why)
        return ()

    def _note_end(self, why: str, *, lasted_s: float) -> None:
        log.info("A user channel ended.", action="user stream", follower=self._follower_id, why=why)
        if lasted_s >= LASTED_S:
            self._failed = 0
        closed_unheard = why.startswith("receive") and not self._answered
        self._unheard = self._unheard + 1 if closed_unheard else 0
        if self._unheard == DOUBTED_AFTER:
            # Counted anew: while it goes on it is asked again, as seldom as connections are tried.
            self._unheard = 0
            self._doors.doubt(self._follower_id, CLOSES)
