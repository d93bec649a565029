"""One copy from the leader's trade to its outcome, step by step, with the delay of each step. Reads only.

The sentences are made here, where they can be tested; the page only shows them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.urls import reverse

from copytrading.explain.reasons import LEADER_TRADE_GONE, explanation, title
from copytrading.explain.stories import milliseconds, outcome_of, reason_text
from copytrading.models import CopyTrade
from copytrading.states import Status
from execution.models import Market
from ledger.units import ONE, text_from_micros

BPS = 10_000

WAITING = {
    Status.READY: "It waits for its turn; nothing was sent.",
    Status.PENDING: "It may have been sent; the answer is outstanding.",
    Status.UNKNOWN: "The answer was lost; the venue is asked by the order's hash.",
    Status.LIVE: "The order rests on the venue.",
    Status.MATCHED: "The venue matched it; the confirmed fill is outstanding.",
    Status.SETTLEMENT_PENDING: "Filled; delivery on chain is outstanding.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """A reason with the value that was seen, its limit, and what it means."""

    title: str
    text: str
    means: str
    note: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One station of a copy. `after_ms` is the time since the station before it, where both are known."""

    name: str
    at: datetime | None
    after_ms: int | None
    text: str
    why: tuple[Why, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """The whole story of a copy; `total_ms` from detection to the fill, or to the decision."""

    id: int
    status: str
    headline: str
    market: str
    total_ms: int
    admin_url: str
    steps: tuple[Step, ...]


def tell(trade_id: int) -> Telling | None:
    """The story of this copy, None when there is none (any more); two queries."""
    row = CopyTrade.objects.select_related("follower", "leader", "signal__group").filter(pk=trade_id).first()
    if row is None:
        return None
    market = Market.objects.filter(condition_id=row.condition_id).first()
    outcome = outcome_of(row.token_id, market)
    return Telling(
        id=row.pk,
        status=row.status,
        headline=f"{row.follower} after {row.leader}",
        market=f"{market or row.condition_id}{f' · {outcome}' if outcome else ''}",
        total_ms=milliseconds(row.detected_at, row.executed_at or row.decided_at),
        admin_url=reverse("admin:copytrading_copytrade_change", args=[row.pk]),
        steps=(_traded(row), _detected(row), _decided(row), *_ordered(row), *_sent(row), *_ended(row), *_gone(row)),
    )


def _traded(row: CopyTrade) -> Step:
    signal = row.signal
    verb = "bought" if signal.side == "BUY" else "sold"
    size, price = text_from_micros(signal.size_micros), text_from_micros(signal.price_micros)
    text = f"{row.leader} {verb} {size} shares at {price}, {_dollars(signal.size_micros * signal.price_micros // ONE)}."
    if signal.part > 1:
        text += f" Part {signal.part} of a trade of {text_from_micros(signal.total_size_micros)} so far."
    return Step(name="Leader's trade", at=signal.traded_at, after_ms=None, text=text)


def _detected(row: CopyTrade) -> Step:
    # A leader's trade has whole seconds, so the difference may come out negative: that is no news.
    after_ms = max(0, milliseconds(row.signal.traded_at, row.detected_at))
    return Step(name="Seen", at=row.detected_at, after_ms=after_ms, text=f"By the source {row.signal.source}.")


def _decided(row: CopyTrade) -> Step:
    skipped = row.status == Status.SKIPPED
    text = "Not to copy it." if skipped else f"To {_verb(row)} {text_from_micros(row.size_micros)} shares."
    return Step(
        name="Decision",
        at=row.decided_at,
        after_ms=milliseconds(row.detected_at, row.decided_at),
        text=f"{text} By version {row.config_version} of the follower's config.",
        why=tuple(_why(each) for each in row.reasons if skipped or each.get("note")),
    )


def _ordered(row: CopyTrade) -> tuple[Step, ...]:
    if not row.size_micros or not row.limit_micros:
        return ()
    size, limit = text_from_micros(row.size_micros), text_from_micros(row.limit_micros)
    bound = "at most" if row.side == "BUY" else "at least"
    text = (
        f"{_verb(row).capitalize()} {size} shares at {limit} or better, {bound} "
        f"{_dollars(row.size_micros * row.limit_micros // ONE)}. The leader's price was "
        f"{text_from_micros(row.leader_price_micros)}{_slack(row)}."
    )
    if row.order_hash:
        text += f" {row.order_type or 'Order'} {row.order_hash}."
    return (Step(name="Price and order", at=None, after_ms=None, text=text),)


def _sent(row: CopyTrade) -> tuple[Step, ...]:
    if row.submitted_at is None:
        return ()
    after_ms = milliseconds(row.decided_at, row.submitted_at)
    return (Step(name="Sent", at=row.submitted_at, after_ms=after_ms, text=f"To {row.executor or 'the venue'}."),)


def _ended(row: CopyTrade) -> tuple[Step, ...]:
    if row.status == Status.SKIPPED:
        return ()
    reasons = tuple(_why(each) for each in row.reasons if not each.get("note"))
    before = row.submitted_at or row.decided_at
    after_ms = milliseconds(before, row.executed_at) if row.executed_at else None
    return (Step(name="Outcome", at=row.executed_at, after_ms=after_ms, text=_outcome_text(row), why=reasons),)


def _gone(row: CopyTrade) -> tuple[Step, ...]:
    at = row.signal.group.withdrawn_at
    if at is None:
        return ()
    text = f"{LEADER_TRADE_GONE}."
    if row.order_hash:
        text += " The copy is a trade of its own and stays."
    return (Step(name="Leader's trade gone", at=at, after_ms=None, text=text),)


def _outcome_text(row: CopyTrade) -> str:
    if row.status == Status.FAILED:
        return "Nothing was filled; what was reserved is free again."
    if row.status != Status.EXECUTED and not row.fill_size_micros:
        return WAITING.get(Status(row.status), "")
    fee = f", fee {_dollars(row.fee_micros)}" if row.fee_micros else ""
    part = "" if row.fill_size_micros == row.size_micros else f" of {text_from_micros(row.size_micros)}"
    rest = "" if row.status == Status.EXECUTED else "; other fills are outstanding"
    return (
        f"Filled {text_from_micros(row.fill_size_micros)}{part} shares at {text_from_micros(row.fill_price_micros)}, "
        f"{_dollars(row.fill_cost_micros)}{fee}{rest}."
    )


def _why(told: dict[str, Any]) -> Why:
    reason = str(told["reason"])
    text = reason_text(told).removeprefix(reason).strip()
    return Why(title=title(reason), text=text, means=explanation(reason), note=bool(told.get("note")))


def _verb(row: CopyTrade) -> str:
    return "buy" if row.side == "BUY" else "sell"


def _slack(row: CopyTrade) -> str:
    """How much worse than the leader's price the limit may be, in words."""
    worse = (row.limit_micros - row.leader_price_micros) * (1 if row.side == "BUY" else -1)
    bps = worse * BPS // row.leader_price_micros
    return f", so up to {bps} bps worse" if bps > 0 else ""


def _dollars(micros: int) -> str:
    return f"${text_from_micros(micros)}"
