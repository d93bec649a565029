"""A sandbox in process for tests, and plain clients that know nothing of the engine."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import count
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.clock import Clock
from ledger.system import SeededRandomness, SystemClock

QUIET = SandboxOptions(rate=0, delay_factor=0, opening=False, limited=False)
"""Nothing happens by itself, and every door shows at once."""

BOTH = ("trades", "orders_matched")
WAIT_S = 10
ONE = 1_000_000


@dataclass(slots=True)
class Stage:
    """A sandbox and one HTTP session."""

    box: Sandbox
    session: aiohttp.ClientSession
    sockets: list[aiohttp.ClientWebSocketResponse] = field(default_factory=list)
    fresh: Iterator[int] = field(default_factory=count)

    async def get(self, url: str, **query: object) -> Any:
        """The decoded answer of a GET that must succeed; numbers with a point are Decimal."""
        status, body, _headers = await self.ask(url, **query)
        assert status == 200, body
        return body

    async def ask(self, url: str, **query: object) -> tuple[int, Any, dict[str, str]]:
        """Status, decoded body and headers of a GET."""
        words = {name: str(value) for name, value in query.items()}
        async with self.session.get(url, params=words) as answer:
            text = await answer.text()
            return answer.status, json.loads(text, parse_float=Decimal), dict(answer.headers)

    async def listen(self, *types: str) -> aiohttp.ClientWebSocketResponse:
        """An activity socket whose subscription has been taken."""
        socket = await self.open(self.box.urls.activity)
        await subscribe(socket, *(types or BOTH))
        return socket

    async def open(self, url: str) -> aiohttp.ClientWebSocketResponse:
        """A websocket, closed with the stage."""
        socket = await self.session.ws_connect(url, autoping=True)
        self.sockets.append(socket)
        return socket

    async def rows(self, path: str, **query: object) -> list[dict[str, Any]]:
        """All pages of the Data API, one after the other, past the cache."""
        found: list[dict[str, Any]] = []
        cursor: dict[str, object] = {}
        while True:
            page = await self.get(
                f"{self.box.urls.data_api}/v2/{path}", **query, **cursor, _=f"fresh{next(self.fresh)}"
            )
            found += page["data"]
            if not page["pagination"]["has_more"]:
                return found
            cursor = {"cursor": page["pagination"]["next_cursor"]}

    def first_trade(self) -> dict[str, Any]:
        """Arguments of a small trade of the first leader in the first market."""
        return {
            "wallet": self.box.leaders[0].wallet,
            "side": "BUY",
            "token_id": self.box.markets[0].token_ids[0],
            "shares_micros": 10 * ONE,
        }


async def raw_answer(url: str) -> bytes:
    """What a bare connection reads after one GET until its end: a client that never tries again by itself."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n\r\n".encode())
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def subscribe(socket: aiohttp.ClientWebSocketResponse, *types: str) -> None:
    """Subscribe, and return once the server has read it."""
    asked = [{"topic": "activity", "type": each} for each in types]
    await socket.send_str(json.dumps({"action": "subscribe", "subscriptions": asked}))
    assert await ping(socket) == ""


async def ping(socket: aiohttp.ClientWebSocketResponse) -> str:
    """What comes next after a PING."""
    await socket.send_str("PING")
    return str(await socket.receive_str(timeout=WAIT_S))


async def frames_until_pong(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Everything that was sent to an activity socket before its PING is answered."""
    await socket.send_str("PING")
    found = []
    while text := await socket.receive_str(timeout=WAIT_S):
        found.append(json.loads(text, parse_float=Decimal))
    return found


@asynccontextmanager
async def stage(clock: Clock | None = None, **changes: Any) -> AsyncIterator[Stage]:
    """An open sandbox: the quiet one, with these options changed."""
    options = replace(QUIET, **changes)
    async with (
        open_sandbox(clock or SystemClock(), SeededRandomness, options) as box,
        aiohttp.ClientSession() as session,
    ):
        made = Stage(box, session)
        try:
            yield made
        finally:
            for socket in made.sockets:
                await socket.close()


def micros(number: Decimal | int) -> int:
    """A JSON number as micros, rounded half to even."""
    return int((Decimal(number) * ONE).to_integral_value())


def truth_of_trades(box: Sandbox) -> Counter[tuple[str, ...]]:
    """The shares of every trade by wallet, transaction, token and side, as the sandbox knows them."""
    found: Counter[tuple[str, ...]] = Counter()
    for key, total in box.truth.rows():
        if key.kind == "TRADE":
            found[key.wallet, key.tx_hash, str(key.token_id), key.side] += total.shares_micros
    return found


def shown_in_frames(frames: list[dict[str, Any]], kind: str = "trades") -> Counter[tuple[str, ...]]:
    """The same sums from frames of the activity stream."""
    found: Counter[tuple[str, ...]] = Counter()
    for frame in frames:
        row = frame["payload"]
        if frame["type"] == kind:
            found[row["proxyWallet"], row["transactionHash"], row["asset"], row["side"]] += micros(row["size"])
    return found


def shown_in_rows(rows: list[dict[str, Any]]) -> Counter[tuple[str, ...]]:
    """The same sums from rows of the Data API."""
    found: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        found[row["proxy_wallet"], row["transaction_hash"], row["token_id"], row["side"]] += micros(row["size"])
    return found
