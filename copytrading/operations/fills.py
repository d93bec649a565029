"""What the venue matched, written down trade by trade, and the copies that this settles: one transaction.

Whoever hears of a trade first, the user's websocket or a question, comes here: each trade is one row, its status
only moves on, and cash, shares, ledger and budgets move with the copy exactly once. Trades of orders that are not
ours are ignored here; the audit raises them.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.db import transaction

from copytrading.models import CopyTrade
from copytrading.operations.outcomes import Move, record_outcomes
from copytrading.operations.reversals import reverse_fill
from copytrading.operations.write_offs import is_written_off
from copytrading.states import OPEN, Actor, Status
from copytrading.tracking.settling import (
    DUST,
    SETTLED_WITHIN,
    NothingFilled,
    Part,
    Settled,
    confirmed,
    may_follow,
    settle,
)
from execution.models import VenueFill
from execution.ports import Fill, TradeStatus, VenueTrade
from guardrails.intents import Reason, Refusal, Unit
from guardrails.models import GuardrailEvent
from guardrails.operations import record_events
from ledger.commissions import NO_TIERS, Tiers
from ledger.units import ONE, Micros

ASK_AFTER = timedelta(seconds=2)
"""A copy that has just turned out to be matched is asked about so soon: its trades may be final already."""

_TRACKED = (Status.LIVE, Status.MATCHED, Status.FAILED)
"""States that trades move on; PENDING and UNKNOWN are the sender's and rescue's to move first."""

_EARLY = (Status.PENDING, Status.UNKNOWN)

_Key = tuple[str, str]
"""(venue trade id, order hash)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderNews:
    """What the venue said about one of our orders beside its trades.

    `ended`: nothing of it rests any more, and its trades were read after that; one not seen by then does not exist.
    `overdue`: so long ago that what the venue said it matched and never showed a trade of is believed no longer, and
    that trades which never became final keep what is confirmed back no longer.
    """

    order_hash: str
    matched_micros: int = 0
    ended: bool = False
    overdue: bool = False


NO_NEWS = OrderNews(order_hash="")


@dataclass(frozen=True, slots=True, kw_only=True)
class FillsNoted:
    """The moves that were taken, and order hashes whose copies must become LIVE or MATCHED before trades move them."""

    moves: tuple[Move, ...] = ()
    too_early: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Now:
    now: datetime
    tiers: Tiers


def note_fills(
    trades: Sequence[VenueTrade], orders: Sequence[OrderNews] = (), *, now: datetime, tiers: Tiers = NO_TIERS
) -> FillsNoted:
    """Write these trades and take the moves that follow from them; running it again changes nothing."""
    news = {each.order_hash: each for each in orders}
    at = _Now(now=now, tiers=tiers)
    with transaction.atomic():
        rows = _locked({each.order_hash for each in trades} | news.keys())
        fills = _fills_of(rows)
        _write([each for each in trades if each.order_hash in rows], rows, fills, now=now)
        parts = _parts(fills)
        taken = [
            move
            for key, row in rows.items()
            for move in _bring_up_to_date(row, parts.get(key, ()), news.get(key, NO_NEWS), at)
        ]
    early = frozenset(key for key, row in rows.items() if row.status in _EARLY)
    return FillsNoted(moves=tuple(taken), too_early=early)


def tell_unsettled(trade_id: int, *, now: datetime) -> bool:
    """Raise an incident for a copy that stays matched for too long, once; whether it was the first time."""
    with transaction.atomic():
        if GuardrailEvent.objects.filter(trade_id=trade_id, reason=Reason.UNSETTLED.value).exists():
            return False
        record_events([(trade_id, Refusal(Reason.UNSETTLED))], now=now)
    return True


def ask_soon(order_hashes: Sequence[str], *, now: datetime) -> int:
    """Let rescue ask about these orders next, where they are open; how many are."""
    rows = CopyTrade.objects.filter(order_hash__in=order_hashes, status__in=[each.value for each in OPEN])
    return rows.update(next_retry_at=now)


def _locked(hashes: set[str]) -> dict[str, CopyTrade]:
    """The copies of these orders, locked in the order that every outcome keeps."""
    rows = CopyTrade.objects.select_for_update(of=("self",)).filter(order_hash__in=hashes).order_by("pk")
    return {str(row.order_hash): row for row in rows}


def _fills_of(rows: Mapping[str, CopyTrade]) -> dict[_Key, VenueFill]:
    found = VenueFill.objects.filter(order_hash__in=list(rows)).order_by("pk")
    return {(fill.venue_trade_id, fill.order_hash): fill for fill in found}


def _write(
    trades: Sequence[VenueTrade], rows: Mapping[str, CopyTrade], fills: dict[_Key, VenueFill], *, now: datetime
) -> None:
    """Insert what is new and move on what has moved; the copies are locked, so nobody else writes these."""
    changed: dict[_Key, VenueFill] = {}
    for trade in trades:
        if trade.size_micros <= 0 or not 0 < trade.price_micros < ONE:
            continue
        key = (trade.venue_trade_id, trade.order_hash)
        fill = fills.get(key)
        if fill is None:
            fills[key] = changed[key] = _new_fill(trade, rows[trade.order_hash], now)
        elif may_follow(TradeStatus(fill.status), trade.status):
            _take_over(fill, trade, now)
            changed[key] = fill
    new = [fill for fill in changed.values() if fill._state.adding]
    moved = [fill for fill in changed.values() if not fill._state.adding]
    VenueFill.objects.bulk_create(new)
    VenueFill.objects.bulk_update(moved, [*_NUMBERS, "status", "tx_hash", "changed_at"])


_NUMBERS = ("size_micros", "price_micros", "cost_micros", "fee_micros")


def _new_fill(trade: VenueTrade, row: CopyTrade, now: datetime) -> VenueFill:
    return VenueFill(
        trade_id=row.pk,
        venue_trade_id=trade.venue_trade_id,
        order_hash=trade.order_hash,
        maker=trade.maker,
        status=trade.status.value,
        tx_hash=trade.tx_hash,
        matched_at=trade.matched_at,
        changed_at=now,
        **{name: getattr(trade, name) for name in _NUMBERS},
    )


def _take_over(fill: VenueFill, trade: VenueTrade, now: datetime) -> None:
    if TradeStatus(fill.status) is not TradeStatus.CONFIRMED:
        # What was confirmed was booked with these numbers, and is taken back with them.
        for name in _NUMBERS:
            setattr(fill, name, getattr(trade, name))
    fill.status, fill.tx_hash, fill.changed_at = trade.status.value, trade.tx_hash or fill.tx_hash, now


def _parts(fills: Mapping[_Key, VenueFill]) -> Mapping[str, Sequence[Part]]:
    found: defaultdict[str, list[Part]] = defaultdict(list)
    for (_trade, order_hash), fill in fills.items():
        part = Part(
            status=TradeStatus(fill.status),
            size_micros=fill.size_micros,
            cost_micros=fill.cost_micros,
            fee_micros=fill.fee_micros,
            tx_hash=fill.tx_hash,
            matched_at=fill.matched_at,
        )
        found[order_hash].append(part)
    return found


def _bring_up_to_date(row: CopyTrade, parts: Sequence[Part], said: OrderNews, at: _Now) -> list[Move]:
    """Take the moves that a copy's trades make, if any."""
    status = Status(row.status)
    if status is Status.EXECUTED:
        return _correct(row, parts, at) if parts else []
    if status not in _TRACKED:
        return []
    if row.fill_size_micros and not _stands(row, parts):
        return _correct(row, parts, at)
    actor = Actor.WATCH if status is Status.FAILED else Actor.TRACKING
    matched = max(row.matched_micros, said.matched_micros)
    # Nothing can follow what is filled whole, whoever was asked and when.
    whole = sum(part.size_micros for part in parts) + DUST > row.size_micros
    # Trades that failed were seen to be left out of the list for ever (reliability.md, finding 3).
    written_off = is_written_off(row)
    ended, overdue = said.ended or written_off, written_off or (said.overdue and _are_old(parts, at.now))
    believed = 0 if parts and ended and overdue else matched
    outcome = settle(parts, matched_micros=believed, ended=ended or whole, overdue=overdue)
    move: Move | None = None
    if isinstance(outcome, Settled):
        fill = _within(row, outcome.fill, at.now)
        unsettled = outcome.unsettled_micros
        watched = _more_may_come(parts, matched)
        move = Move(row=row, to=Status.EXECUTED, actor=actor, fill=fill, matched_micros=matched, watched=watched)
        never_shown = matched - outcome.failed_micros - unsettled - fill.size_micros
        missing = outcome.failed_micros + (never_shown if never_shown >= DUST else 0)
        _tell(row, Reason.SETTLEMENT_FAILED, missing, at.now)
        _tell(row, Reason.UNSETTLED, unsettled, at.now)
    elif isinstance(outcome, NothingFilled):
        if status is not Status.FAILED:
            move = Move(row=row, to=Status.FAILED, actor=actor, refusal=Refusal(outcome.reason), matched_micros=matched)
    elif written_off:
        # What a person gave up is taken up again by a confirmed trade alone.
        return []
    elif _is_more(row, parts) or (status is not Status.MATCHED and any(_is_alive(part) for part in parts)):
        soon, real = at.now + ASK_AFTER, confirmed(parts)
        more = None if real is None else _within(row, real, at.now)
        move = Move(row=row, to=Status.MATCHED, actor=actor, fill=more, matched_micros=matched, next_retry_at=soon)
    elif matched != row.matched_micros and status is not Status.FAILED:
        mine = CopyTrade.objects.filter(pk=row.pk, status=row.status, lock_token=row.lock_token)
        mine.update(matched_micros=matched)
    return _take(move, at) if move is not None else []


def _is_alive(part: Part) -> bool:
    return part.status is not TradeStatus.FAILED


def _confirmed_of(row: CopyTrade, parts: Sequence[Part]) -> tuple[int, int, int]:
    """Size, cost and fee that are confirmed; the size never beyond the order's."""
    fill = confirmed(parts)
    return (min(fill.size_micros, row.size_micros), fill.cost_micros, fill.fee_micros) if fill else (0, 0, 0)


def _is_more(row: CopyTrade, parts: Sequence[Part]) -> bool:
    """Whether more is confirmed than is booked; never beyond the order's size."""
    return _confirmed_of(row, parts)[0] > row.fill_size_micros


def _stands(row: CopyTrade, parts: Sequence[Part]) -> bool:
    """Whether what is booked in part is part of what is confirmed now: no trade failed after it was confirmed."""
    now, booked = _confirmed_of(row, parts), _booked(row)
    grown = now[0] > booked[0] and now[1] >= booked[1] and now[2] >= booked[2]
    return now == booked or grown


def _take(move: Move, at: _Now) -> list[Move]:
    return [move] if record_outcomes([move], now=at.now, tiers=at.tiers) else []


def _correct(row: CopyTrade, parts: Sequence[Part], at: _Now) -> list[Move]:
    """Bring a booked copy to what is confirmed now: taken back whole, and booked again with what is left."""
    fill = confirmed(parts)
    if fill is not None:
        fill = _within(row, fill, at.now)
    if fill is not None and _booked(row) == (fill.size_micros, fill.cost_micros, fill.fee_micros):
        return []
    lost = row.fill_size_micros - (fill.size_micros if fill else 0)
    reason = Reason.SETTLEMENT_FAILED if lost > 0 else Reason.LATE_FILL
    refusal = Refusal(reason, abs(lost), row.fill_size_micros, Unit.SHARES)
    if not reverse_fill(row, refusal=refusal, now=at.now):
        return []
    undone = Move(row=row, to=Status.FAILED, actor=Actor.REORG, refusal=refusal)
    if fill is None:
        return [undone]
    again = CopyTrade.objects.get(pk=row.pk)
    watched = _more_may_come(parts, again.matched_micros)
    return [undone, *_take(Move(row=again, to=Status.EXECUTED, actor=Actor.WATCH, fill=fill, watched=watched), at)]


def _more_may_come(parts: Sequence[Part], matched_micros: int) -> bool:
    """Whether a trade is not final, or the venue has said that it matched more than it has shown."""
    seen = sum(part.size_micros for part in parts)
    return seen + DUST <= matched_micros or any(not part.status.is_final for part in parts)


def _are_old(parts: Sequence[Part], now: datetime) -> bool:
    """No trade is younger than settlement may take; the venue may have shown others than those that were heard."""
    return all(part.matched_at is None or now >= part.matched_at + SETTLED_WITHIN for part in parts)


def _booked(row: CopyTrade) -> tuple[int, int, int]:
    return row.fill_size_micros, row.fill_cost_micros, row.fee_micros


def _within(row: CopyTrade, fill: Fill, now: datetime) -> Fill:
    """No order fills beyond its size: a venue that says so is wrong somewhere, and somebody must look."""
    if fill.size_micros <= row.size_micros:
        return fill
    refusal = Refusal(
        Reason.AUDIT_DIFFERENCE, fill.size_micros, row.size_micros, Unit.SHARES, "more filled than ordered"
    )
    record_events([(row.pk, refusal)], now=now)
    return replace(fill, size_micros=Micros(row.size_micros))


def _tell(row: CopyTrade, reason: Reason, missing_micros: int, now: datetime) -> None:
    """Part of what was matched did not happen, or not yet: the rest is booked, and the page of the copy says so."""
    if missing_micros:
        record_events([(row.pk, Refusal(reason, missing_micros, row.size_micros, Unit.SHARES))], now=now)
