"""The engine's doors with a stamp at each passage: frames as they come, steps, orders as their bytes leave."""

import json
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any, TypeVar

from aiohttp import (  # noqa: TID251  (when the pool itself wrote an order's bytes, only the pool can say)
    ClientSession,
    TraceConfig,
    TraceRequestChunkSentParams,
)

from copytrading.benchmarks.timeline import Stamp
from execution.http import Answer, MayLeave, SharedHttp
from execution.sockets import Socket, Sockets, WebSockets
from ledger.clock import Clock

T = TypeVar("T")

ORDER_PATH = "/order"
FRAMES_MAX = 100_000
TRANSACTION = b'"transactionHash"'
"""What the activity stream's frames have, and no others here."""


class Stamps:
    """Everything stamped so far: appended from any thread, read at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.found: list[Stamp] = []
        self.frames: list[tuple[float, bytes]] = []

    def add(self, what: str, *, salt: int = 0) -> None:
        """This happens now."""
        self.found.append(Stamp(what=what, at_ms=self._clock.monotonic_ms(), salt=salt))

    def add_frame(self, frame: bytes) -> None:
        """This frame came now."""
        if len(self.frames) < FRAMES_MAX:
            self.frames.append((self._clock.monotonic_ms(), frame))


class StampedSteps:
    """`Costs` that stamps when steps begin (`name>`) and end (`name<`)."""

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps

    def measure(self, step: str) -> AbstractContextManager[None]:
        """A block whose begin and end are stamped."""
        return self._stamped(step)

    async def steps(self, step: str, work: Coroutine[Any, Any, T]) -> T:
        """The work, with its begin and end stamped."""
        with self._stamped(step):
            return await work

    @contextmanager
    def _stamped(self, step: str) -> Iterator[None]:
        self._stamps.add(f"{step}>")
        try:
            yield
        finally:
            self._stamps.add(f"{step}<")


class StampedHttp(SharedHttp):
    """`Http` that stamps when an order is to be sent, when its bytes were written, and when its answer came."""

    def __init__(self, stamps: Stamps, **bounds: Any) -> None:
        trace = TraceConfig()
        trace.on_request_chunk_sent.append(self._wrote)
        super().__init__(traces=(trace,), **bounds)
        self._stamps = stamps

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        may_leave: MayLeave | None = None,
    ) -> Answer:
        """Send."""
        salt = _salt(body) if url.endswith(ORDER_PATH) else 0
        if not salt:
            return await super().post(url, body=body, headers=headers, timeout_s=timeout_s, may_leave=may_leave)
        self._stamps.add("asked", salt=salt)
        answer = await super().post(url, body=body, headers=headers, timeout_s=timeout_s, may_leave=may_leave)
        self._stamps.add("answered", salt=salt)
        return answer

    async def _wrote(
        self, _session: ClientSession, _context: SimpleNamespace, params: TraceRequestChunkSentParams
    ) -> None:
        if params.method == "POST" and params.url.path.endswith(ORDER_PATH):
            salt = _salt(params.chunk)
            if salt:
                self._stamps.add("written", salt=salt)


class StampedSockets:
    """`Sockets` that stamps each frame with a transaction in it as the engine is handed it."""

    def __init__(self, stamps: Stamps) -> None:
        self._stamps = stamps
        self._sockets: Sockets = WebSockets()

    async def open(self, url: str, *, timeout_s: float, ping_s: float | None = None) -> Socket:
        """Connect."""
        socket = await self._sockets.open(url, timeout_s=timeout_s, ping_s=ping_s)
        return _StampedSocket(socket, self._stamps)


class _StampedSocket:
    def __init__(self, socket: Socket, stamps: Stamps) -> None:
        self._socket, self._stamps = socket, stamps

    async def send(self, text: str) -> None:
        await self._socket.send(text)

    async def receive(self) -> bytes:
        frame = await self._socket.receive()
        if TRANSACTION in frame:
            self._stamps.add_frame(frame)
        return frame

    async def close(self) -> None:
        await self._socket.close()


def _salt(body: bytes) -> int:
    """The salt of the order in a request's body; 0 where there is none."""
    try:
        return int(json.loads(body)["order"]["salt"])
    except (ValueError, KeyError, TypeError):
        return 0
