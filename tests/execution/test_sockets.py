import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from execution.sockets import SocketDown, WebSockets


@asynccontextmanager
async def serving(talk: Callable[[ServerConnection], Awaitable[None]]) -> AsyncIterator[str]:
    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/key"


async def test_text_goes_out_and_bytes_come_in() -> None:
    async def echo(connection: ServerConnection) -> None:
        async for frame in connection:
            await connection.send(frame)

    async with serving(echo) as url:
        socket = await WebSockets().open(url, timeout_s=5)
        await socket.send("é" * 300_000)
        assert await socket.receive() == ("é" * 300_000).encode()
        await socket.close()


async def test_the_end_of_a_connection_is_one_exception_for_both_ways() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.close()

    async with serving(leave) as url:
        socket = await WebSockets().open(url, timeout_s=5)
        with pytest.raises(SocketDown):
            await socket.receive()
        with pytest.raises(SocketDown):
            await socket.send("late")
        await socket.close()


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def mute(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    done = asyncio.Event()
    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(SocketDown, match="TimeoutError"):
        await WebSockets().open(f"ws://127.0.0.1:{port}", timeout_s=0.05)
    done.set()
    server.close()


async def test_an_unanswered_ping_ends_the_connection() -> None:
    async def frozen(connection: ServerConnection) -> None:
        connection.transport.pause_reading()
        await done.wait()
        connection.transport.resume_reading()

    done = asyncio.Event()
    async with serving(frozen) as url:
        socket = await WebSockets().open(url, timeout_s=5, ping_s=0.05)
        with pytest.raises(SocketDown):
            await socket.receive()
        done.set()
        await socket.close()


async def test_the_key_in_an_address_is_in_no_error() -> None:
    with pytest.raises(SocketDown) as refused:
        await WebSockets().open("ws://127.0.0.1:1/secret-key", timeout_s=5)
    assert "secret-key" not in f"{refused.value} {refused.value.__cause__}"
