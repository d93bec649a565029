import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from execution.http import HttpDown, SharedHttp


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/rows"))


@asynccontextmanager
async def asking(*, body_max: int = 1_000) -> AsyncIterator[SharedHttp]:
    http = SharedHttp(body_max=body_max)
    try:
        yield http
    finally:
        await http.close()


async def test_a_query_is_escaped_and_any_status_is_an_answer() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=429, text=request.query["user"], headers={"Retry-After": "7"})

    async with serving(answer) as url, asking() as http:
        found = await http.get(url, query={"user": "a&b=c d"}, timeout_s=5)
    assert (found.status, found.body, found.headers["retry-after"]) == (429, b"a&b=c d", "7")


async def test_exactly_the_given_bytes_are_posted() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async with serving(answer) as url, asking() as http:
        found = await http.post(url, body=b'{"a": 1}', timeout_s=5)
    assert found.body == b'{"a": 1}'


async def test_a_redirect_is_not_followed() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"})

    async with serving(answer) as url, asking() as http:
        assert (await http.get(url, timeout_s=5)).status == 302


async def test_an_answer_without_end_is_no_answer() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=b"x" * 1_001)

    async with serving(answer) as url, asking() as http:
        with pytest.raises(HttpDown):
            await http.get(url, timeout_s=5)


async def test_silence_ends_with_the_time_given() -> None:
    async def answer(request: web.Request) -> web.Response:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        await closed.wait()
        return web.Response()

    closed = asyncio.Event()
    async with serving(answer) as url, asking() as http:
        with pytest.raises(HttpDown, match="TimeoutError"):
            await http.get(url, timeout_s=0.05)
        closed.set()


async def test_the_key_in_an_address_is_in_no_error() -> None:
    async with asking() as http:
        with pytest.raises(HttpDown) as refused:
            await http.get("http://127.0.0.1:1/v2/secret-key", timeout_s=5)
    assert "secret-key" not in f"{refused.value} {refused.value.__cause__} {refused.value.args}"


async def test_a_closed_pool_begins_anew() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response()

    async with serving(answer) as url, asking() as http:
        await http.get(url, timeout_s=5)
        await http.close()
        assert (await http.get(url, timeout_s=5)).status == 200
