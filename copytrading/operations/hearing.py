"""Since when each leader is heard: kept beside the cursors, so that a restart goes on where the follow began."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef

from copytrading.models import CopyConfig, Leader, SignalCursor
from ledger.rows import new_row
from ledger.sql import upsert_rows

HEARD = "heard"
"""The source under which a wallet's beginning stands among the cursors."""


def hear(leader_ids: Collection[int], *, now: datetime) -> dict[str, datetime]:
    """The wallets of these leaders with the moment since which each is heard; for a new one that is `now`."""
    with transaction.atomic():
        wallets = set(Leader.objects.filter(pk__in=leader_ids).values_list("wallet", flat=True))
        known = _known(wallets)
        new = [
            new_row(SignalCursor, source=HEARD, key=wallet, position=now.isoformat())
            for wallet in sorted(wallets - known.keys())
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


def _known(wallets: Collection[str]) -> dict[str, datetime]:
    rows = SignalCursor.objects.filter(source=HEARD, key__in=wallets).values_list("key", "position")
    return {key: datetime.fromisoformat(position) for key, position in rows}
