"""Who trades on the venue at the moment, and what is written down of its trades. Reads."""

from collections import defaultdict
from datetime import datetime, timedelta

from django.db.models import Max, Q

from copytrading.models import CopyTrade
from copytrading.queries import Shard
from copytrading.states import ON_THE_VENUE, OPEN, Status
from copytrading.tracking.differences import Copy, Kept, Ours, TradeKey
from execution.models import TradingAccount, VenueFill
from execution.ports import TradeStatus

MARGIN = timedelta(minutes=2)
"""Orders are read from so much earlier: the venue's time of a match is not ours of its order."""


def active_followers(*, since: datetime, limit: int, shard: Shard, stopped: bool = False) -> list[int]:
    """Followers of a shard with an open order, or with one that was sent since then; the latest first.

    With `stopped` also those whose account was stopped meanwhile.
    """
    states = [TradingAccount.State.ACTIVE, *([TradingAccount.State.STOPPED] if stopped else ())]
    rows = CopyTrade.objects.filter(mode=ON_THE_VENUE, order_hash__isnull=False, follower__account__state__in=states)
    leaders = shard.leader_ids()
    if leaders is not None:
        rows = rows.filter(leader_id__in=leaders)
    open_states = Q(status__in=[each.value for each in OPEN])
    sent = Q(decided_at__gte=since) & ~Q(status=Status.SKIPPED)
    latest = rows.filter(open_states | sent).values("follower_id").annotate(latest=Max("decided_at"))
    return [row["follower_id"] for row in latest.order_by("-latest", "follower_id")[:limit]]


def ours_of(follower_id: int, *, since: datetime, hashes: frozenset[str]) -> Ours:
    """What is written down of a follower's trades since then, and of these orders; two queries."""
    rows = CopyTrade.objects.filter(follower_id=follower_id, mode=ON_THE_VENUE, order_hash__isnull=False)
    sent = rows.filter(Q(decided_at__gte=since - MARGIN) | Q(order_hash__in=hashes)).exclude(status=Status.SKIPPED)
    columns = sent.values_list("pk", "order_hash", "status", "fill_size_micros")
    copies = {str(order_hash): (pk, status, booked) for pk, order_hash, status, booked in columns}
    confirmed: defaultdict[str, int] = defaultdict(int)
    told: dict[str, datetime] = {}
    trades: dict[TradeKey, Kept] = {}
    for fill in VenueFill.objects.filter(order_hash__in=list(copies)):
        status = TradeStatus(fill.status)
        trades[fill.venue_trade_id, fill.order_hash] = Kept(
            status=status,
            size_micros=fill.size_micros,
            price_micros=fill.price_micros,
            matched_at=fill.matched_at,
            changed_at=fill.changed_at,
            trade_id=fill.trade_id,
        )
        told[fill.order_hash] = max(told.get(fill.order_hash, fill.changed_at), fill.changed_at)
        if status is TradeStatus.CONFIRMED:
            confirmed[fill.order_hash] += fill.size_micros
    return Ours(
        trades=trades,
        copies={
            order_hash: Copy(
                trade_id=pk,
                executed=status == Status.EXECUTED,
                booked_micros=booked,
                confirmed_micros=confirmed[order_hash],
                ended=status == Status.FAILED,
                told_at=told.get(order_hash),
            )
            for order_hash, (pk, status, booked) in copies.items()
        },
    )


def was_heard(order_hash: str) -> bool:
    """Whether a trade of this order is written down here that did not fail: it stood, whatever the venue shows now."""
    return VenueFill.objects.filter(order_hash=order_hash).exclude(status=VenueFill.Status.FAILED).exists()
