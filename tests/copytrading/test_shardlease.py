"""The keeper of a shard's lease: it stands by, takes over, hands over, and trusts itself no longer than it may."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError

from copytrading.models import ShardLease, ShardStandby
from copytrading.operations.leases import Lease, LeaseLost, acquire, release, stand_by
from copytrading.queries import Shard
from copytrading.shardlease import ASK_EVERY_S, Claim, LeaseHeldByAnother, LeaseKeeper
from ledger.sql import database_now
from tests.doors import InlineDatabase, VirtualClock

pytestmark = pytest.mark.django_db

TTL_S = 8
ASKS_MAX = 100


class Clock(VirtualClock):
    """Does something at one of the sleeps."""

    def __init__(self, at: dict[int, Callable[[], object]]) -> None:
        super().__init__()
        self._at, self.sleeps = at, 0

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        assert self.sleeps < ASKS_MAX, "it waits for ever"
        await InlineDatabase().run(self._at.get(self.sleeps, lambda: None))
        await super().sleep(seconds)


def keeper(clock: VirtualClock, *, database: Any = None, stands_by: bool = True, **claim: Any) -> LeaseKeeper:
    wanted = Claim(**{"shard": Shard(0, 1), "holder": "second", "ttl_s": TTL_S, "stands_by": stands_by, **claim})
    return LeaseKeeper(database or InlineDatabase(), clock, wanted)


def hold_it(of: int = 1) -> Lease:
    lease = acquire(shard=0, of=of, holder="first", ttl_s=TTL_S)
    assert lease is not None
    return lease


def run(work: Awaitable[Any]) -> Any:
    async def inside() -> Any:
        return await work

    return asyncio.run(inside())


def test_standby_waits_longer_than_a_lease_lives_and_takes_over_when_it_is_released() -> None:
    first = hold_it()
    clock = Clock({60: lambda: release(first)})
    second = keeper(clock)
    lease = run(second.acquire())
    assert (lease.holder, lease.term, second.waiting) == ("second", 2, False)
    assert clock.sleeps == 60 > TTL_S / ASK_EVERY_S
    assert not ShardStandby.objects.exists()


def test_standby_takes_over_from_a_dead_holder_as_soon_as_its_lease_has_ended() -> None:
    hold_it()
    died = {3: lambda: ShardLease.objects.update(expires_at=database_now() - timedelta(milliseconds=1))}
    clock = Clock(died)
    assert run(keeper(clock).acquire())
    assert clock.sleeps == 3
    assert TTL_S + 2 * ASK_EVERY_S < 10


def test_standby_says_so_while_it_waits() -> None:
    first = hold_it()
    told: list[object] = []
    second: list[LeaseKeeper] = []

    def look() -> None:
        told.append((second[0].waiting, ShardStandby.objects.get().holder))
        release(first)

    second.append(keeper(Clock({2: look})))
    run(second[0].acquire())
    assert told == [(True, "second")]


def test_standby_that_is_stopped_leaves_nothing() -> None:
    hold_it()
    stop = asyncio.Event()
    assert run(keeper(Clock({2: stop.set})).acquire(stop)) is None
    assert not ShardStandby.objects.exists()
    assert ShardLease.objects.get().holder == "first"


def test_whoever_does_not_stand_by_gives_up_after_one_life_of_the_lease() -> None:
    hold_it()
    clock = Clock({})
    with pytest.raises(LeaseHeldByAnother, match="shard 0/1 is held by another supervisor"):
        run(keeper(clock, stands_by=False).acquire())
    assert clock.monotonic_ms() == pytest.approx((TTL_S + 1) * 1_000, abs=1_000)


class Flaky(InlineDatabase):
    """A database that is away for the first questions."""

    def __init__(self, failures: int) -> None:
        self.left = failures

    async def run(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            raise OperationalError("away")
        return await super().run(work, *args, **kwargs)


def test_standby_outlives_an_absent_database() -> None:
    assert run(keeper(Clock({}), database=Flaky(3)).acquire()) is not None


def test_whoever_does_not_stand_by_ends_with_the_database() -> None:
    with pytest.raises(OperationalError):
        run(keeper(Clock({}), database=Flaky(1), stands_by=False).acquire())


def test_holder_hands_over_when_a_whole_newer_set_stands_by() -> None:
    stop, first = asyncio.Event(), keeper(VirtualClock(), shard=Shard(0, 2))
    run(first.acquire(stop))
    for shard in range(3):
        stand_by(shard=shard, of=3, holder=f"{shard}/3", since=database_now() + timedelta(seconds=1))
    run(first.run_once())
    assert (first.outdated, stop.is_set()) == (True, True)


def test_process_that_handed_over_does_not_take_the_shard_back() -> None:
    first = keeper(VirtualClock(), shard=Shard(0, 2))
    run(first.acquire())
    newer = keeper(VirtualClock(), shard=Shard(0, 3), holder="newer")
    run(first.release())
    run(newer.acquire())
    assert first.since is not None
    for shard in range(2):
        stand_by(shard=shard, of=2, holder=f"{shard}/2", since=first.since)
    run(newer.run_once())
    assert not newer.outdated


def test_holder_that_slept_past_its_lease_trusts_it_no_more_and_cannot_renew_it() -> None:
    clock = VirtualClock()
    first = keeper(clock, holder="first")
    run(first.acquire())
    ShardLease.objects.update(expires_at=database_now() - timedelta(seconds=1))
    assert run(keeper(VirtualClock()).acquire())
    clock.advance(TTL_S)
    assert not first.trusted()
    with pytest.raises(LeaseLost):
        first.held()
    with pytest.raises(LeaseLost, match="shard 0/1: term 1 was taken over"):
        run(first.run_once())
