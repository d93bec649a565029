"""What became of an order, from the venue's trades of it: still open, filled so much, or nothing filled. Pure.

MATCHED is not filled: only CONFIRMED trades move money, and an order is settled when all its trades are final and
together are what the venue said it matched (polymarket.md 3.3, reliability.md finding 3). Some trades never become
final: after `SETTLED_WITHIN` what is confirmed counts without them; confirmed after all, they are adopted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from execution.ports import Fill, TradeStatus
from guardrails.intents import Reason
from ledger.units import ONE, SHARE_STEP, Micros

DUST = SHARE_STEP
"""Shares. The venue's answer rounds what it matched: less than this is no further trade."""

SETTLED_WITHIN = timedelta(minutes=10)
"""So long an order's trades may take to be shown and final. Settlement takes 10 to 50 s, a congested chain minutes; of
119 trades 112 stayed at MATCHED for ever (reliability.md, finding 3)."""

_RANK = {TradeStatus.MATCHED: 0, TradeStatus.MINED: 1, TradeStatus.RETRYING: 1}
_FINAL = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One trade's part in an order: shares, pUSD without the fee, the fee; micros."""

    status: TradeStatus
    size_micros: int
    cost_micros: int
    fee_micros: int
    tx_hash: str = ""
    matched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Open:
    """Not all of it is known or final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Confirmed shares; `failed_micros` more were matched and did not happen, of `unsettled_micros` nobody knows."""

    fill: Fill
    failed_micros: int = 0
    unsettled_micros: int = 0


@dataclass(frozen=True, slots=True)
class NothingFilled:
    """No share was bought or sold, and none will be."""

    reason: Reason


Settlement = Open | Settled | NothingFilled
OPEN = Open()


def settle(parts: Sequence[Part], *, matched_micros: int, ended: bool, overdue: bool = False) -> Settlement:
    """What an order became.

    `matched_micros` is what the venue said it matched, 0 where it did not say; then only `ended` tells that no more
    trades follow: nothing of the order rests, and the list of its trades was read after that. `overdue`: so long ago
    that what is confirmed does not wait for the rest any more. Time alone never makes an order one that failed.
    """
    unsettled = sum(part.size_micros for part in parts if not part.status.is_final)
    if unsettled and not overdue:
        return OPEN
    seen = sum(part.size_micros for part in parts)
    complete = seen + DUST > matched_micros if matched_micros else ended
    if not complete or (not parts and not ended):
        return OPEN
    fill = confirmed(parts)
    if fill is not None:
        failed = seen - unsettled - fill.size_micros
        return Settled(fill=fill, failed_micros=failed, unsettled_micros=unsettled)
    if unsettled:
        return OPEN
    return NothingFilled(Reason.SETTLEMENT_FAILED if parts else Reason.NO_FILL)


def confirmed(parts: Sequence[Part]) -> Fill | None:
    """The confirmed parts as one fill, at their average price; None when there are none."""
    real = [part for part in parts if part.status is TradeStatus.CONFIRMED]
    size = sum(part.size_micros for part in real)
    if not size:
        return None
    cost = sum(part.cost_micros for part in real)
    return Fill(
        size_micros=Micros(size),
        price_micros=average_price(size, cost),
        cost_micros=Micros(cost),
        fee_micros=Micros(sum(part.fee_micros for part in real)),
        tx_hash=next((part.tx_hash for part in real if part.tx_hash), ""),
    )


def average_price(size_micros: int, cost_micros: int) -> Micros:
    """The price of a share, to the nearest micro and inside (0, 1); for people to look at, never for money."""
    nearest = (2 * cost_micros * ONE + size_micros) // (2 * size_micros)
    return Micros(min(max(nearest, 1), ONE - 1))


def may_follow(before: TradeStatus, after: TradeStatus) -> bool:
    """Whether a trade's status may change so: it only moves on. CONFIRMED and FAILED stay, but for a reorg."""
    if before.is_final:
        return (before, after) == (TradeStatus.CONFIRMED, TradeStatus.FAILED)
    return after is not before and _RANK.get(after, _FINAL) >= _RANK[before]
