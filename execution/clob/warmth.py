"""Keeps some connections to the CLOB open, so that an order after a quiet hour need not shake hands first."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from execution.clob.client import ClobClient
from execution.hosts import HostDown, HostRefused
from ledger.clock import Clock

log = structlog.get_logger(__name__)


class Warmth:
    """Asks for the venue's time over so many connections at once, often enough that none grows cold."""

    name = "clob-warmth"

    def __init__(self, client: ClobClient, clock: Clock, *, connections: int, keep_alive_s: float) -> None:
        self._client, self._clock, self._connections = client, clock, connections
        self._every_s = max(1.0, keep_alive_s / 2)

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        while not stop.is_set():
            await self.run_once()
            await self._pause(stop)

    async def run_once(self) -> int:
        """Use all of them at the same time; how many answered."""
        # The first also compares the clocks.
        asked = (self._client.time if number else self._client.measure_time for number in range(self._connections))
        answers = await asyncio.gather(*(_answered(ask) for ask in asked))
        answered = sum(answers)
        if answered < self._connections:
            log.info("Not every connection answered.", action="clob-warmth", answered=answered)
        return answered

    async def _pause(self, stop: asyncio.Event) -> None:
        if stop.is_set():
            return
        sleeping = asyncio.ensure_future(self._clock.sleep(self._every_s))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            await asyncio.wait([sleeping, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()


async def _answered(ask: Callable[[], Awaitable[float]]) -> bool:
    try:
        await ask()
    except (HostDown, HostRefused):
        return False
    return True
