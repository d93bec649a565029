"""Keeps this process's shard lease and says how long it may be trusted."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError

from copytrading.operations.leases import (
    Lease,
    LeaseLost,
    acquire,
    asked_since,
    holder_of,
    newer_count,
    release,
    renew,
    stand_by,
    step_down,
)
from copytrading.pauses import sleep_or_stop
from copytrading.queries import Shard
from ledger.clock import Clock
from ledger.db import Database

MARGIN_MS = 2_000
"""A holder stops trusting its lease this long before it ends: longer than any send under way."""

RENEWALS_PER_TTL = 3
"""Two heartbeats may fail before the lease is lost."""

ASK_EVERY_S = 0.5
"""How often a process that waits for the shard asks: with the lease's 8 s it takes over within 10 s of a death."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a process wants of a shard.

    `stands_by`: wait for a shard that is held until told to stop, instead of giving up after one TTL. `since`: when
    this process first asked, if it asks again after handing over; None is now.
    """

    shard: Shard
    holder: str
    ttl_s: int
    stands_by: bool = False
    since: datetime | None = None


class LeaseHeldByAnother(Exception):
    """The shard has a living holder; the message says which shard."""


class LeaseKeeper:
    """Acquires, renews and releases the lease of one shard."""

    name = "lease"

    def __init__(self, database: Database, clock: Clock, claim: Claim) -> None:
        self._database, self._clock, self._claim = database, clock, claim
        self._shard, self._ttl_s = claim.shard, claim.ttl_s
        self._lease: Lease | None = None
        self._trusted_until_ms = 0.0
        self._stop = asyncio.Event()
        self.since = claim.since
        """When this process first asked for a shard; None: it has not asked yet."""
        self.waiting = False
        """True while this process stands by."""
        self.outdated = False
        """True once the shard is being given up because all shards of another count have somebody standing by."""

    @property
    def shard(self) -> Shard:
        """The shard this keeper is for."""
        return self._shard

    async def acquire(self, stop: asyncio.Event | None = None) -> Lease | None:
        """Take the shard; None when told to stop while another held it.

        Waits up to one TTL for a dead holder's lease to end and then raises LeaseHeldByAnother, unless it stands by.
        `stop` is also set when the shard is to be handed over, so that everything ends as if it had been asked to.
        """
        self._stop = stop or self._stop
        give_up_ms = self._clock.monotonic_ms() + (self._ttl_s + 1) * 1_000
        try:
            while True:
                asked_ms = self._clock.monotonic_ms()
                if lease := await self._ask():
                    self._lease = lease
                    self._trust_from(asked_ms)
                    return lease
                if not self._claim.stands_by and asked_ms >= give_up_ms:
                    raise LeaseHeldByAnother(f"{self._named()} is held by another supervisor")
                await sleep_or_stop(self._clock, self._stop, ASK_EVERY_S)
                if self._stop.is_set():
                    await self._step_down()
                    return None
        finally:
            self.waiting = False

    def held(self) -> Lease:
        """The lease to name in a money write. Raises LeaseLost when it may no longer be trusted."""
        if self._lease is None or not self.trusted():
            raise LeaseLost(f"{self._named()}: the lease was not renewed in time")
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
        """Renew now, and see whether to hand over."""
        if self._lease is None:
            raise LeaseLost(f"{self._named()} was never acquired")
        asked_ms = self._clock.monotonic_ms()
        await self._database.run(renew, self._lease, self._ttl_s)
        self._trust_from(asked_ms)
        if self._claim.stands_by and self.since is not None and not self.outdated:
            newer = await self._database.run(
                newer_count, of=self._shard.of, since=self.since, seen_within_s=self._ttl_s
            )
            if newer is not None:
                log.warning(
                    "All shards of another count have a process standing by: handing over.",
                    action="hand over",
                    shard=str(self._shard),
                    shards=newer,
                )
                self.outdated = True
                self._stop.set()

    async def release(self) -> None:
        """Give the shard up, so that the next supervisor need not wait."""
        if self._lease is not None:
            lease, self._lease = self._lease, None  # from here on nothing is sent
            await self._database.run(release, lease)

    async def _ask(self) -> Lease | None:
        """The lease, or None after saying that this process stands by. One that does outlives an absent database."""
        shard, named = self._shard, {"shard": self._shard.index, "of": self._shard.of}
        try:
            if self.since is None:
                self.since = await self._database.run(asked_since, of=shard.of)
            since = self.since if self._claim.stands_by else None
            lease = await self._database.run(
                acquire, shard=shard.index, of=shard.of, holder=self._claim.holder, ttl_s=self._ttl_s, since=since
            )
            if lease is None and self._claim.stands_by:
                await self._database.run(stand_by, holder=self._claim.holder, since=self.since, **named)
                await self._tell_once()
        except (OperationalError, InterfaceError) as why:
            if not self._claim.stands_by:
                raise
            log.warning("The database does not answer; standing by.", action="stand by", why=type(why).__name__)
            return None
        return lease

    async def _tell_once(self) -> None:
        if not self.waiting:
            self.waiting = True
            holder = await self._database.run(holder_of, shard=self._shard.index, of=self._shard.of)
            log.info("Standing by: the shard is held.", action="stand by", shard=str(self._shard), holder=holder)

    async def _step_down(self) -> None:
        if not self._claim.stands_by:
            return
        try:
            await self._database.run(step_down, self._claim.holder)
        except (OperationalError, InterfaceError):
            log.warning("The database does not answer; the row of this standby stays a while.", action="stop")

    def _named(self) -> str:
        return f"shard {self._shard}"

    def _trust_from(self, asked_ms: float) -> None:
        self._trusted_until_ms = asked_ms + self._ttl_s * 1_000 - MARGIN_MS
