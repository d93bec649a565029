"""The prewrite: one transaction in which a batch of decisions becomes rows, budgets and reservations.

Only what this call inserted and reserved may be sent. A follower that another process decided first is told
by the database (unique per config and signal): the whole transaction rolls back and runs again without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from django.db import IntegrityError, transaction

from copytrading.costs import NO_COSTS, Costs
from copytrading.models import CopyTrade, Signal
from copytrading.operations.copy_rows import Stamp, copy_row
from copytrading.operations.decisions import Decision
from copytrading.operations.funds import Funds
from copytrading.operations.leases import Lease, ask_hold
from copytrading.states import Status
from execution.orders import OrderPlan
from guardrails.operations import record_events
from ledger.questions import Asked, Question, Row, together
from ledger.sql import insert_rows, set_rows

LOST_RACES_MAX = 20
"""Each try loses at least one follower to another writer; more means that something else is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prewrite:
    """A batch with what its rows are stamped with. `done_signals` have no follower left after this batch."""

    decisions: Sequence[Decision]
    done_signals: Sequence[int]
    lease: Lease | None
    lock_token: str
    locked_by: str
    now: datetime
    expire_after_s: int
    costs: Costs = NO_COSTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A row this call inserted in PENDING with its reservation: ours to send, under this token.

    `prewritten_at` is when the row was known to be durable: the sender says it, in the transaction it is not yet so.
    """

    trade_id: int
    lock_token: str
    decision: Decision
    plan: OrderPlan
    row: CopyTrade
    prewritten_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a prewrite did: rows to send, and every row that it inserted."""

    reserved: tuple[Reserved, ...]
    rows: tuple[CopyTrade, ...]


def prewrite(batch: Prewrite) -> Written:
    """Write the batch. Raises LeaseLost, and nothing is written then.

    Budgets are granted in the order of the decisions, by the pure rule, on rows locked in key order.
    """
    for _try in range(LOST_RACES_MAX):
        try:
            with transaction.atomic():
                return _write(batch)
        except IntegrityError:
            left = _undecided(batch.decisions)
            if len(left) == len(batch.decisions):
                raise  # not a lost race: a constraint that really does not hold
            batch = replace(batch, decisions=left)
    raise RuntimeError("the prewrite lost too many races; the signal stays open and is offered again")


def _write(batch: Prewrite) -> Written:
    costs = batch.costs
    stamp = Stamp(
        lock_token=batch.lock_token,
        locked_by=batch.locked_by,
        lease_term=batch.lease.term if batch.lease else 0,
        now=batch.now,
        expire_after_s=batch.expire_after_s,
    )
    with costs.measure("prewrite.lock"):
        with together():
            held = ask_hold(batch.lease) if batch.lease is not None else None
            funds = Funds(batch.decisions)
        if held is not None:
            held.answer()
    with costs.measure("prewrite.grant"):
        granted = [funds.grant(decision) for decision in batch.decisions]
    with costs.measure("prewrite.rows"):
        rows = [copy_row(stamp, decision, extra) for decision, extra in zip(batch.decisions, granted, strict=True)]
    done = [(each, batch.now) for each in batch.done_signals]
    with together(when=len(rows) == 1):
        with costs.measure("prewrite.funds"):
            funds.carry_all(rows, batch.decisions)
            funds.save()
        set_rows(Signal, match=("id",), assign=("done_at",), rows=done)
        with costs.measure("prewrite.insert"):
            insert_rows(CopyTrade, rows)
    with costs.measure("prewrite.events"):
        record_events(
            (
                (row.pk, refusal)
                for row, decision, extra in zip(rows, batch.decisions, granted, strict=True)
                for refusal in (*decision.refusals, *extra)
            ),
            now=batch.now,
        )
    reserved = tuple(
        Reserved(trade_id=row.pk, lock_token=batch.lock_token, decision=decision, plan=decision.plan, row=row)
        for row, decision in zip(rows, batch.decisions, strict=True)
        if row.status == Status.PENDING and decision.plan is not None
    )
    return Written(reserved=reserved, rows=tuple(rows))


def _undecided(decisions: Sequence[Decision]) -> list[Decision]:
    pairs = decided_pairs([decision.signal.signal_id for decision in decisions])
    return [d for d in decisions if (d.config.config_id, d.signal.signal_id) not in pairs]


def decided_pairs(signal_ids: Sequence[int]) -> set[tuple[int, int]]:
    """(config, signal) of every copy that exists for these signals."""
    return ask_decided_pairs(signal_ids).answer()


def ask_decided_pairs(signal_ids: Sequence[int]) -> Asked[set[tuple[int, int]]]:
    """`decided_pairs`, to be answered later."""
    return _DECIDED.ask(set(signal_ids), read=_pairs)


def _pairs(rows: Sequence[Row]) -> set[tuple[int, int]]:
    return {(config, signal) for config, signal in rows}


_DECIDED = Question(lambda ids: CopyTrade.objects.filter(signal_id__among=ids).values_list("config_id", "signal_id"))
