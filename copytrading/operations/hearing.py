"""Since when each leader is heard: kept beside the cursors, so that a restart goes on where the follow began."""

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Exists, Min, OuterRef

from copytrading.models import CopyConfig, Leader, SignalCursor
from ledger.rows import new_row
from ledger.sql import upsert_rows

HEARD = "heard"
"""The source under which a wallet's beginning stands among the cursors."""


NOTICED_WITHIN = timedelta(seconds=10)
"""An engine that runs notices a follow so soon; what a leader did between the two is no history."""


def hear(leader_ids: Collection[int], *, now: datetime) -> dict[str, datetime]:
    """The wallets of these leaders with the moment since which each is heard.

    For a new one that is when its follow began, if that was noticed in time, and otherwise `NOTICED_WITHIN` before
    `now`: while no engine ran nobody was heard.
    """
    with transaction.atomic():
        wallets = set(Leader.objects.filter(pk__in=leader_ids).values_list("wallet", flat=True))
        known = _known(wallets)
        new = [
            new_row(SignalCursor, source=HEARD, key=wallet, position=begun.isoformat())
            for wallet, begun in sorted(_follows_begun(wallets - known.keys(), now).items())
        ]
        upsert_rows(SignalCursor, new, unique=("source", "key"), update=())
        return _known(wallets) if new else known


def forget_unfollowed() -> int:
    """Drop the beginnings of leaders whom nobody follows any more: a later follow does not copy what was between.

    By the rows and not by a shard's own set, so that a leader that changed shards keeps its beginning.
    """
    followed = Leader.objects.filter(
        Exists(CopyConfig.objects.filter(leader=OuterRef("pk"), active=True)), wallet=OuterRef("key")
    )
    removed, _by_model = SignalCursor.objects.filter(~Exists(followed), source=HEARD).delete()
    return removed


def _follows_begun(wallets: Collection[str], now: datetime) -> dict[str, datetime]:
    if connection.vendor != "postgresql":
        return dict.fromkeys(wallets, now)  # there no row says when it was changed
    follows = CopyConfig.objects.filter(leader__wallet__in=wallets, active=True)
    begun = dict(follows.values_list("leader__wallet").annotate(Min("updated_at")))
    return {wallet: min(now, max(begun.get(wallet, now), now - NOTICED_WITHIN)) for wallet in wallets}


def _known(wallets: Collection[str]) -> dict[str, datetime]:
    rows = SignalCursor.objects.filter(source=HEARD, key__in=wallets).values_list("key", "position")
    return {key: datetime.fromisoformat(position) for key, position in rows}
