"""The shard lease: one holder, a rising term, and no write under a term that was taken over."""

from datetime import timedelta

import pytest
from django.db import transaction

from copytrading.models import ShardLease
from copytrading.operations.leases import Lease, LeaseLost, acquire, hold, release, renew
from ledger.sql import database_now
from tests.database.races import race

TTL_S = 15


def lease_of(holder: str, *, shard: int = 0, of: int = 1) -> Lease | None:
    return acquire(shard=shard, of=of, holder=holder, ttl_s=TTL_S)


def expire() -> None:
    assert ShardLease.objects.update(expires_at=database_now() - timedelta(seconds=1)) == 1


@pytest.fixture
def first(db: None) -> Lease:
    lease = lease_of("first")
    assert lease is not None
    return lease


def test_first_holder_gets_the_first_term(first: Lease) -> None:
    assert first == Lease(shard=0, of=1, holder="first", term=1)


def test_lease_lives_as_long_as_it_was_asked_for(first: Lease) -> None:
    left = ShardLease.objects.get().expires_at - database_now()
    assert timedelta(seconds=TTL_S - 5) < left <= timedelta(seconds=TTL_S)


def test_held_lease_is_not_given_to_another(first: Lease) -> None:
    assert lease_of("second") is None
    assert ShardLease.objects.get().term == 1


def test_held_lease_is_not_given_to_its_holder_again(first: Lease) -> None:
    assert lease_of("first") is None


def test_shards_have_leases_of_their_own(db: None) -> None:
    assert lease_of("first", of=2) and lease_of("second", shard=1, of=2)
    assert set(ShardLease.objects.values_list("shard", "term")) == {(0, 1), (1, 1)}


def test_renewed_lease_outlives_its_first_expiry(first: Lease) -> None:
    ShardLease.objects.update(expires_at=database_now() + timedelta(seconds=1))
    renew(first, TTL_S)
    assert ShardLease.objects.get().expires_at > database_now() + timedelta(seconds=TTL_S - 5)


def test_expired_lease_that_nobody_took_may_be_renewed(first: Lease) -> None:
    expire()
    renew(first, TTL_S)
    assert lease_of("second") is None


def test_takeover_after_expiry_raises_the_term(first: Lease) -> None:
    expire()
    second = lease_of("second")
    assert second is not None
    assert second.term == first.term + 1


def test_holder_that_was_taken_over_cannot_renew(first: Lease) -> None:
    expire()
    lease_of("second")
    with pytest.raises(LeaseLost, match="shard 0/1: term 1 was taken over"):
        renew(first, TTL_S)


def test_same_holder_under_an_older_term_cannot_renew(first: Lease) -> None:
    expire()
    lease_of("first")
    with pytest.raises(LeaseLost):
        renew(first, TTL_S)


def test_hold_passes_for_the_current_term(first: Lease) -> None:
    with transaction.atomic():
        hold(first)


def test_hold_refuses_a_stale_term(first: Lease) -> None:
    expire()
    second = lease_of("second")
    assert second is not None
    with pytest.raises(LeaseLost, match="term 1 was taken over"), transaction.atomic():
        hold(first)
    with transaction.atomic():
        hold(second)


def test_released_lease_is_free_and_its_next_term_is_higher(first: Lease) -> None:
    release(first)
    with pytest.raises(LeaseLost):
        renew(first, TTL_S)
    second = lease_of("second")
    assert second is not None
    assert second.term == 2


def test_release_by_a_stale_holder_frees_nothing(first: Lease) -> None:
    expire()
    second = lease_of("second")
    assert second is not None
    release(first)
    renew(second, TTL_S)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("known", [False, True], ids=["new shard", "expired lease"])
@pytest.mark.parametrize("run", range(3))
def test_one_of_two_racing_holders_wins(known: bool, run: int) -> None:
    if known:
        lease_of("before")
        expire()
    answers = race(lambda: lease_of("first"), lambda: lease_of("second"))
    won = [lease for lease in answers if lease is not None]
    assert len(won) == 1
    row = ShardLease.objects.get()
    assert (row.holder, row.term) == (won[0].holder, won[0].term) == (won[0].holder, 2 if known else 1)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_takeover_waits_for_a_transaction_that_holds_the_lease() -> None:
    first = lease_of("first")
    assert first is not None
    expire()

    with transaction.atomic():
        hold(first)
        assert race(lambda: lease_of("second")) == [None]
        assert ShardLease.objects.get().term == first.term
    (second,) = race(lambda: lease_of("second"))
    assert second is not None
    assert second.term == 2
