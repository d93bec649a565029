"""The shard lease: one holder, a term that rises with each change of hands, by the database's clock.

How the number of shards changes while they run: a leader belongs to another shard when the shards are counted anew, so
a lease of one count is never given while one of another count lives (`acquire`, one lock for all of them), and with
it every dead lease of another count ends, so that its holder, when it wakes up, holds nothing. Processes of a new
count therefore stand by. A holder gives its shard up when for every shard of another count a process stands by that
came after it (`newer_count`); then nobody is left out, and none of the old count takes a shard before the new one has.
A single process with a wrong count changes nothing. One that joins holders of its count is as old as they are
(`asked_since`): so all of a count judge alike, and a restarted one does not keep a shard that the others gave up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.db import connection, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Now

from copytrading.models import ShardLease, ShardStandby
from ledger.questions import Asked, Question, Row
from ledger.sql import database_now

FORGET_AFTER = timedelta(hours=1)
"""A process that stood by and was not seen for so long is dead; its row goes."""


class LeaseLost(Exception):
    """Somebody else holds the shard now: stop, send nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What a holder names in every money write."""

    shard: int
    of: int
    holder: str
    term: int


def asked_since(*, of: int) -> datetime:
    """Since when a process that asks for the first time counts: as its count's holders, or now where there are none."""
    now = database_now()
    living = ShardLease.objects.filter(of=of, expires_at__gt=now).exclude(holder="").values_list("since", flat=True)
    return min((since for since in living if since is not None), default=now)


def acquire(*, shard: int, of: int, holder: str, ttl_s: int, since: datetime | None = None) -> Lease | None:
    """Take the lease if it is free or expired; None while another holds it, or any shard of another count is held.

    None also while somebody is amid a write that names one of these leases, and while a whole newer count than that
    of a process that has asked `since` then stands by: ask again.
    """
    with transaction.atomic():
        _one_at_a_time()
        if since is not None and newer_count(of=of, since=since, seen_within_s=ttl_s) is not None:
            return None
        ShardLease.objects.get_or_create(shard=shard, of=of)
        ours = Q(shard=shard, of=of)
        leases = ShardLease.objects.filter(ours | (~Q(of=of) & ~Q(holder="")))
        wanted = set(leases.values_list("pk", flat=True))
        locked = list(ShardLease.objects.filter(pk__in=wanted).select_for_update(skip_locked=True).order_by("pk"))
        now = database_now()
        if len(locked) < len(wanted) or any(each.holder and each.expires_at > now for each in locked):
            return None
        ShardLease.objects.filter(pk__in=wanted).exclude(ours).update(holder="", term=F("term") + 1, expires_at=now)
        ShardLease.objects.filter(ours).update(
            holder=holder, term=F("term") + 1, expires_at=now + timedelta(seconds=ttl_s), renewed_at=Now(), since=since
        )
        ShardStandby.objects.filter(holder=holder).delete()
        term = ShardLease.objects.get(ours).term
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
    ask_hold(lease).answer()


def ask_hold(lease: Lease) -> Asked[None]:
    """`hold`, which raises where it is answered."""
    return _HELD.ask(lease.shard, lease.of, lease.holder, lease.term, read=partial(_still_held, lease))


def _still_held(lease: Lease, rows: Sequence[Row]) -> None:
    if not rows:
        raise LeaseLost(f"shard {lease.shard}/{lease.of}: term {lease.term} was taken over")


_HELD = Question(
    lambda shard, of, holder, term: (
        ShardLease.objects.filter(shard=shard, of=of, holder=holder, term=term).select_for_update().values_list("id")
    )
)


def stand_by(*, shard: int, of: int, holder: str, since: datetime) -> None:
    """Say that this process waits for the shard, alive at this moment."""
    with transaction.atomic():
        now = database_now()
        named = {"shard": shard, "of": of, "since": since, "seen_at": now}
        ShardStandby.objects.update_or_create(holder=holder, defaults=named)
        ShardStandby.objects.filter(seen_at__lt=now - FORGET_AFTER).delete()


def step_down(holder: str) -> None:
    """This process waits no longer."""
    ShardStandby.objects.filter(holder=holder).delete()


def newer_count(*, of: int, since: datetime, seen_within_s: int) -> int | None:
    """Another number of shards for each of which a living process stands by that came after `since`; None if none."""
    seen_after = database_now() - timedelta(seconds=seen_within_s)
    waiting = ShardStandby.objects.filter(seen_at__gt=seen_after, since__gt=since).exclude(of=of)
    whole = waiting.values("of").annotate(shards=Count("shard", distinct=True)).filter(shards=F("of"))
    return next(iter(whole.order_by("of").values_list("of", flat=True)), None)


def holder_of(*, shard: int, of: int) -> str:
    """Whom a process that stands by waits for, in words."""
    now = database_now()
    living = ShardLease.objects.filter(expires_at__gt=now).exclude(holder="")
    if found := living.filter(shard=shard, of=of).first():
        return found.holder
    others = living.exclude(of=of).order_by("of", "shard")
    return ", ".join(f"shard {each.shard}/{each.of} of {each.holder}" for each in others)


def _one_at_a_time() -> None:
    """Until the transaction's end nobody else acquires; SQLite has one writer anyhow."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            table = connection.ops.quote_name(ShardLease._meta.db_table)
            cursor.execute("SELECT pg_advisory_xact_lock(%s::regclass::oid::bigint)", [table])


def _ours(lease: Lease):  # type: ignore[no-untyped-def]  # the stubs' generic queryset says nothing more
    return ShardLease.objects.filter(shard=lease.shard, of=lease.of, holder=lease.holder, term=lease.term)
