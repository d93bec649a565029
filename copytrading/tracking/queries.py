"""Who trades on the venue at the moment, and what is written down of its trades. Reads."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import islice

from django.db.models import Max, Q

from copytrading.models import CopyTrade
from copytrading.queries import Shard
from copytrading.states import ON_THE_VENUE, OPEN, Status
from copytrading.tracking.differences import Copy, Kept, Ours, TradeKey
from execution.models import TradingAccount, VenueFill
from execution.ports import TradeStatus
from ledger.units import Side

MARGIN = timedelta(minutes=2)
"""Orders are read from so much earlier: the venue's time of a match is not ours of its order."""


def active_followers(*, since: datetime, limit: int, shard: Shard, stopped: bool = False) -> list[int]:
    """Followers of a shard with an open order, or with one that was sent since then; the latest first.

    A follower belongs to the shard of his own wallet, whichever shards his leaders are in: the venue wants one
    connection for his key, and one look at his account is enough. With `stopped` also those whose account was stopped
    meanwhile.
    """
    states = [TradingAccount.State.ACTIVE, *([TradingAccount.State.STOPPED] if stopped else ())]
    rows = CopyTrade.objects.filter(mode=ON_THE_VENUE, order_hash__isnull=False, follower__account__state__in=states)
    open_states = Q(status__in=[each.value for each in OPEN])
    sent = Q(decided_at__gte=since) & ~Q(status=Status.SKIPPED)
    active = rows.filter(open_states | sent).values_list("follower_id", "follower__wallet")
    latest = active.annotate(latest=Max("decided_at")).order_by("-latest", "follower_id")
    if shard.of == 1:
        return [follower_id for follower_id, _wallet, _latest in latest[:limit]]
    return list(islice((follower_id for follower_id, wallet, _latest in latest if shard.has(wallet)), limit))


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
                tracked=status in (Status.MATCHED, Status.FAILED),
                told_at=told.get(order_hash),
            )
            for order_hash, (pk, status, booked) in copies.items()
        },
    )


def was_heard(order_hash: str) -> bool:
    """Whether a trade of this order is written down here that did not fail: it stood, whatever the venue shows now."""
    return VenueFill.objects.filter(order_hash=order_hash).exclude(status=VenueFill.Status.FAILED).exists()


def bought_since(sales: Sequence[CopyTrade]) -> dict[tuple[int, int], int]:
    """By (follower, token) of these sales, one of each: what later copies bought of it and did not sell, in micros.

    No sale, no query.
    """
    if not sales:
        return {}
    found: Counter[tuple[int, int]] = Counter()
    since = {(row.follower_id, row.token_id): row.pk for row in sales}
    later = CopyTrade.objects.filter(
        pk__gt=min(since.values()),
        fill_size_micros__gt=0,
        follower_id__in={follower for follower, _token in since},
        token_id__in={token for _follower, token in since},
    )
    for pk, follower, token, side, size in later.values_list(
        "pk", "follower_id", "token_id", "side", "fill_size_micros"
    ):
        if pk > since.get((follower, token), pk):
            found[follower, token] += size if side == Side.BUY else -size
    return {key: size for key, size in found.items() if size > 0}
