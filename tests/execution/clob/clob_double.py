"""A CLOB on loopback for tests: answers as it is told, remembers what it was asked, and can be slow, broken or gone."""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from execution.clob.client import ClobClient, ClobSettings, clob_allowances
from execution.http import SharedHttp
from execution.limits import HostLimits, LimitSettings
from ledger.clock import Clock
from ledger.system import SeededRandomness

Reply = tuple[int, object] | tuple[int, object, dict[str, str]]
"""Status, body (an object, or bytes as they are), headers."""


@dataclass
class Asked:
    """One request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class ClobDouble:
    """Answers by "METHOD /path": the replies of a path are used up one by one, the last of them stays.

    `silent`: requests of these paths are read and never answered. `cut`: their connection is closed instead.
    """

    replies: dict[str, deque[Reply]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    on_ask: Callable[[str], None] = lambda _key: None
    answering: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""

    def reply(self, key: str, *replies: Reply) -> None:
        """What this path answers from now on."""
        self.replies[key] = deque(replies)

    def to(self, key: str) -> list[Asked]:
        """What this path was asked."""
        return [each for each in self.asked if f"{each.method} {each.path}" == key]

    @asynccontextmanager
    async def serving(self, clock: Clock, *, timeout_s: float = 5.0) -> AsyncIterator[ClobClient]:
        """The client of this server, while it runs."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        http = SharedHttp()
        address, port = runner.addresses[0][:2]
        self.url = f"http://{address}:{port}"
        try:
            yield clob_client(http, clock, url=self.url, timeout_s=timeout_s)
        finally:
            self.answering.set()
            await http.close()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        key = f"{request.method} {request.path}"
        self.asked.append(
            Asked(request.method, request.path, dict(request.query), dict(request.headers), await request.read())
        )
        self.arrived.set()
        self.on_ask(key)
        if key in self.silent:
            await self.answering.wait()
        if key in self.cut and request.transport is not None:
            request.transport.close()
        replies = self.replies.get(key) or deque([(404, {"error": "nothing here"})])
        status, body, *more = replies.popleft() if len(replies) > 1 else replies[0]
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        return web.Response(status=status, body=sent, headers=more[0] if more else None)


def clob_client(http: SharedHttp, clock: Clock, *, url: str, timeout_s: float = 5.0) -> ClobClient:
    """A client with limits of its own."""
    limits = HostLimits(clock, SeededRandomness(1), host="clob", settings=LimitSettings(allowances=clob_allowances()))
    settings = ClobSettings(base_url=url, order_timeout_s=timeout_s, read_timeout_s=timeout_s)
    return ClobClient(http, clock, limits=limits, settings=settings)


def page(*rows: Any, following: str = "LTE=") -> Reply:
    """One page of trades."""
    return 200, {"data": list(rows), "next_cursor": following, "limit": 100, "count": len(rows)}
