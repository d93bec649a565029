import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from execution.http import HeldBack, HttpDown, NeverConnected, SharedHttp
from tests.slow_connections import slow_connections


@asynccontextmanager
async def serving(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/rows"))


@asynccontextmanager
async def asking(*, body_max: int = 1_000, connections_max: int = 100) -> AsyncIterator[SharedHttp]:
    http = SharedHttp(body_max=body_max, connections_max=connections_max)
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


async def test_headers_go_along_with_every_kind_of_request() -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=f"{request.method} {request.headers['POLY_ADDRESS']} {await request.text()}")

    named = {"POLY_ADDRESS": "0x1"}
    async with serving(answer) as url, asking() as http:
        found = [
            await http.get(url, headers=named, timeout_s=5),
            await http.post(url, body=b"a", headers=named, timeout_s=5),
            await http.delete(url, body=b"b", headers=named, timeout_s=5),
        ]
    assert [each.body for each in found] == [b"GET 0x1 ", b"POST 0x1 a", b"DELETE 0x1 b"]


async def test_one_connection_serves_request_after_request() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response()

    ports: set[int] = set()
    async with serving(answer) as url, asking() as http:
        for _ in range(5):
            await http.post(url, body=b"order", timeout_s=5)
    assert len(ports) == 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/", "http://nobody.invalid/", "https://127.0.0.1:1/"])
async def test_without_a_connection_nothing_was_sent(url: str) -> None:
    async with asking() as http:
        with pytest.raises(NeverConnected):
            await http.post(url, body=b"order", timeout_s=5)


async def test_who_finds_no_free_connection_in_time_has_sent_nothing() -> None:
    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        arrived.set()
        await closed.wait()
        return web.Response()

    bodies: list[bytes] = []
    arrived, closed = asyncio.Event(), asyncio.Event()
    async with serving(answer) as url, asking(connections_max=1) as http:
        first = asyncio.create_task(http.post(url, body=b"first", timeout_s=5))
        await arrived.wait()
        with pytest.raises(NeverConnected):
            await http.post(url, body=b"second", timeout_s=0.1)
        closed.set()
        assert (await first).status == 200
    assert bodies == [b"first"]


async def test_a_connection_that_ends_without_an_answer_leaves_everything_open() -> None:
    async def answer(request: web.Request) -> web.Response:
        asked.append(request.method)
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    asked: list[str] = []
    async with serving(answer) as url, asking() as http:
        with pytest.raises(HttpDown) as down:
            await http.post(url, body=b"order", timeout_s=5)
    assert not isinstance(down.value, NeverConnected)
    assert asked == ["POST"]


async def test_what_unpacks_without_end_is_no_answer() -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    assert len(bomb) < 2_000_000
    async with serving(answer) as url, asking() as http:
        with pytest.raises(HttpDown):
            await http.post(url, body=b"order", timeout_s=5)


async def test_what_may_not_leave_any_more_when_its_connection_is_there_stays_here_and_the_connection_is_kept() -> None:
    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    bodies: list[bytes] = []
    late = False
    async with slow_connections() as connections, serving(answer) as url, asking() as http:
        first = asyncio.create_task(http.post(url, body=b"late", timeout_s=5, may_leave=lambda: not late))
        await connections.asked.wait()
        late = True
        connections.open.set()
        with pytest.raises(HeldBack):
            await first
        late = False
        assert (await http.post(url, body=b"in time", timeout_s=5, may_leave=lambda: not late)).status == 200
        assert (bodies, connections.made) == ([b"in time"], 1)


async def test_a_kept_connection_asks_too_and_other_requests_are_asked_nothing() -> None:
    async def answer(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response()

    bodies: list[bytes] = []
    async with serving(answer) as url, asking() as http:
        await http.post(url, body=b"first", timeout_s=5, may_leave=lambda: True)
        with pytest.raises(HeldBack):
            await http.post(url, body=b"held", timeout_s=5, may_leave=lambda: False)
        await http.post(url, body=b"free", timeout_s=5)
    assert bodies == [b"first", b"free"]
