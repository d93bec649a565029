"""The sandbox's only server: HTTP and websockets on 127.0.0.1, and the faults of connections at each door.

Doors know `Ask`, `Reply` and `Line`; nothing else here knows the server's library.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec
from aiohttp import WSMsgType, web

from execution.sandbox.faults import DELAY, DISCONNECT, HALF_OPEN, SERVER_ERROR, TOO_MANY, DoorFaults
from ledger.clock import Clock

HOST = "127.0.0.1"
BODY_BYTES_MAX = 4_000_000
WAITING_FRAMES_MAX = 50_000
"""A client this far behind is closed, as the venue closes slow consumers."""

SLOW_CONSUMER = 1013
DELAY_MS = 1_000
"""Of a delay without a time."""

RETRY_AFTER_S = 1

_ENCODER = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A request as a door sees it. `query` keeps the order and repeated names; `target` is path and query."""

    method: str
    target: str
    query: Sequence[tuple[str, str]] = ()
    words: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def header(self, name: str) -> str:
        """A header's value, however its name is written; empty without one."""
        return self.headers.get(name, "")

    def one(self, name: str) -> str | None:
        """The first value of a name; None without one."""
        return next((value for key, value in self.query if key == name), None)

    def many(self, name: str) -> tuple[str, ...]:
        """All values of a name, repeated or parted by commas."""
        found = (part for key, value in self.query if key == name for part in value.split(","))
        return tuple(part for part in found if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer; `body` is JSON unless the headers say otherwise."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    """The connection ends in place of an answer."""


Handler = Callable[[Ask], Awaitable[Reply]]


def encode(value: object) -> bytes:
    """JSON; a Decimal becomes a number with all its digits."""
    return _ENCODER.encode(value)


def answer(value: object, status: int = 200) -> Reply:
    """A JSON answer."""
    return Reply(status=status, body=encode(value))


class Line:
    """One websocket. Sending never waits; a client that does not keep up is closed."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport | None) -> None:
        self._socket = socket
        self._transport = transport
        self._frozen = False
        self._waiting: asyncio.Queue[str] = asyncio.Queue(WAITING_FRAMES_MAX)
        self._writer = asyncio.get_running_loop().create_task(self._write())

    def send(self, text: str) -> None:
        """Queue a frame; a frozen line swallows it."""
        if self._frozen:
            return
        try:
            self._waiting.put_nowait(text)
        except asyncio.QueueFull:
            self._frozen = True
            self._writer.cancel()
            self._writer = asyncio.get_running_loop().create_task(self._close_slow())

    async def texts(self) -> AsyncIterator[str]:
        """What the client says, until the connection ends."""
        async for message in self._socket:
            if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                yield message.data if isinstance(message.data, str) else bytes(message.data).decode(errors="replace")

    def freeze(self) -> None:
        """Half open from now on and for good: nothing is read, nothing answered, nothing closed."""
        self._frozen = True
        if self._transport is not None:
            with suppress(RuntimeError):
                self._transport.pause_reading()

    def cut(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self) -> None:
        """End the writer and the connection."""
        self._writer.cancel()
        await asyncio.gather(self._writer, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            text = await self._waiting.get()
            with suppress(ConnectionError):
                await self._socket.send_str(text)

    async def _close_slow(self) -> None:
        await self._socket.close(code=SLOW_CONSUMER, message=b"slow consumer")


Converse = Callable[[Line], Awaitable[None]]


class Server:
    """Routes of all doors on one port; port 0 takes a free one."""

    def __init__(self, clock: Clock, port: int = 0) -> None:
        self._clock = clock
        self._port = port
        self._app = web.Application(client_max_size=BODY_BYTES_MAX)
        self._runner: web.AppRunner | None = None
        self._lines: dict[str, set[Line]] = {}

    @property
    def port(self) -> int:
        """The port, once started."""
        return self._port

    def http(self, method: str, path: str, handler: Handler, *, faults: DoorFaults | None) -> None:
        """Answer requests of a path, through the door's faults."""

        async def serve(request: web.Request) -> web.StreamResponse:
            early = None if faults is None else await self._faulty(request, faults)
            if early is not None:
                return _response(early)
            ask = Ask(
                method=request.method,
                target=request.path_qs,
                query=tuple(request.query.items()),
                words=dict(request.match_info),
                body=await request.read(),
                headers=request.headers,
            )
            reply = await handler(ask)
            if reply.cut:
                _abort(request)
            return _response(reply)

        self._app.router.add_route(method, path, serve)

    def line(self, path: str, converse: Converse, *, faults: DoorFaults) -> None:
        """Open a websocket for each client of a path; `converse` runs as long as the connection."""
        lines = self._lines.setdefault(faults.door, set())

        async def serve(request: web.Request) -> web.StreamResponse:
            early = await self._faulty(request, faults)
            if early is not None:
                return _response(early)
            socket = web.WebSocketResponse(compress=False, max_msg_size=BODY_BYTES_MAX)
            await socket.prepare(request)
            line = Line(socket, request.transport)
            lines.add(line)
            try:
                await converse(line)
            finally:
                lines.discard(line)
                await line.close()
            return socket

        self._app.router.add_get(path, serve)

        def freeze() -> None:
            for line in list(lines):
                line.freeze()

        async def cut(_fault: object) -> None:
            self.cut(faults.door)

        faults.when_set[HALF_OPEN] = freeze
        faults.on(DISCONNECT, cut)

    def cut(self, door: str) -> None:
        """End all websockets of a door without a word."""
        for line in list(self._lines.get(door, ())):
            line.cut()

    async def start(self) -> None:
        """Listen. Raises OSError when the port is taken."""
        self._runner = web.AppRunner(self._app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, HOST, self._port)
        await site.start()
        self._port = int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Cut everybody off and stop listening."""
        for door in self._lines:
            self.cut(door)
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _faulty(self, request: web.Request, faults: DoorFaults) -> Reply | None:
        """What goes wrong before the door is asked; None when it may answer."""
        if faults.strike(HALF_OPEN):
            await faults.until_lifted(HALF_OPEN)
            _abort(request)
        elif faults.strike(DISCONNECT):
            _abort(request)
        held = faults.strike(DELAY) if not _is_upgrade(request) else None
        if held is not None:
            await self._clock.sleep((DELAY_MS if held.ms is None else held.ms) / 1_000)
        if faults.strike(TOO_MANY):
            return too_many(RETRY_AFTER_S)
        if faults.strike(SERVER_ERROR):
            return answer({"error": "service unavailable"}, 503)
        return None


def too_many(retry_after_s: int) -> Reply:
    """The answer to whoever asks too often."""
    body = encode({"error": "Too Many Requests"})
    return Reply(status=429, body=body, headers={"Retry-After": str(retry_after_s)})


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
    raise asyncio.CancelledError


def _is_upgrade(request: web.Request) -> bool:
    return request.headers.get("Upgrade", "").lower() == "websocket"


def _response(reply: Reply) -> web.Response:
    return web.Response(
        status=reply.status, body=reply.body, headers=dict(reply.headers), content_type="application/json"
    )
