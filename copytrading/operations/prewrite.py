"""The prewrite: one transaction in which a batch of decisions becomes rows, budgets and reservations.

Only what this call inserted and reserved may be sent. A follower that another process decided first is told
by the database (unique per config and signal): the whole transaction rolls back and runs again without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import blake2b

from django.db import IntegrityError, transaction

from copytrading.decide import Config, SignalFacts
from copytrading.models import CopyTrade, Signal
from copytrading.operations.leases import Lease, hold
from copytrading.states import Status
from execution.operations import Held, PositionKey, lock_positions, write_positions
from execution.orders import OrderPlan
from guardrails.budgets import Bound, BudgetKey, Spent, Wish, mask_of, refusals, take
from guardrails.intents import Reason, Refusal, TradeIntent, Unit
from guardrails.operations import lock_budgets, record_events, write_budgets
from ledger.operations import Cash, lock_cash, write_cash
from ledger.sql import insert_rows
from ledger.units import Micros, Side

LOST_RACES_MAX = 20
"""Each try loses at least one follower to another writer; more means that something else is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One follower's answer to one signal, to be written.

    `plan` is the order of a copy to send, or of a dry run when there are refusals too; `budgets` are the
    bounded budgets that a buy takes from; `fee_max_micros` is the largest fee the order can cost.
    """

    config: Config
    signal: SignalFacts
    refusals: tuple[Refusal, ...]
    intent: TradeIntent | None
    plan: OrderPlan | None
    fee_max_micros: Micros
    budgets: tuple[tuple[BudgetKey, Bound], ...]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """A row this call inserted in PENDING with its reservation: ours to send, under this token."""

    trade_id: int
    lock_token: str
    decision: Decision
    plan: OrderPlan
    row: CopyTrade


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


def idempotency_key(config_id: int, group_key: str, part: int) -> str:
    """The name of one copy for all time, from what it copies and for whom."""
    return blake2b(f"{config_id}:{group_key}:{part}".encode(), digest_size=16).hexdigest()


def _write(batch: Prewrite) -> Written:
    if batch.lease is not None:
        hold(batch.lease)
    funds = _Funds(batch.decisions)
    granted = [funds.grant(decision) for decision in batch.decisions]
    rows = [_row(batch, decision, extra) for decision, extra in zip(batch.decisions, granted, strict=True)]
    insert_rows(CopyTrade, rows)
    funds.save()
    Signal.objects.filter(pk__in=batch.done_signals, done_at__isnull=True).update(done_at=batch.now)
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


class _Funds:
    """Budgets, cash and shares that a batch draws on, locked in one fixed order: budgets, cash, positions."""

    def __init__(self, decisions: Sequence[Decision]) -> None:
        sendable = [d for d in decisions if d.plan is not None and not d.refusals]
        buys = [d for d in sendable if d.plan and d.plan.side is Side.BUY]
        sells = [d for d in sendable if d.plan and d.plan.side is Side.SELL]
        self._spent: dict[BudgetKey, Spent] = lock_budgets(key for d in buys for key, _bound in d.budgets)
        self._spent_before = dict(self._spent)
        self._cash: dict[int, Cash] = lock_cash(d.config.follower_id for d in buys)
        self._held: dict[PositionKey, Held] = lock_positions((d.config.follower_id, d.signal.token_id) for d in sells)
        self._touched: set[int] = set()

    def grant(self, decision: Decision) -> tuple[Refusal, ...]:
        """Reserve what a copy needs, or say every reason why not."""
        if decision.plan is None or decision.intent is None or decision.refusals:
            return ()
        if decision.plan.side is Side.SELL:
            return self._grant_sell(decision, decision.plan)
        return self._grant_buy(decision, decision.intent)

    def save(self) -> None:
        """Write back what was taken."""
        write_budgets(self._spent_before, self._spent)
        write_cash({key: cash for key, cash in self._cash.items() if key in self._touched})
        write_positions(self._held)

    def _grant_buy(self, decision: Decision, intent: TradeIntent) -> tuple[Refusal, ...]:
        wish = _wish(decision, intent)
        refused = list(refusals(wish, self._spent))
        cash = self._cash.get(decision.config.follower_id, Cash(0, 0))
        needed = intent.cost_micros + decision.fee_max_micros
        if needed > cash.free_micros:
            refused.append(Refusal(Reason.NOT_ENOUGH_CASH, needed, cash.free_micros, Unit.MONEY))
        if not refused:
            take(wish, self._spent)
            cash.reserved_micros += needed
            self._touched.add(decision.config.follower_id)
        return tuple(refused)

    def _grant_sell(self, decision: Decision, plan: OrderPlan) -> tuple[Refusal, ...]:
        held = self._held.get((decision.config.follower_id, plan.token_id), Held(decision.signal.condition_id))
        if plan.size_micros > held.free_micros:
            return (Refusal(Reason.NOTHING_TO_SELL, plan.size_micros, held.free_micros, Unit.SHARES),)
        held.reserved_micros += plan.size_micros
        return ()


def _wish(decision: Decision, intent: TradeIntent) -> Wish:
    return Wish(cost_micros=intent.cost_micros, counts=intent.counts, budgets=decision.budgets)


def _row(batch: Prewrite, decision: Decision, extra: tuple[Refusal, ...]) -> CopyTrade:
    signal, config, intent, plan = decision.signal, decision.config, decision.intent, decision.plan
    reasons = (*decision.refusals, *extra)
    row = CopyTrade(
        config_id=config.config_id,
        config_version=config.version,
        signal_id=signal.signal_id,
        follower_id=config.follower_id,
        leader_id=config.leader_id,
        mode=config.mode,
        side=signal.side.value,
        token_id=signal.token_id,
        condition_id=signal.condition_id,
        leader_size_micros=signal.size_micros,
        leader_price_micros=signal.price_micros,
        idempotency_key=idempotency_key(config.config_id, signal.group_key, signal.part),
        status=Status.SKIPPED,
        reasons=reasons_json(reasons, intent.notes if intent else ()),
        lease_term=batch.lease.term if batch.lease else 0,
        detected_at=signal.detected_at,
        decided_at=batch.now,
    )
    if intent is not None:
        row.size_micros, row.limit_micros = intent.size_micros, intent.limit_micros
    if plan is not None:
        _add_order(row, plan)
    if plan is not None and intent is not None and not reasons:
        _add_reservation(row, batch, decision, intent)
    return row


def _add_order(row: CopyTrade, plan: OrderPlan) -> None:
    row.domain, row.signer, row.signature_type = plan.domain.value, plan.signer, plan.signature_type
    row.order_type, row.tick_micros, row.order_hash = plan.order_type.value, plan.tick_micros, plan.order_hash
    row.salt, row.order_timestamp_ms = plan.salt, plan.timestamp_ms
    row.maker_amount, row.taker_amount = plan.maker_amount, plan.taker_amount


def _add_reservation(row: CopyTrade, batch: Prewrite, decision: Decision, intent: TradeIntent) -> None:
    row.status = Status.PENDING
    row.locked_by, row.locked_at, row.lock_token = batch.locked_by, batch.now, batch.lock_token
    row.expires_at = batch.now + timedelta(seconds=batch.expire_after_s)
    row.attempts = 1
    if intent.side is Side.SELL:
        row.reserved_micros = intent.size_micros
        return
    row.reserved_micros = intent.cost_micros + decision.fee_max_micros
    row.budget_micros, row.budget_count = intent.cost_micros, intent.counts
    row.budget_mask = mask_of(key for key, _bound in decision.budgets)


def reasons_json(reasons: Sequence[Refusal], notes: Sequence[Reason]) -> list[dict[str, object]]:
    """Reasons and notes as the row keeps them: value and limit in the unit's micros or whole numbers."""
    told: list[dict[str, object]] = [
        {"reason": each.reason.value, "value": each.value, "limit": each.limit, "unit": each.unit.value}
        for each in reasons
    ]
    return told + [{"reason": note.value, "note": True} for note in notes]


def _undecided(decisions: Sequence[Decision]) -> list[Decision]:
    pairs = decided_pairs([decision.signal.signal_id for decision in decisions])
    return [d for d in decisions if (d.config.config_id, d.signal.signal_id) not in pairs]


def decided_pairs(signal_ids: Sequence[int]) -> set[tuple[int, int]]:
    """(config, signal) of every copy that exists for these signals."""
    return set(CopyTrade.objects.filter(signal_id__in=set(signal_ids)).values_list("config_id", "signal_id"))
