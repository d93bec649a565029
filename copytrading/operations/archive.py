"""Moves old copies that were never made out of the hot table, with their reasons; what moved money never leaves it."""

from datetime import datetime

from django.db import transaction

from copytrading.models import CopyTrade, CopyTradeArchive
from copytrading.models.trades import TradeFields
from copytrading.states import Status
from guardrails.models import GuardrailEvent
from ledger.sql import insert_rows

BATCH_MAX = 5_000
"""Rows moved in one transaction."""

_COLUMNS = tuple(field.attname for field in TradeFields._meta.fields)
_KEYS = ("config_id", "signal_id", "follower_id", "leader_id", "order_hash", "idempotency_key")


def archive_skipped(*, before: datetime, now: datetime, limit: int = BATCH_MAX) -> int:
    """Move SKIPPED copies decided before a moment; their guardrail events go, their reasons stay. Returns how many.

    Only copies of signals that are done: a signal that is still open must find its decided followers.
    """
    with transaction.atomic():
        rows = list(
            CopyTrade.objects.select_for_update(of=("self",))
            .filter(status=Status.SKIPPED, decided_at__lt=before, signal__done_at__isnull=False)
            .order_by("id")[:limit]
        )
        ids = [row.pk for row in rows]
        archived = [
            CopyTradeArchive(
                trade_id=row.pk, archived_at=now, **{name: getattr(row, name) for name in (*_COLUMNS, *_KEYS)}
            )
            for row in rows
        ]
        insert_rows(CopyTradeArchive, archived)
        GuardrailEvent.objects.filter(trade_id__in=ids).delete()
        CopyTrade.objects.filter(pk__in=ids).delete()
    return len(ids)
