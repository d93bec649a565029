"""Keeps this process's shard lease and says how long it may be trusted."""

import asyncio

import structlog

from copytrading.operations.leases import Lease, LeaseLost, acquire, release, renew
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard
from ledger.clock import Clock
from ledger.db import Database

MARGIN_MS = 2_000
"""A holder stops trusting its lease this long before it ends: longer than any send under way."""

RENEWALS_PER_TTL = 3
"""Two heartbeats may fail before the lease is lost."""

log = structlog.get_logger(__name__)


class LeaseHeldByAnother(Exception):
    """The shard has a living holder; the message says which shard."""


class LeaseKeeper:
    """Acquires, renews and releases the lease of one shard."""

    name = "lease"

    def __init__(self, database: Database, clock: Clock, *, shard: int, of: int, holder: str, ttl_s: int) -> None:
        self._database, self._clock = database, clock
        self._shard, self._of, self._holder, self._ttl_s = shard, of, holder, ttl_s
        self._lease: Lease | None = None
        self._trusted_until_ms = 0.0

    @property
    def shard(self) -> Shard:
        """The shard this keeper is for."""
        return Shard(self._shard, self._of)

    async def acquire(self, stop: asyncio.Event | None = None) -> Lease | None:
        """Take the shard, waiting up to one TTL for a dead holder's lease to end; None when told to stop meanwhile.

        Raises LeaseHeldByAnother.
        """
        stop = stop or asyncio.Event()
        give_up_ms = self._clock.monotonic_ms() + (self._ttl_s + 1) * 1_000
        while True:
            asked_ms = self._clock.monotonic_ms()
            lease = await self._database.run(
                acquire, shard=self._shard, of=self._of, holder=self._holder, ttl_s=self._ttl_s
            )
            if lease is not None:
                self._lease = lease
                self._trust_from(asked_ms)
                return lease
            if asked_ms >= give_up_ms:
                raise LeaseHeldByAnother(f"shard {self._shard}/{self._of} is held by another supervisor")
            await sleep_or_stop(self._clock, stop, 1)
            if stop.is_set():
                return None

    def held(self) -> Lease:
        """The lease to name in a money write. Raises LeaseLost when it may no longer be trusted."""
        if self._lease is None or not self.trusted():
            raise LeaseLost(f"shard {self._shard}/{self._of}: the lease was not renewed in time")
        return self._lease

    def trusted(self) -> bool:
        """True until a margin before the lease could end, by this machine's monotonic clock."""
        return self._lease is not None and self._clock.monotonic_ms() < self._trusted_until_ms

    async def run(self, stop: asyncio.Event) -> None:
        """Renew until stopped. Raises LeaseLost when the shard was taken over."""
        while not stop.is_set():
            await self.run_once()
            await sleep_or_stop(self._clock, stop, self._ttl_s / RENEWALS_PER_TTL)

    async def run_once(self) -> None:
        """Renew now."""
        if self._lease is None:
            raise LeaseLost(f"shard {self._shard}/{self._of} was never acquired")
        asked_ms = self._clock.monotonic_ms()
        await self._database.run(renew, self._lease, self._ttl_s)
        self._trust_from(asked_ms)

    async def release(self) -> None:
        """Give the shard up, so that the next supervisor need not wait."""
        if self._lease is not None:
            lease, self._lease = self._lease, None  # from here on nothing is sent
            await self._database.run(release, lease)

    def _trust_from(self, asked_ms: float) -> None:
        self._trusted_until_ms = asked_ms + self._ttl_s * 1_000 - MARGIN_MS
