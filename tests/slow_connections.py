"""Connections whose making takes as long as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from socket import socket
from typing import Any

import pytest


@dataclass
class SlowConnections:
    """Those that are asked for while `slow` wait until `open`; `asked` is set once one waits, `made` counts all."""

    slow: bool = True
    made: int = 0
    open: asyncio.Event = field(default_factory=asyncio.Event)
    asked: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def slow_connections() -> AsyncIterator[SlowConnections]:
    """This event loop connects by these meanwhile."""
    loop, found = asyncio.get_running_loop(), SlowConnections()
    connect = loop.sock_connect

    async def connect_late(sock: socket, address: Any) -> None:
        slow, found.made = found.slow, found.made + 1
        if slow:
            found.asked.set()
            await found.open.wait()
        await connect(sock, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "sock_connect", connect_late)
        yield found
