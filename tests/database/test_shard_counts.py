"""Changing the number of shards while they run: never two owners of a leader, and nobody without one for long."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from django.db import transaction

from copytrading.models import ShardLease, ShardStandby
from copytrading.operations.leases import (
    Lease,
    LeaseLost,
    acquire,
    asked_since,
    hold,
    holder_of,
    newer_count,
    release,
    renew,
    stand_by,
    step_down,
)
from ledger.sql import database_now
from tests.database.races import race

TTL_S = 8

on_two_connections = pytest.mark.django_db(transaction=True)


def lease_of(shard: int, of: int, holder: str = "", since: datetime | None = None) -> Lease | None:
    return acquire(shard=shard, of=of, holder=holder or f"{shard}/{of}", ttl_s=TTL_S, since=since)


def taken(shard: int, of: int) -> Lease:
    lease = lease_of(shard, of)
    assert lease is not None
    return lease


def expire(lease: Lease) -> None:
    rows = ShardLease.objects.filter(shard=lease.shard, of=lease.of)
    assert rows.update(expires_at=database_now() - timedelta(seconds=1)) == 1


def counts_held() -> set[int]:
    return set(ShardLease.objects.filter(expires_at__gt=database_now()).exclude(holder="").values_list("of", flat=True))


def wait_for(of: int, *shards: int, since: datetime) -> None:
    for shard in shards:
        stand_by(shard=shard, of=of, holder=f"{shard}/{of}", since=since)


@pytest.mark.django_db
def test_shard_of_another_count_is_not_given_while_one_is_held() -> None:
    held = taken(1, 2)
    assert [lease_of(shard, 3) for shard in range(3)] == [None] * 3
    release(held)
    assert all(lease_of(shard, 3) for shard in range(3))
    assert lease_of(0, 2) is None


@pytest.mark.django_db
def test_dead_lease_of_another_count_ends_and_its_holder_wakes_up_without_it() -> None:
    old = taken(0, 2)
    expire(old)
    taken(2, 3)
    with pytest.raises(LeaseLost):
        renew(old, TTL_S)
    with pytest.raises(LeaseLost), transaction.atomic():
        hold(old)
    release(old)
    assert counts_held() == {3}


@pytest.mark.django_db
def test_holder_that_wakes_up_before_anybody_else_keeps_the_old_count() -> None:
    old = taken(0, 2)
    expire(old)
    renew(old, TTL_S)
    assert lease_of(0, 3) is None


@on_two_connections
@pytest.mark.parametrize("known", [False, True], ids=["new", "known before"])
@pytest.mark.parametrize("run", range(3))
def test_of_two_counts_that_race_one_wins(known: bool, run: int) -> None:
    if known:
        release(taken(0, 2))
        release(taken(0, 3))
    answers = race(lambda: lease_of(0, 2), lambda: lease_of(0, 3), lambda: lease_of(1, 2), lambda: lease_of(2, 3))
    assert len({lease.of for lease in answers if lease}) == 1
    assert len(counts_held()) == 1


@on_two_connections
@pytest.mark.parametrize("run", range(5))
def test_waking_holder_and_new_count_that_race_are_never_both_right(run: int) -> None:
    old = taken(0, 2)
    expire(old)

    def wakes_up() -> bool:
        try:
            renew(old, TTL_S)
        except LeaseLost:
            return False
        return True

    answers = race(wakes_up, lambda: bool(lease_of(0, 3)))
    assert counts_held() in ({2}, {3})
    assert answers in ([True, False], [False, True])


@pytest.mark.postgres
@on_two_connections
def test_new_count_waits_for_a_write_under_a_dead_lease_of_the_old() -> None:
    old = taken(0, 2)
    expire(old)
    with transaction.atomic():
        hold(old)
        assert race(lambda: lease_of(0, 3)) == [None]
    assert race(lambda: bool(lease_of(0, 3))) == [True]


@pytest.mark.django_db
def test_holder_hands_over_to_a_whole_set_that_came_after_it() -> None:
    since = database_now()
    later = since + timedelta(seconds=1)
    wait_for(3, 0, 1, since=later)
    assert newer_count(of=2, since=since, seen_within_s=TTL_S) is None
    wait_for(3, 2, since=later)
    assert newer_count(of=2, since=since, seen_within_s=TTL_S) == 3


def _older(since: datetime) -> None:
    wait_for(2, 0, 1, since=since - timedelta(seconds=1))


def _of_its_own_count(since: datetime) -> None:
    wait_for(3, 0, 1, 2, since=since + timedelta(seconds=1))


def _twice_the_same(since: datetime) -> None:
    for holder in ("one", "other"):
        stand_by(shard=0, of=2, holder=holder, since=since + timedelta(seconds=1))


def _not_seen_any_more(since: datetime) -> None:
    wait_for(2, 0, 1, since=since + timedelta(seconds=1))
    ShardStandby.objects.filter(shard=1).update(seen_at=database_now() - timedelta(seconds=TTL_S))


def _stepped_down(since: datetime) -> None:
    wait_for(2, 0, 1, since=since + timedelta(seconds=1))
    step_down("1/2")


@pytest.mark.django_db
@pytest.mark.parametrize("who", [_older, _of_its_own_count, _twice_the_same, _not_seen_any_more, _stepped_down])
def test_holder_does_not_hand_over_to(who: Callable[[datetime], None]) -> None:
    since = database_now()
    who(since)
    assert newer_count(of=3, since=since, seen_within_s=TTL_S) is None


@pytest.mark.django_db
def test_whoever_takes_a_shard_stands_by_no_more() -> None:
    wait_for(2, 0, 1, since=database_now())
    taken(0, 2)
    assert list(ShardStandby.objects.values_list("holder", flat=True)) == ["1/2"]


@pytest.mark.django_db
def test_standby_that_died_long_ago_is_forgotten() -> None:
    wait_for(2, 0, since=database_now())
    ShardStandby.objects.update(seen_at=database_now() - timedelta(hours=2))
    wait_for(2, 1, since=database_now())
    assert ShardStandby.objects.get().holder == "1/2"


@pytest.mark.django_db
def test_standby_is_told_whom_it_waits_for() -> None:
    assert holder_of(shard=0, of=2) == ""
    taken(0, 2)
    taken(1, 2)
    assert holder_of(shard=0, of=2) == "0/2"
    assert holder_of(shard=0, of=3) == "shard 0/2 of 0/2, shard 1/2 of 1/2"


@pytest.mark.django_db
def test_who_handed_over_takes_nothing_before_the_newer_count_has_it() -> None:
    since = database_now()
    held = lease_of(0, 2, since=since)
    assert held is not None
    wait_for(3, 0, 1, 2, since=since + timedelta(seconds=1))
    release(held)
    assert lease_of(0, 2, since=since) is None
    assert lease_of(1, 3, since=since + timedelta(seconds=1))


@pytest.mark.django_db
def test_who_handed_over_takes_the_shard_back_when_the_newer_count_is_whole_no_more() -> None:
    since = database_now()
    wait_for(3, 0, 1, 2, since=since + timedelta(seconds=1))
    assert lease_of(0, 2, since=since) is None
    ShardStandby.objects.filter(shard=1).update(seen_at=database_now() - timedelta(seconds=TTL_S))
    assert lease_of(0, 2, since=since)


@pytest.mark.django_db
def test_who_is_restarted_while_a_newer_count_waits_is_as_old_as_the_holders_it_joins() -> None:
    since = database_now() - timedelta(seconds=10)
    assert lease_of(0, 2, since=since)
    wait_for(3, 0, 1, 2, since=since + timedelta(seconds=1))
    assert asked_since(of=2) == since
    assert lease_of(1, 2, since=asked_since(of=2)) is None
    assert newer_count(of=2, since=since, seen_within_s=TTL_S) == 3


@pytest.mark.django_db
def test_first_of_a_count_is_as_old_as_its_question() -> None:
    held = lease_of(0, 3, since=database_now() - timedelta(seconds=10))
    assert held is not None
    release(held)
    before = database_now()
    assert asked_since(of=2) >= before
    assert asked_since(of=3) >= before
