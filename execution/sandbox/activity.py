"""The activity stream (RTDS, polymarket.md 4.1): every leg as `trades`, the taker's again as `orders_matched`.

It falls silent for whoever does not send PING, and after a while for everybody who does not subscribe again.
"""

import json
from dataclasses import dataclass, field

from execution.sandbox.faults import SERVER_ERROR, TOO_MANY, DoorFaults, Fault
from execution.sandbox.happenings import Match
from execution.sandbox.later import Latency, Later
from execution.sandbox.rows import stream_payload
from execution.sandbox.serving import Line, Server, encode
from execution.sandbox.streaming import STREAM_KINDS, FaultyStream
from execution.sandbox.world import Event, World
from ledger.clock import Randomness

DOOR = "activity"
PATH = "/activity"
LATENCY = Latency(1_900, 2_750)
FREEZE = "freeze"
"""The sockets that are open now fall silent, PINGs answered, until they subscribe again."""

KINDS = (*STREAM_KINDS, TOO_MANY, SERVER_ERROR)
TRADES, ORDERS_MATCHED = "trades", "orders_matched"
TYPES = {TRADES: (TRADES,), ORDERS_MATCHED: (ORDERS_MATCHED,), "*": (TRADES, ORDERS_MATCHED)}
CLOB_TOPICS = ("clob_market", "clob_user")

PING_GRACE_MS = 360_000
"""Without a PING the stream goes silent after about six minutes."""

SUBSCRIPTION_MS = 1_200_000
"""With PINGs it was seen to stop after about twenty."""


@dataclass(slots=True)
class _Client:
    line: Line
    connection_id: str
    pinged_ms: float
    subscribed_ms: float = 0.0
    types: frozenset[str] = field(default_factory=frozenset)


class ActivityDoor:
    """Shows matches to whoever subscribed."""

    def __init__(self, world: World, server: Server, faults: DoorFaults, *, later: Later, chance: Randomness) -> None:
        self._world = world
        self._later = later
        self._chance = chance
        self._clients: dict[Line, _Client] = {}
        self._opened = 0
        self._stream = FaultyStream(faults, later)
        self.factor = 1.0
        self.frames = 0
        """Frames handed to the stream so far, before its faults."""
        faults.on(FREEZE, self._freeze)
        server.line(PATH, self._converse, faults=faults)
        world.listen(self._heard)

    def flood(self, kind: str, payload: str) -> None:
        """Send a frame of foreign noise, its payload given as JSON text."""
        self._emit(kind, payload)

    def _heard(self, event: Event) -> None:
        match = event.happening
        if not isinstance(match, Match):
            return
        due_ms = event.matched_ms + LATENCY.draw_ms(self._chance, self.factor)
        wait_ms = due_ms - self._world.now_ms() if self.factor else 0
        self._later.after_ms(wait_ms, lambda: self._show(match, event))

    def _show(self, match: Match, event: Event) -> None:
        market = self._world.markets[match.condition_id]
        for leg in match.legs:
            payload = encode(stream_payload(leg, market, event.settled)).decode()
            self._emit(TRADES, payload)
            if not leg.maker:
                self._emit(ORDERS_MATCHED, payload)

    def _emit(self, kind: str, payload: str) -> None:
        self.frames += 1
        sent_ms = self._world.now_ms()
        self._stream.emit(lambda: self._broadcast(kind, payload, sent_ms))

    def _broadcast(self, kind: str, payload: str, sent_ms: int) -> None:
        head = f'{{"topic":"activity","type":"{kind}","timestamp":{sent_ms},"connection_id":"'
        now_ms = self._world.clock.monotonic_ms()
        for client in self._clients.values():
            if kind in client.types and self._awake(client, now_ms):
                client.line.send(f'{head}{client.connection_id}","payload":{payload}}}')

    def _awake(self, client: _Client, now_ms: float) -> bool:
        return now_ms - client.pinged_ms < PING_GRACE_MS and now_ms - client.subscribed_ms < SUBSCRIPTION_MS

    async def _converse(self, line: Line) -> None:
        self._opened += 1
        name = f"sandbox-{self._opened}"
        client = _Client(line=line, connection_id=name, pinged_ms=self._world.clock.monotonic_ms())
        self._clients[line] = client
        try:
            async for text in line.texts():
                self._said(client, text)
        finally:
            del self._clients[line]

    def _said(self, client: _Client, text: str) -> None:
        if text.strip().upper() == "PING":
            client.pinged_ms = self._world.clock.monotonic_ms()
            client.line.send("")
            return
        try:
            wanted = _wanted(json.loads(text))
        except _Refused as refused:
            client.line.send(encode({"body": {"message": refused.message}, "statusCode": refused.status}).decode())
            return
        except ValueError:
            client.line.send(encode({"body": {"message": "invalid request"}, "statusCode": 400}).decode())
            return
        action, types = wanted
        client.types = client.types | types if action == "subscribe" else client.types - types
        client.subscribed_ms = self._world.clock.monotonic_ms()

    async def _freeze(self, _fault: Fault) -> None:
        for client in self._clients.values():
            client.types = frozenset()


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _wanted(request: object) -> tuple[str, frozenset[str]]:
    """The action and the message types asked for; one bad subscription poisons them all.

    Of a subscription with a filter nothing ever comes (polymarket.md 4.1), so it asks for nothing.
    """
    if not isinstance(request, dict) or request.get("action") not in ("subscribe", "unsubscribe"):
        raise _Refused(400, "invalid action")
    asked = request.get("subscriptions")
    if not isinstance(asked, list) or not asked:
        raise _Refused(400, "invalid subscriptions")
    types: set[str] = set()
    for each in asked:
        topic, kind = (each.get("topic"), each.get("type")) if isinstance(each, dict) else (None, None)
        if topic in CLOB_TOPICS:
            raise _Refused(400, "CLOB messages are not supported anymore")
        if topic != "activity" or kind not in TYPES:
            raise _Refused(401, "Unauthorized")
        if not each.get("filters"):
            types.update(TYPES[kind])
    return str(request["action"]), frozenset(types)
