"""The CLOB's user channel: an account's orders and trades as they change (polymarket.md 4.3)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from execution.sandbox.exchange.floor import Floor, OrderChange
from execution.sandbox.exchange.keys import Keys
from execution.sandbox.exchange.records import OrderRecord, TradeRecord
from execution.sandbox.exchange.settling import Settling
from execution.sandbox.exchange.wallets import Wallets
from execution.sandbox.exchange.words import order_event, trade_event
from execution.sandbox.faults import SERVER_ERROR, TOO_MANY, DoorFaults
from execution.sandbox.later import Later
from execution.sandbox.serving import Line, Server, encode
from execution.sandbox.streaming import STREAM_KINDS, FaultyStream
from execution.sandbox.world import World

DOOR = "user"
PATH = "/ws/user"
KINDS = (*STREAM_KINDS, TOO_MANY, SERVER_ERROR)
PING_GRACE_MS = 125_000
"""A socket without a PING is cut off after so long."""


@dataclass(slots=True, eq=False)
class _Client:
    line: Line
    pinged_ms: float
    key: str = ""
    api_key: str = ""
    markets: frozenset[str] = frozenset()


class UserSocket:
    """Tells each account what is its own. A connection speaks for one API key."""

    def __init__(
        self, world: World, server: Server, faults: DoorFaults, *, keys: Keys, wallets: Wallets, later: Later
    ) -> None:
        self._world = world
        self._keys = keys
        self._wallets = wallets
        self._clients: set[_Client] = set()
        self.events = 0
        """Frames sent, a doubled one twice."""
        self._stream = FaultyStream(faults, later)
        server.line(PATH, self._converse, faults=faults)

    def follow(self, floor: Floor, settling: Settling) -> None:
        """Tell from now on what happens there."""
        floor.listen(self._order)
        settling.listen(self._trade)

    def cut(self, address: str | None = None) -> None:
        """End the connections of an address, or all, without a word."""
        for client in list(self._clients):
            if address in (None, client.key):
                client.line.cut()

    def connected(self, address: str) -> int:
        """Connections that speak for an address now."""
        return sum(client.key == address.lower() for client in self._clients)

    def _order(self, record: OrderRecord, change: OrderChange) -> None:
        clients = [each for each in self._awake() if each.key == record.key]
        if clients:
            words = order_event(record, change, self._world.now_ms())
            self._send(clients, words, market=record.market.condition_id)

    def _trade(self, trade: TradeRecord) -> None:
        awake = self._awake()
        for key in trade.keys:
            clients = [each for each in awake if each.key == key]
            if clients:
                words = trade_event(trade, key, self._world.now_ms())
                self._send(clients, words, market=trade.market.condition_id)

    def _send(self, clients: list[_Client], words: Mapping[str, object], *, market: str) -> None:
        text = encode(words).decode()

        def send() -> None:
            for client in clients:
                if client in self._clients and (not client.markets or market in client.markets):
                    client.line.send(text)
                    self.events += 1

        self._stream.emit(send)

    def _awake(self) -> list[_Client]:
        now_ms = self._world.clock.monotonic_ms()
        late = [each for each in self._clients if now_ms - each.pinged_ms >= PING_GRACE_MS]
        for client in late:
            client.line.cut()
        return [each for each in self._clients if each not in late]

    async def _converse(self, line: Line) -> None:
        client = _Client(line=line, pinged_ms=self._world.clock.monotonic_ms())
        self._clients.add(client)
        try:
            async for text in line.texts():
                if not self._said(client, text):
                    return
        finally:
            self._clients.discard(client)

    def _said(self, client: _Client, text: str) -> bool:
        """Whether the conversation goes on."""
        if text.strip().upper() == "PING":
            client.pinged_ms = self._world.clock.monotonic_ms()
            client.line.send("PONG")
            return True
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        if not isinstance(request, dict):
            client.line.send("INVALID OPERATION")
            return True
        if "auth" in request:
            return self._greet(client, request)
        return self._change_markets(client, request)

    def _greet(self, client: _Client, request: Mapping[str, object]) -> bool:
        """A connection with wrong credentials is closed."""
        auth = request["auth"]
        found = self._keys.by_words(auth) if isinstance(auth, dict) else None
        if found is None or found.address in self._wallets.fenced or request.get("type") != "user":
            return False
        client.key, client.api_key = found.address, found.api_key
        client.markets = _markets(request)
        return True

    def _change_markets(self, client: _Client, request: Mapping[str, object]) -> bool:
        operation = request.get("operation")
        if operation == "subscribe":
            client.markets |= _markets(request)
        elif operation == "unsubscribe":
            client.markets -= _markets(request)
        else:
            client.line.send("INVALID OPERATION")
        return True


def _markets(request: Mapping[str, object]) -> frozenset[str]:
    markets = request.get("markets")
    return frozenset(str(each) for each in markets) if isinstance(markets, list) else frozenset()
