"""What the venue shows of an account's trades, held against what is written down here. Pure: it only tells."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from execution.ports import TradeStatus, VenueTrade
from guardrails.intents import Reason, Refusal, Unit

GRACE = timedelta(minutes=2)
"""A trade younger than this may still be on its way to us, by the websocket or by rescue."""

SUBJECT_MAX = 80

TradeKey = tuple[str, str]
"""(venue trade id, order hash)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One trade as it is written down here."""

    status: TradeStatus
    size_micros: int
    price_micros: int
    matched_at: datetime
    changed_at: datetime
    trade_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A copy whose order was sent: what is booked of it, and what its confirmed trades add up to.

    `tracked`: what is confirmed of it should be booked; else it was not answered yet, and nothing is. `told_at` is when
    the last of its trades changed here.
    """

    trade_id: int
    executed: bool
    booked_micros: int
    confirmed_micros: int
    tracked: bool = False
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ours:
    """What is written down here of one account: trades by their key, copies by their order hash."""

    trades: Mapping[TradeKey, Kept]
    copies: Mapping[str, Copy]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that does not agree; `subject` names it, the same each time. `trade_id` is the copy's, where known."""

    subject: str
    trade_id: int | None = None
    value: int | None = None
    limit: int | None = None

    @property
    def refusal(self) -> Refusal:
        """As an event keeps it."""
        unit = Unit.SHARES if self.value is not None else Unit.NONE
        return Refusal(Reason.AUDIT_DIFFERENCE, self.value, self.limit, unit, self.subject)


def differences(shown: Sequence[VenueTrade], ours: Ours, *, since: datetime, now: datetime) -> tuple[Difference, ...]:
    """Everything that does not agree about trades matched since then, but for what is too young to say."""
    old = now - GRACE
    settled = [trade for trade in shown if trade.matched_at <= old]
    seen = {(trade.venue_trade_id, trade.order_hash) for trade in shown}
    return (
        *(found for trade in settled for found in _of_trade(trade, ours, old=old)),
        *_missing(ours, seen, since=since, old=old),
        *_booked(ours, old=old),
    )


def _of_trade(trade: VenueTrade, ours: Ours, *, old: datetime) -> Iterable[Difference]:
    copy = ours.copies.get(trade.order_hash)
    kept = ours.trades.get((trade.venue_trade_id, trade.order_hash))
    name = _name(trade.venue_trade_id)
    if copy is None and kept is None:
        yield Difference(subject=f"{name}: of an order that nobody here sent", value=trade.size_micros, limit=0)
        return
    trade_id = kept.trade_id if kept else copy.trade_id if copy else None
    if kept is None:
        if trade.status is not TradeStatus.FAILED:
            yield Difference(subject=f"{name}: not known here", trade_id=trade_id, value=trade.size_micros, limit=0)
        return
    if kept.size_micros != trade.size_micros:
        yield Difference(
            subject=f"{name}: another size", trade_id=trade_id, value=trade.size_micros, limit=kept.size_micros
        )
    if kept.price_micros != trade.price_micros:
        yield Difference(subject=f"{name}: another price", trade_id=trade_id)
    final = kept.status.is_final or (trade.status.is_final and kept.changed_at <= old)
    if final and kept.status is not trade.status:
        told = f"{name}: {trade.status.value} there, {kept.status.value} here"
        yield Difference(subject=told, trade_id=trade_id)


def _missing(ours: Ours, seen: set[TradeKey], *, since: datetime, old: datetime) -> Iterable[Difference]:
    for key, kept in ours.trades.items():
        if key not in seen and since <= kept.matched_at <= old and kept.status is TradeStatus.CONFIRMED:
            subject = f"{_name(key[0])}: not shown by the venue"
            yield Difference(subject=subject, trade_id=kept.trade_id, value=0, limit=kept.size_micros)


def _booked(ours: Ours, *, old: datetime) -> Iterable[Difference]:
    for copy in ours.copies.values():
        if copy.told_at is not None and copy.told_at > old:
            # Rows and trades are read one after the other, and these have just moved.
            continue
        if _is_wrong(copy):
            yield Difference(
                subject="booked differs from its confirmed trades",
                trade_id=copy.trade_id,
                value=copy.confirmed_micros,
                limit=copy.booked_micros,
            )


def _is_wrong(copy: Copy) -> bool:
    wanted = copy.confirmed_micros if copy.executed or copy.tracked else 0
    return copy.booked_micros != wanted or (copy.executed and not wanted)


def _name(venue_trade_id: str) -> str:
    """Short enough that the rest of the sentence fits."""
    return f"trade {venue_trade_id[:36]}"
