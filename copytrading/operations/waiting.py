"""READY copies: those that are due, and their move to PENDING or SKIPPED, with budgets granted then.

READY has no order hash, so nothing of it can have been sent. The move is a compare-and-set with the token as it was
seen, in one transaction with order columns, reservations and budgets, as the prewrite writes a new copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from copytrading.models import CopyTrade
from copytrading.operations.copy_rows import Stamp, copy_row
from copytrading.operations.decisions import Decision
from copytrading.operations.funds import Funds
from copytrading.operations.leases import Lease, hold
from copytrading.operations.prewrite import Reserved, Written
from copytrading.queries import Shard
from copytrading.states import Actor, Status, check_move
from guardrails.intents import Reason, Refusal
from guardrails.operations import record_events
from ledger.questions import Question
from ledger.sql import compare_and_set, update_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """READY copies as they were seen, and what was decided about each anew, with what the rows are stamped with."""

    rows: Sequence[CopyTrade]
    decisions: Sequence[Decision]
    lease: Lease | None
    lock_token: str
    locked_by: str
    now: datetime
    expire_after_s: int


def due_ready(*, now: datetime, limit: int, shard: Shard) -> list[CopyTrade]:
    """READY copies of a shard whose time has come, in the order in which they were decided.

    Those that have waited longest for a look come first where there are too many: one account's queue behind its own
    limit, which is due again at once, keeps nobody else waiting.
    """
    if not _ANY_DUE.rows(now):
        return []
    rows = CopyTrade.objects.filter(status=Status.READY, next_retry_at__lte=now)
    leaders = shard.leader_ids()
    if leaders is not None:
        rows = rows.filter(leader_id__in=leaders)
    found = rows.select_related("signal__group").order_by("next_retry_at", "pk")[:limit]
    return sorted(found, key=lambda row: row.pk)


# Asked several times a second, and nothing is due most of the time: what is read of rows is more to say than to answer.
_ANY_DUE = Question(
    lambda now: CopyTrade.objects.filter(status=Status.READY, next_retry_at__lte=now).values_list("pk")[:1]
)


def look_again(trade_ids: Sequence[int], *, at: datetime) -> None:
    """Look at these READY copies again then; what they wait for has not happened."""
    CopyTrade.objects.filter(pk__in=trade_ids, status=Status.READY).update(next_retry_at=at)


def promote(work: Promotion) -> Written:
    """Move these copies on; whoever is no longer as it was seen is left alone. Raises LeaseLost.

    A copy becomes PENDING with its order and what it reserves, SKIPPED with every reason, or stays READY until it is
    to be looked at again. Budgets are granted in the order of the copies, by the pure rule, on locked rows.
    """
    with transaction.atomic():
        if work.lease is not None:
            hold(work.lease)
        mine = _still_as_seen(work)
        decisions = [decision for _seen, decision in mine]
        funds = Funds(decisions)
        granted = [funds.grant(decision) for decision in decisions]
        rows = [_row(work, row, decision, extra) for (row, decision), extra in zip(mine, granted, strict=True)]
        moved = update_rows(CopyTrade, match=_MATCH, assign=_ASSIGN, rows=[_values(row) for row in rows])
        assert len(moved) == len(rows)  # they are locked
        funds.carry_all(rows, decisions)
        funds.save()
        refused = [
            (row.pk, refusal)
            for row, decision, extra in zip(rows, decisions, granted, strict=True)
            for refusal in (*decision.refusals, *extra, *_incidents(row, decision))
        ]
        record_events(refused, now=work.now)
    reserved = tuple(
        Reserved(trade_id=row.pk, lock_token=work.lock_token, decision=decision, plan=decision.plan, row=row)
        for row, decision in zip(rows, decisions, strict=True)
        if row.status == Status.PENDING and decision.plan is not None
    )
    return Written(reserved=reserved, rows=tuple(rows))


def drop_ready(rows: Sequence[CopyTrade], refusal: Refusal, *, lease: Lease | None, now: datetime) -> set[int]:
    """Skip READY copies that nobody wants any more, for this reason; the ids of those that were. Raises LeaseLost."""
    with transaction.atomic():
        if lease is not None:
            hold(lease)
        told = [(row.pk, row.status, row.lock_token, "SKIPPED", [*row.reasons, refusal.as_json()], now) for row in rows]
        match, assign = ("id", "status", "lock_token"), ("status", "reasons", "decided_at")
        dropped = compare_and_set(CopyTrade, match=match, assign=assign, rows=told)
        record_events([(pk, refusal) for pk in sorted(dropped)], now=now)
    return dropped


_MATCH = ("id", "status")
_ASSIGN = (
    "status",
    "reasons",
    # The follower may have been moved to paper meanwhile: the order goes where the row says.
    "mode",
    "config_version",
    *("size_micros", "limit_micros", "reserved_micros", "budget_micros", "budget_count", "budget_mask"),
    *("carried_micros", "quote_source", "best_micros"),
    *("domain", "signer", "signature_type", "order_type", "tick_micros", "salt", "order_timestamp_ms"),
    *("order_hash", "maker_amount", "taker_amount"),
    *("attempts", "next_retry_at", "locked_by", "locked_at", "lock_token", "lease_term"),
    *("decided_at", "expires_at"),
)


def _incidents(row: CopyTrade, decision: Decision) -> tuple[Refusal, ...]:
    """A sale was decided without a purchase that may still be confirmed: then nobody sells those shares."""
    told = Reason.UNSOLD in decision.waited and row.status != Status.READY
    return (Refusal(Reason.UNSOLD),) if told else ()


def _still_as_seen(work: Promotion) -> list[tuple[CopyTrade, Decision]]:
    """The copies, locked, that nobody has moved or taken since; in the order given."""
    locked = CopyTrade.objects.select_for_update().filter(pk__in=[row.pk for row in work.rows]).order_by("pk")
    found = {row[0]: row[1:] for row in locked.values_list("pk", "status", "lock_token", "lease_term")}
    return [
        (row, decision)
        for row, decision in zip(work.rows, work.decisions, strict=True)
        if found.get(row.pk) == (Status.READY, row.lock_token, row.lease_term)
    ]


def _row(work: Promotion, before: CopyTrade, decision: Decision, extra: tuple[Refusal, ...]) -> CopyTrade:
    stamp = Stamp(
        lock_token=work.lock_token,
        locked_by=work.locked_by,
        lease_term=work.lease.term if work.lease else 0,
        now=work.now,
        expire_after_s=work.expire_after_s,
    )
    row = copy_row(stamp, decision, extra)
    row.pk = before.pk
    if row.status != Status.READY:
        check_move(Status.READY, Status(row.status), Actor.PIPELINE)
    return row


def _values(row: CopyTrade) -> tuple[object, ...]:
    return (row.pk, Status.READY.value, *(getattr(row, name) for name in _ASSIGN))
