"""One poller for all sockets of this process: it reads one number, and wakes those who wait for a newer one."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from copytrading.dashboard.queries import last_sequence
from ledger.clock import Clock, Randomness
from ledger.db import Database

POLL_SECONDS = 0.25
POLL_RETRY_SECONDS_MAX = 5.0
"""Between questions to a database that does not answer; pages poll over HTTP meanwhile."""

PACE_SECONDS_MIN = 0.5
"""Between two hints to one socket: a page that moves twice a second looks alive."""

HINTS_PER_SECOND_MAX = 20
"""To all sockets together. Each hint makes a page fetch, so a hundred pages cost what ten do."""

SOCKETS_MAX = 500

log = structlog.get_logger(__name__)


class Feed:
    """The newest sequence, known while somebody listens."""

    def __init__(self, database: Database, clock: Clock, randomness: Randomness) -> None:
        self._database, self._clock, self._randomness = database, clock, randomness
        self._listeners: set[asyncio.Event] = set()
        self._poller: asyncio.Task[None] | None = None
        self._failures = 0
        self.sequence: int | None = None

    @contextmanager
    def listening(self, wake: asyncio.Event) -> Iterator[None]:
        """Set `wake` at each change of the sequence; the first listener starts the poller, the last one ends it."""
        self._listeners.add(wake)
        if self._poller is None:
            self._poller = asyncio.get_running_loop().create_task(self._poll(), name="dashboard poller")
        try:
            yield
        finally:
            self._listeners.discard(wake)
            if not self._listeners:
                self._poller.cancel()
                self._poller, self.sequence = None, None

    def full(self) -> bool:
        """True when no further socket may listen."""
        return len(self._listeners) >= SOCKETS_MAX

    def pace_seconds(self) -> float:
        """The least time between two hints to one socket, longer the more sockets share the bound on all."""
        return max(PACE_SECONDS_MIN, len(self._listeners) / HINTS_PER_SECOND_MAX)

    async def poll_once(self) -> None:
        """Read the sequence; wake everybody if it moved, also backwards (a restored database)."""
        found = await self._database.run(last_sequence)
        if found != self.sequence:
            self.sequence = found
            for wake in self._listeners:
                wake.set()

    async def _poll(self) -> None:
        while True:
            try:
                await self.poll_once()
                self._failures = 0
            except Exception:  # a service's border: hints stop, pages notice and poll, we try again
                self._failures += 1
                log.warning("The dashboard's poller failed.", action="poll", failures=self._failures, exc_info=True)
            await self._clock.sleep(self._delay_seconds())

    def _delay_seconds(self) -> float:
        if not self._failures:
            return POLL_SECONDS
        longest = min(POLL_RETRY_SECONDS_MAX, POLL_SECONDS * 2.0 ** min(self._failures, 10))
        return longest * (0.5 + self._randomness.fraction() / 2)
