"""The shard lease: one holder, a term that rises with each change of hands, by the database's clock."""

from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from copytrading.models import ShardLease
from ledger.sql import database_now


class LeaseLost(Exception):
    """Somebody else holds the shard now: stop, send nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a holder names in every money write."""

    shard: int
    of: int
    holder: str
    term: int


def acquire(*, shard: int, of: int, holder: str, ttl_s: int) -> Lease | None:
    """Take the lease if it is free or expired; None while another holds it."""
    with transaction.atomic():
        ShardLease.objects.get_or_create(shard=shard, of=of)
        now = database_now()
        changed = ShardLease.objects.filter(Q(expires_at__lte=now) | Q(holder=""), shard=shard, of=of).update(
            holder=holder, term=F("term") + 1, expires_at=now + timedelta(seconds=ttl_s), renewed_at=Now()
        )
        if not changed:
            return None
        term = ShardLease.objects.get(shard=shard, of=of).term
    return Lease(shard=shard, of=of, holder=holder, term=term)


def renew(lease: Lease, ttl_s: int) -> None:
    """Move the expiry on. Raises LeaseLost when the term is no longer ours."""
    now = database_now()
    changed = _ours(lease).update(expires_at=now + timedelta(seconds=ttl_s), renewed_at=Now())
    if changed != 1:
        raise LeaseLost(f"shard {lease.shard}/{lease.of}: term {lease.term} was taken over")


def release(lease: Lease) -> None:
    """Give the lease up, if it is still ours."""
    _ours(lease).update(holder="", expires_at=database_now())


def hold(lease: Lease) -> None:
    """Lock the lease row for the caller's transaction. Raises LeaseLost when the term is no longer ours.

    While the row is locked nobody can take the shard over, so what this transaction writes is fenced.
    """
    if not _ours(lease).select_for_update().values_list("id", flat=True):
        raise LeaseLost(f"shard {lease.shard}/{lease.of}: term {lease.term} was taken over")


def _ours(lease: Lease):  # type: ignore[no-untyped-def]  # the stubs' generic queryset says nothing more
    return ShardLease.objects.filter(shard=lease.shard, of=lease.of, holder=lease.holder, term=lease.term)
