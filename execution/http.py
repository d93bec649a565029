"""The one door to HTTP: a shared pool, whole answers of bounded size, and one exception for "no answer"."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from yarl import URL

CONNECTIONS_MAX = 100
"""Of one process, over all hosts."""

BODY_MAX = 32 * 1024 * 1024
"""Bytes of the longest answer: a page of 1,000 rows is under one megabyte, a range of logs a few."""

NOTHING: Mapping[str, str] = {}


class HttpDown(Exception):
    """No answer: refused, reset, too slow or too long. Whether the request took effect is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer; the names of its headers are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http(Protocol):
    """Requests that end within their time."""

    async def get(self, url: str, *, query: Mapping[str, str] | None = None, timeout_s: float) -> Answer:
        """Ask; the query is escaped. Raises HttpDown."""
        ...

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None, timeout_s: float
    ) -> Answer:
        """Send exactly these bytes. Raises HttpDown."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class SharedHttp:
    """`Http` over one pool for everybody in this process; begins with its first request."""

    def __init__(self, *, connections_max: int = CONNECTIONS_MAX, body_max: int = BODY_MAX) -> None:
        self._connections_max, self._body_max = connections_max, body_max
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, *, query: Mapping[str, str] | None = None, timeout_s: float) -> Answer:
        """Ask."""
        return await self._request("GET", url, query=query, timeout_s=timeout_s)

    async def post(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None, timeout_s: float
    ) -> Answer:
        """Send."""
        return await self._request("POST", url, body=body, headers=headers, timeout_s=timeout_s)

    async def close(self) -> None:
        """Close the pool; a later request begins a new one."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _request(
        self,
        method: str,
        url: str,
        *,
        timeout_s: float,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        try:
            async with asyncio.timeout(timeout_s):
                request = self._pool().request(
                    method, URL(url).update_query(query or NOTHING), data=body, headers=headers, allow_redirects=False
                )
                async with request as response:
                    found = {name.lower(): value for name, value in response.headers.items()}
                    return Answer(status=response.status, headers=found, body=await self._whole(response))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            # Never the address: it may hold the key of an RPC provider.
            raise HttpDown(f"{method}: {type(error).__name__}") from None

    async def _whole(self, response: aiohttp.ClientResponse) -> bytes:
        parts, size = [], 0
        async for part in response.content.iter_any():
            size += len(part)
            if size > self._body_max:
                raise aiohttp.ClientPayloadError("too long")
            parts.append(part)
        return b"".join(parts)

    def _pool(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=self._connections_max)
            # The pool's own bound of five minutes for a request is replaced by that of each request.
            no_bound = aiohttp.ClientTimeout(total=None)
            self._session = aiohttp.ClientSession(
                connector=connector, timeout=no_bound, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session
