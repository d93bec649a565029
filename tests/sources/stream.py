"""A small activity stream for tests: frames as the venue writes them, a server on loopback, a clock moved by hand."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from copytrading.sources.base import Reading

LENA = "0x" + "1e4a" * 10
STRANGER = "0x" + "ab12" * 10
CONDITION = "0x" + "c0" * 32
NOW_MS = 1_795_262_400_000


def frame(wallet: str = STRANGER, *, kind: str = "trades", sent_ms: int = NOW_MS, **payload: Any) -> str:
    """A frame as the stream sends it; `payload` replaces fields of the row."""
    row = {
        "asset": "71321045679252212594626385532706912750332728571942532289631379312455583992563",
        "bio": "",
        "conditionId": CONDITION,
        "eventSlug": "made-up-event",
        "icon": "https://pictures.invalid/a-rather-long-name-of-a-picture-of-some-market-that-nobody-looks-at.png",
        "name": "somebody",
        "outcome": "Yes",
        "outcomeIndex": 0,
        "price": 0.52,
        "profileImage": "",
        "proxyWallet": wallet,
        "pseudonym": "Some-Body",
        "side": "BUY",
        "size": 10,
        "slug": "made-up-market",
        "timestamp": NOW_MS // 1_000,
        "title": "Does this test pass?",
        "transactionHash": "0x" + "77" * 32,
        **payload,
    }
    return json.dumps(
        {"topic": "activity", "type": kind, "timestamp": sent_ms, "connection_id": "abc=", "payload": row}
    )


class Sunk:
    """A `Sink` that remembers, and says when something came."""

    def __init__(self) -> None:
        self.offered: list[tuple[str, Reading]] = []
        self.ended: list[str] = []
        self._bell = asyncio.Event()

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        assert not complete
        self.offered += [(walk, reading) for reading in readings]
        self._bell.set()

    async def end_walk(self, walk: str) -> None:
        self.ended.append(walk)
        self._bell.set()

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        raise AssertionError("the stream never takes anything back")

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; looked at whenever something comes."""
        async with asyncio.timeout(10):
            while not condition():
                self._bell.clear()
                await self._bell.wait()


class HandClock:
    """`Clock` whose sleepers wake when the test moves it."""

    def __init__(self) -> None:
        self._ms = 0.0
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    def now(self) -> datetime:
        return datetime.fromtimestamp(NOW_MS / 1_000, UTC) + timedelta(milliseconds=self._ms)

    def monotonic_ms(self) -> float:
        return self._ms

    async def sleep(self, seconds: float) -> None:
        awake = asyncio.Event()
        self._sleepers.append((self._ms + seconds * 1_000, awake))
        await awake.wait()

    async def advance(self, seconds: float) -> None:
        """Move on, step by step, and let what woke do its work."""
        until_ms = self._ms + seconds * 1_000
        while self._ms < until_ms:
            self._ms = min(until_ms, self._ms + 500)
            due = [each for each in self._sleepers if each[0] <= self._ms]
            self._sleepers = [each for each in self._sleepers if each[0] > self._ms]
            for _at_ms, awake in due:
                awake.set()
            await settle()


async def settle() -> None:
    """Let tasks and sockets of this loop do what they can do now."""
    for _turn in range(20):
        await asyncio.sleep(0)


class Stream:
    """The server's side: what each connection said, and a way to say something."""

    def __init__(self) -> None:
        self.url = ""
        self.connections: list[ServerConnection] = []
        self.said: list[list[str]] = []
        self._bell = asyncio.Event()

    async def talk(self, connection: ServerConnection) -> None:
        """One connection, until it ends."""
        said: list[str] = []
        self.connections.append(connection)
        self.said.append(said)
        async for text in connection:
            said.append(str(text))
            self._bell.set()
        self._bell.set()

    async def subscribed(self, number: int) -> None:
        """Wait until that many connections have subscribed."""
        await self.until(lambda: sum(bool(said) for said in self.said) >= number)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds; looked at whenever a client says something or leaves."""
        async with asyncio.timeout(10):
            while not condition():
                self._bell.clear()
                await self._bell.wait()

    async def send(self, *frames: str, to: int = -1) -> None:
        """Send these to a connection, the newest if none is named."""
        for each in frames:
            await self.connections[to].send(each)


@asynccontextmanager
async def streaming() -> AsyncIterator[Stream]:
    """A stream on loopback."""
    stream = Stream()
    async with serve(stream.talk, "127.0.0.1", 0, compression=None) as server:
        stream.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield stream


@asynccontextmanager
async def running(run: Callable[[asyncio.Event], Awaitable[None]]) -> AsyncIterator[asyncio.Event]:
    """A source while it runs; stopped and waited for at the end."""
    stop = asyncio.Event()
    task = asyncio.ensure_future(run(stop))
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(10):
            await task
