"""The CLOB's market channel: hears of changed ticks, resolved and new markets and of books, for the tokens in play."""

import asyncio
import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

import structlog

from copytrading.pauses import sleep_or_stop
from copytrading.sources.market_frames import MarketEvent, NewMarket, Resolved, TickChanged, read_events
from copytrading.sources.stats import SourceStats
from execution.backoff import backoff_s
from execution.sockets import Socket, SocketDown, Sockets
from ledger.clock import Clock, Randomness

PING = "PING"
TICK_S = 1.0

log = structlog.get_logger(__name__)


class TokensInPlay(Protocol):
    """The tokens that somebody holds or may soon trade."""

    @property
    def tokens(self) -> frozenset[int]:
        """The set now."""
        ...

    @property
    def version(self) -> int:
        """Rises with each change."""
        ...

    async def changed(self, version: int) -> None:
        """Return as soon as the version is another one than this."""
        ...


class MarketNews(Protocol):
    """Whoever is told of what happens to markets. The same news may come more than once."""

    async def tick_changed(self, condition_id: str, token_id: int, *, tick_micros: int) -> None:
        """Prices of the market lie on another tick from now on."""
        ...

    async def resolved(self, condition_id: str, winning_token: int | None) -> None:
        """The market is decided; None when nobody said for whom."""
        ...

    async def new_market(self, market: NewMarket) -> None:
        """A market has opened."""
        ...


class BookEar(Protocol):
    """Whoever keeps books by what the channel says of them."""

    def heard(self, frame: bytes) -> tuple[int, ...]:
        """A frame, whatever it tells; the tokens that must be subscribed to anew."""
        ...

    def lost(self, tokens: Iterable[int]) -> None:
        """These are no longer heard of."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketEventsDoors:
    """The outside; `books` None where nobody keeps books."""

    sockets: Sockets
    clock: Clock
    randomness: Randomness
    tokens: TokensInPlay
    news: MarketNews
    stats: SourceStats
    books: BookEar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketEventsSettings:
    """Where the channel is, and its named numbers; polymarket.md section 4.2 has where they come from."""

    url: str
    assets_max: int = 500
    """On one connection; more tokens get more connections."""
    ping_s: float = 10.0
    silent_s: float = 30.0
    """Without any frame for so long, answers to pings too, the connection is given up."""
    open_s: float = 10.0
    backoff_s: float = 0.5
    backoff_max_s: float = 30.0


class MarketEvents:
    """Spreads the tokens over connections and keeps each of them subscribed to exactly its share."""

    name = "market events"

    def __init__(self, doors: MarketEventsDoors, settings: MarketEventsSettings) -> None:
        self._doors, self._settings = doors, settings
        self._channels: dict[_Channel, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Hear until stopped; only a bug escapes."""
        try:
            while not stop.is_set():
                version = self._doors.tokens.version
                await self._spread(self._doors.tokens.tokens, stop)
                await self._wait(stop, version)
        finally:
            await self._retire(list(self._channels))

    def again(self, tokens: Collection[int]) -> None:
        """Subscribe anew to these, where they are subscribed: a fresh book follows."""
        for channel in self._channels:
            channel.again(tokens)

    def renew(self, token_id: int) -> None:
        """Give up the connection of this token for a new one: it tells nothing any more, though it is open."""
        for channel in self._channels:
            if token_id in channel.wanted:
                channel.tired = True

    def hears(self, token_id: int) -> bool:
        """Whether this token is subscribed."""
        return any(token_id in channel.wanted for channel in self._channels)

    async def _wait(self, stop: asyncio.Event, version: int) -> None:
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(self._doors.tokens.changed(version))]
        try:
            await asyncio.wait({*waiting, *self._channels.values()}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        for task in self._channels.values():
            if task.done() and not stop.is_set():
                task.result()

    async def _spread(self, tokens: frozenset[int], stop: asyncio.Event) -> None:
        """Give away what is new, where there is room; take away what is gone, and connections that lost everything."""
        kept: set[int] = set()
        for channel in self._channels:
            channel.want(channel.wanted & tokens)
            kept |= channel.wanted
        new = sorted(tokens - kept)
        for channel in self._channels:
            room = self._settings.assets_max - len(channel.wanted)
            channel.want(channel.wanted | set(new[:room]))
            new = new[room:]
        for begin in range(0, len(new), self._settings.assets_max):
            channel = _Channel(self._doors, self._settings, new[begin : begin + self._settings.assets_max])
            self._channels[channel] = asyncio.create_task(channel.run(stop))
        await self._retire([channel for channel in self._channels if not channel.wanted])

    async def _retire(self, channels: Iterable["_Channel"]) -> None:
        tasks = [self._channels.pop(channel) for channel in channels]
        for task in tasks:
            task.cancel()
        for end in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(end, Exception):
                raise end


class _Channel:
    """One connection with its share of the tokens; reconnects by itself."""

    def __init__(self, doors: MarketEventsDoors, settings: MarketEventsSettings, tokens: Iterable[int]) -> None:
        self._doors, self._settings = doors, settings
        self.wanted = frozenset(tokens)
        self.tired = False
        self._again: set[int] = set()
        self._bell = asyncio.Event()
        self._frames = 0

    def want(self, tokens: Collection[int]) -> None:
        """From now on these."""
        if self.wanted != tokens:
            gone, self.wanted = self.wanted - set(tokens), frozenset(tokens)
            self._lost(gone)
            self._bell.set()

    def again(self, tokens: Collection[int]) -> None:
        """These anew."""
        self._again |= self.wanted & set(tokens)
        if self._again:
            self._bell.set()

    async def run(self, stop: asyncio.Event) -> None:
        failures, terms = 0, self._settings
        while not stop.is_set():
            self._frames = 0
            try:
                await self._hear(stop)
            except SocketDown as down:
                log.warning("A market channel ended.", action="receive", source=MarketEvents.name, why=str(down))
            failures = 0 if self._frames else failures + 1
            chance = self._doors.randomness
            wait_s = backoff_s(failures, base_s=terms.backoff_s, cap_s=terms.backoff_max_s, randomness=chance)
            await sleep_or_stop(self._doors.clock, stop, wait_s)

    async def _hear(self, stop: asyncio.Event) -> None:
        socket = await self._doors.sockets.open(self._settings.url, timeout_s=self._settings.open_s)
        parts = (self._subscribe(socket), self._receive(socket), self._mind(socket), _stopped(stop))
        tasks = [asyncio.create_task(part) for part in parts]
        try:
            done, _pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            self._lost(self.wanted)
            await socket.close()
            for end in ends:
                if isinstance(end, Exception) and not isinstance(end, SocketDown):
                    raise end
        for task in done:
            task.result()

    async def _subscribe(self, socket: Socket) -> None:
        """Say what is wanted, and after each change only the difference."""
        self._bell.clear()
        subscribed, self._again, self.tired = self.wanted, set(), False
        first = {"assets_ids": _texts(subscribed), "type": "market", "custom_feature_enabled": True}
        await socket.send(json.dumps(first, separators=(",", ":")))
        while True:
            await self._bell.wait()
            self._bell.clear()
            # A second subscription of what is subscribed is passed over: it has to be ended first (polymarket.md 4.2).
            wanted, again, self._again = self.wanted, self._again & subscribed & self.wanted, set()
            gone, new = (subscribed - wanted) | again, (wanted - subscribed) | again
            for operation, tokens in (("unsubscribe", gone), ("subscribe", new)):
                if tokens:
                    said = {"operation": operation, "assets_ids": _texts(tokens)}
                    await socket.send(json.dumps(said, separators=(",", ":")))
            subscribed = wanted

    async def _receive(self, socket: Socket) -> None:
        stats = self._doors.stats
        while True:
            frame = await socket.receive()
            self._frames += 1
            if self._doors.books is not None:
                self.again(self._doors.books.heard(frame))
            for event in read_events(frame):
                stats.received()
                stats.alive(self._doors.clock.monotonic_ms())
                await self._tell(event)

    def _lost(self, tokens: Iterable[int]) -> None:
        if self._doors.books is not None:
            self._doors.books.lost(tokens)

    async def _tell(self, event: MarketEvent) -> None:
        news = self._doors.news
        if isinstance(event, TickChanged):
            await news.tick_changed(event.condition_id, event.token_id, tick_micros=event.tick_micros)
        elif isinstance(event, Resolved):
            await news.resolved(event.condition_id, event.winning_token)
        elif isinstance(event, NewMarket):
            await news.new_market(event)
        else:
            self._doors.stats.undecodable()
            log.warning("A market event could not be read.", action="read", why=event.sentence)

    async def _mind(self, socket: Socket) -> None:
        """Ping, and raise SocketDown when nothing has come for too long, or nothing but answers to pings."""
        clock, settings = self._doors.clock, self._settings
        frames, heard_ms = self._frames, clock.monotonic_ms()
        pinged_ms = heard_ms
        while True:
            await clock.sleep(min(TICK_S, settings.ping_s, settings.silent_s))
            now_ms = clock.monotonic_ms()
            if self._frames != frames:
                frames, heard_ms = self._frames, now_ms
            if self.tired:
                raise SocketDown("Subscriptions are not answered.")
            if now_ms - heard_ms >= settings.silent_s * 1_000:
                raise SocketDown(f"Nothing for {settings.silent_s:g} s.")
            if now_ms - pinged_ms >= settings.ping_s * 1_000:
                pinged_ms = now_ms
                await socket.send(PING)


async def _stopped(stop: asyncio.Event) -> None:
    await stop.wait()


def _texts(tokens: Collection[int]) -> list[str]:
    return [str(token) for token in sorted(tokens)]
