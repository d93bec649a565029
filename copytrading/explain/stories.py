"""Copies as people read them: who, what, how much, and why not. Reads only; amounts are text."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from copytrading.models import CopyTrade
from execution.models import Market
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import text_from_micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """One copy in a line of the list."""

    id: int
    at: datetime
    follower: str
    leader: str
    side: str
    market: str
    outcome: str
    size: str
    limit: str
    status: str
    fill_size: str
    fill_price: str
    fee: str
    reasons: tuple[str, ...]
    delay_ms: int


def newest_stories(limit: int) -> tuple[Story, ...]:
    """The newest copies, newest first; two queries whatever the number."""
    return _stories(CopyTrade.objects.select_related("follower", "leader").order_by("-pk")[:limit])


def stories_of(trade_ids: Collection[int]) -> tuple[Story, ...]:
    """These copies, newest first; two queries whatever the number."""
    return _stories(CopyTrade.objects.select_related("follower", "leader").filter(pk__in=trade_ids).order_by("-pk"))


def reason_text(told: dict[str, Any]) -> str:
    """A stored reason as a line for people; one that this version does not know is its bare code."""
    if told["reason"] not in Reason.__members__:
        return str(told["reason"])
    unit, subject = Unit(told.get("unit") or ""), str(told.get("subject") or "")
    return str(Refusal(Reason(told["reason"]), told.get("value"), told.get("limit"), unit, subject))


def outcome_of(token_id: int, market: Market | None) -> str:
    """What the token pays on ('Yes'), as far as the market is known."""
    if market is None:
        return ""
    return {market.first_token_id: market.first_outcome, market.second_token_id: market.second_outcome}.get(
        token_id, ""
    )


def milliseconds(before: datetime, after: datetime) -> int:
    """The whole milliseconds between two moments."""
    return round((after - before).total_seconds() * 1_000)


def _stories(rows: Iterable[CopyTrade]) -> tuple[Story, ...]:
    found = list(rows)
    conditions = {row.condition_id for row in found}
    markets = {market.condition_id: market for market in Market.objects.filter(condition_id__in=conditions)}
    return tuple(_story(row, markets.get(row.condition_id)) for row in found)


def _story(row: CopyTrade, market: Market | None) -> Story:
    return Story(
        id=row.pk,
        at=row.decided_at,
        follower=str(row.follower),
        leader=str(row.leader),
        side=row.side,
        market=str(market) if market else row.condition_id,
        outcome=outcome_of(row.token_id, market),
        size=text_from_micros(row.size_micros),
        limit=text_from_micros(row.limit_micros),
        status=row.status,
        fill_size=text_from_micros(row.fill_size_micros),
        fill_price=text_from_micros(row.fill_price_micros),
        fee=text_from_micros(row.fee_micros),
        reasons=tuple(reason_text(each) for each in row.reasons),
        delay_ms=milliseconds(row.detected_at, row.executed_at or row.decided_at),
    )
