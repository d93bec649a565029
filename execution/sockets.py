"""The one door to websockets, on bare `websockets`: open, send text, receive, close, and one exception for the end."""

import asyncio
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

CLOSE_TIMEOUT_S = 1.0
"""A half-open connection never answers the close; with the library's ten seconds a reconnect would wait for it."""

WAITING_FRAMES_MAX = 1_024
"""Frames read ahead of `receive`; beyond it TCP slows the sender down."""


class SocketDown(Exception):
    """The connection could not be opened, or has ended."""


class Socket(Protocol):
    """One open connection, for one task that receives and any that send."""

    async def send(self, text: str) -> None:
        """Send a text frame. Raises SocketDown."""
        ...

    async def receive(self) -> bytes:
        """The next frame as bytes, text in UTF-8; waits for ever. Raises SocketDown when the connection ended."""
        ...

    async def close(self) -> None:
        """End it; never raises and takes at most about a second."""
        ...


class Sockets(Protocol):
    """Opens connections."""

    async def open(self, url: str, *, timeout_s: float, ping_s: float | None = None) -> Socket:
        """Connect. With `ping_s` a connection whose pings stay unanswered so long ends. Raises SocketDown."""
        ...


class WebSockets:
    """`Sockets` on the network."""

    async def open(self, url: str, *, timeout_s: float, ping_s: float | None = None) -> Socket:
        """Connect; frames may have any size, because pending transactions do."""
        try:
            async with asyncio.timeout(timeout_s):
                connection = await connect(
                    url,
                    ping_interval=ping_s,
                    ping_timeout=ping_s,
                    close_timeout=CLOSE_TIMEOUT_S,
                    max_size=None,
                    max_queue=WAITING_FRAMES_MAX,
                    # Compression costs more time than a loopback or a data centre saves.
                    compression=None,
                )
        except (WebSocketException, OSError, TimeoutError, ValueError) as error:
            # Never the address: it may hold the key of an RPC provider.
            raise SocketDown(f"open: {type(error).__name__}") from None
        return _Connected(connection)


class _Connected:
    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send(text)
        except (WebSocketException, OSError) as error:
            raise SocketDown(f"send: {type(error).__name__}") from None

    async def receive(self) -> bytes:
        try:
            return await self._connection.recv(decode=False)
        except (WebSocketException, OSError) as error:
            raise SocketDown(f"receive: {type(error).__name__}") from None

    async def close(self) -> None:
        try:
            await self._connection.close()
        except (WebSocketException, OSError):
            return
