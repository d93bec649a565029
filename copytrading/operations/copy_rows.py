"""How a decision becomes a CopyTrade, not yet saved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any

from copytrading.decide import Config, SignalFacts
from copytrading.models import CopyTrade
from copytrading.operations.decisions import Decision, Waits
from copytrading.states import Status
from execution.orders import OrderPlan
from guardrails.budgets import mask_of
from guardrails.intents import Reason, Refusal, TradeIntent
from ledger.rows import new_row
from ledger.units import Side


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What every row of a batch has in common."""

    lock_token: str
    locked_by: str
    lease_term: int
    now: datetime
    expire_after_s: int


def idempotency_key(config_id: int, group_key: str, part: int) -> str:
    """The name of one copy for all time, from what it copies and for whom."""
    return blake2b(f"{config_id}:{group_key}:{part}".encode(), digest_size=16).hexdigest()


def copy_row(stamp: Stamp, decision: Decision, extra: tuple[Refusal, ...]) -> CopyTrade:
    """The row: PENDING with its order and reservation, READY, or SKIPPED with every reason.

    `extra` reasons are the prewrite's own.
    """
    intent, plan = decision.intent, decision.plan
    reasons = (*decision.refusals, *extra)
    row = _subject(decision.signal, decision.config)
    row["reasons"] = reasons_json(reasons, _notes(decision))
    row["lease_term"], row["decided_at"], row["status"] = stamp.lease_term, stamp.now, Status.SKIPPED
    row["quote_source"], row["best_micros"] = decision.quote_source, decision.best_micros
    if intent is not None:
        row["size_micros"], row["limit_micros"] = intent.size_micros, intent.limit_micros
        row["carried_micros"] = decision.aside_micros
    if plan is not None:
        row |= _order(plan)
    if plan is not None and intent is not None and not reasons:
        row |= _reservation(stamp, decision, intent)
    elif decision.waits is not None:
        row |= _waiting(stamp, decision.waits)
    return new_row(CopyTrade, **row)


def reasons_json(reasons: Sequence[Refusal], notes: Sequence[Reason]) -> list[dict[str, object]]:
    """Reasons and notes as the row keeps them: value and limit in the unit's micros or whole numbers."""
    return [each.as_json() for each in reasons] + [{"reason": note.value, "note": True} for note in notes]


def _subject(signal: SignalFacts, config: Config) -> dict[str, Any]:
    return {
        "config_id": config.config_id,
        "config_version": config.version,
        "signal_id": signal.signal_id,
        "follower_id": config.follower_id,
        "leader_id": config.leader_id,
        "mode": config.mode,
        "side": signal.side.value,
        "token_id": signal.token_id,
        "condition_id": signal.condition_id,
        "leader_size_micros": signal.size_micros,
        "leader_price_micros": signal.price_micros,
        "idempotency_key": idempotency_key(config.config_id, signal.group_key, signal.part),
        "detected_at": signal.detected_at,
    }


def _order(plan: OrderPlan) -> dict[str, Any]:
    return {
        "domain": plan.domain.value,
        "signer": plan.signer,
        "signature_type": plan.signature_type,
        "order_type": plan.order_type.value,
        "tick_micros": plan.tick_micros,
        "order_hash": plan.order_hash,
        "salt": plan.salt,
        "order_timestamp_ms": plan.timestamp_ms,
        "maker_amount": plan.maker_amount,
        "taker_amount": plan.taker_amount,
    }


def _notes(decision: Decision) -> tuple[Reason, ...]:
    noted = decision.intent.notes if decision.intent else ()
    now = (decision.waits.why,) if decision.waits else ()
    return tuple(dict.fromkeys((*noted, *decision.waited, *now)))


def _waiting(stamp: Stamp, waits: Waits) -> dict[str, Any]:
    """Nothing is reserved and nothing can have been sent; `expires_at` is until when it waits."""
    return {
        "status": Status.READY,
        "locked_by": stamp.locked_by,
        "locked_at": stamp.now,
        "lock_token": stamp.lock_token,
        "next_retry_at": waits.again_at,
        "expires_at": waits.until,
        "carried_micros": 0,
    }


def _reservation(stamp: Stamp, decision: Decision, intent: TradeIntent) -> dict[str, Any]:
    buy = intent.side is Side.BUY
    return {
        "status": Status.PENDING,
        "locked_by": stamp.locked_by,
        "locked_at": stamp.now,
        "lock_token": stamp.lock_token,
        "expires_at": stamp.now + timedelta(seconds=stamp.expire_after_s),
        "attempts": 1,
        "carried_micros": -intent.taken_micros,
        "reserved_micros": intent.cost_micros + decision.fee_max_micros if buy else intent.size_micros,
        "budget_micros": intent.cost_micros if buy else 0,
        "budget_count": intent.counts if buy else 0,
        "budget_mask": mask_of(key for key, _bound in decision.budgets) if buy else 0,
    }
