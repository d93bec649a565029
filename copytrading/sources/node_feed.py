"""One subscription after another to a node of the chain over a bare websocket, with new heads as the watchdog.

It only passes on what nodes push; who listens reads everything that matters again over HTTP.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from copytrading.pauses import sleep_or_stop
from execution.backoff import backoff_s
from execution.chain_events import Undecodable, quantity
from execution.rpc import name_of
from execution.sockets import Socket, SocketDown, Sockets
from execution.wire import WireError, decode
from ledger.clock import Clock, Randomness

HEADS = "newHeads"

WATCH_S = 0.5
"""How often the watchdog looks."""

log = structlog.get_logger(__name__)

Channels = Mapping[str, Sequence[object]]
"""What to subscribe to: a name of ours, and the parameters of `eth_subscribe`."""


class Listener(Protocol):
    """Who hears what the nodes push. Its methods return at once."""

    def channels(self) -> Channels:
        """What to subscribe to now, besides the heads."""
        ...

    async def changed(self) -> None:
        """Return when `channels` answers differently."""
        ...

    def connected(self) -> None:
        """A connection has all its subscriptions: what happened before it was not pushed."""
        ...

    def heard(self, channel: str, value: object) -> None:
        """A push of one of the channels, or of HEADS."""
        ...

    def refused(self, channel: str) -> None:
        """The node does not offer this channel; the others go on."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedSettings:
    """`silence_s` without a new head ends a connection: it may be half open, or its node has stopped."""

    chain_id: int
    urls: tuple[str, ...]
    silence_s: float = 15.0
    open_s: float = 5.0
    ping_s: float = 5.0
    base_s: float = 0.5
    cap_s: float = 15.0


class NodeFeed:
    """Takes the endpoints in turn, so that one that fails or falls silent is left for the next."""

    def __init__(self, sockets: Sockets, clock: Clock, randomness: Randomness, settings: FeedSettings) -> None:
        self._sockets, self._clock, self._randomness, self._settings = sockets, clock, randomness, settings
        self._refused: set[str] = set()

    async def run(self, stop: asyncio.Event, listener: Listener) -> None:
        """Listen until stopped, or until every endpoint is refused."""
        turn = failures = 0
        while not stop.is_set():
            urls = [url for url in self._settings.urls if url not in self._refused]
            if not urls:
                await stop.wait()
                return
            lived = await self._connect(urls[turn % len(urls)], stop, listener)
            failures = 0 if lived else failures + 1
            turn += 1
            settings = self._settings
            delay_s = backoff_s(failures, base_s=settings.base_s, cap_s=settings.cap_s, randomness=self._randomness)
            await sleep_or_stop(self._clock, stop, delay_s)

    async def _connect(self, url: str, stop: asyncio.Event, listener: Listener) -> bool:
        """One connection, to its end; whether it ever showed a head."""
        name = name_of(url, self._settings.urls.index(url))
        try:
            socket = await self._sockets.open(url, timeout_s=self._settings.open_s, ping_s=self._settings.ping_s)
        except SocketDown as down:
            log.info("A node cannot be subscribed to.", action="chain", node=name, why=str(down))
            return False
        talk = _Talk(socket, self._clock, listener, self._settings)
        tasks = [asyncio.create_task(work) for work in (talk.read(), talk.watch(), talk.follow(), stop.wait())]
        try:
            done, _rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except _OtherChain as other:
            self._refused.add(url)
            log.error("A node of another chain is refused.", action="chain", node=name, why=str(other))
        except SocketDown as down:
            log.info("A subscription ended.", action="chain", node=name, why=str(down))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await socket.close()
        return talk.lived


class _OtherChain(Exception):
    """The node is on another chain."""


class _Talk:
    """What is said on one connection."""

    def __init__(self, socket: Socket, clock: Clock, listener: Listener, settings: FeedSettings) -> None:
        self._socket, self._clock, self._listener, self._settings = socket, clock, listener, settings
        self._number = 0
        self._asked: dict[int, str] = {}
        self._names: dict[str, str] = {}
        self._alive_ms = clock.monotonic_ms()
        self.lived = False

    async def read(self) -> None:
        """Subscribe and pass on every push. Raises SocketDown, or _OtherChain."""
        await self._ask("", "eth_chainId", ())
        await self._ask(HEADS, "eth_subscribe", (HEADS,))
        await self._subscribe()
        while True:
            self._take(await self._socket.receive())

    async def watch(self) -> None:
        """Raise SocketDown when no head has come for too long."""
        while self._clock.monotonic_ms() - self._alive_ms < self._settings.silence_s * 1_000:
            await self._clock.sleep(min(WATCH_S, self._settings.silence_s / 4))
        raise SocketDown("no new head for too long")

    async def follow(self) -> None:
        """Subscribe anew whenever the channels change; the old ones end after the new ones were asked for."""
        while True:
            await self._listener.changed()
            old = [each for each, name in self._names.items() if name != HEADS]
            await self._subscribe()
            for each in old:
                del self._names[each]
                await self._ask("", "eth_unsubscribe", (each,))

    async def _subscribe(self) -> None:
        for name, params in self._listener.channels().items():
            await self._ask(name, "eth_subscribe", params)

    async def _ask(self, name: str, method: str, params: Sequence[object]) -> None:
        self._number += 1
        if method != "eth_unsubscribe":
            self._asked[self._number] = name
        await self._socket.send(
            json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": list(params)})
        )

    def _take(self, frame: bytes | str) -> None:
        try:
            told = decode(frame)
        except WireError as error:
            raise SocketDown(f"a frame is no JSON: {error}") from None
        if not isinstance(told, dict):
            return
        params = told.get("params")
        if told.get("method") == "eth_subscription" and isinstance(params, dict):
            self._push(self._names.get(str(params.get("subscription"))), params.get("result"))
        elif isinstance(number := told.get("id"), int) and number in self._asked:
            self._answer(self._asked.pop(number), told)

    def _push(self, name: str | None, value: object) -> None:
        if name is None:
            return
        if name == HEADS:
            self.lived = True
            self._alive_ms = self._clock.monotonic_ms()
        self._listener.heard(name, value)

    def _answer(self, name: str, told: Mapping[object, object]) -> None:
        result = told.get("result")
        if not name:
            self._check_chain(result)
        elif isinstance(result, str):
            self._names[result] = name
        elif name == HEADS:
            raise SocketDown("it has no new heads to subscribe to")
        else:
            log.warning(
                "A node refuses a subscription.", action="chain", channel=name, why=str(told.get("error"))[:200]
            )
            self._listener.refused(name)
        if not self._asked:
            self._listener.connected()

    def _check_chain(self, result: object) -> None:
        try:
            chain_id = quantity(result)
        except Undecodable as error:
            raise SocketDown(f"its chain id is none: {error}") from None
        if chain_id != self._settings.chain_id:
            raise _OtherChain(f"it is on chain {chain_id} and not on {self._settings.chain_id}")
