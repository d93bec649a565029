"""Reads of the ledger, returned as frozen values."""

from collections.abc import Collection

from django.db.models import Case, F, Sum, When

from ledger.models import LedgerEntry

_KINDS = LedgerEntry.Kind


def realised_by(trade_ids: Collection[int]) -> dict[int, int]:
    """What these trades realised after their fees, in micros, by trade id; one without a result is left out."""
    signed = Case(When(kind=_KINDS.PROFIT, then=F("amount_micros")), default=-F("amount_micros"))
    rows = LedgerEntry.objects.filter(trade_id__in=trade_ids, kind__in=(_KINDS.PROFIT, _KINDS.LOSS, _KINDS.FEE))
    return dict(rows.order_by("trade_id").values_list("trade_id").annotate(realised=Sum(signed)))
