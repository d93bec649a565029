"""Copies: every follower's answer to every signal, with the reasons, in people's units. Only the engine writes them."""

from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest

from copytrading.admin.people import BOTH_PEOPLE
from copytrading.models import CopyTrade, CopyTradeArchive
from guardrails.admin import amount_text
from guardrails.intents import Reason, Unit
from guardrails.models import GuardrailEvent
from ledger.admin import NOTHING, Column, RecordAdmin, dollar_text, dollars, price, share_text, shares, short


class RefusedFor(admin.SimpleListFilter):
    """Copies by a reason why they were refused."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  (Django's own)
        """Every reason that there is."""
        return [(reason.value, reason.value) for reason in Reason]

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002  (Django's own)
        queryset: QuerySet[CopyTrade],
    ) -> QuerySet[CopyTrade]:
        """By the indexed events, which hold the same reasons as the rows."""
        if not self.value():
            return queryset
        return queryset.filter(Exists(GuardrailEvent.objects.filter(trade=OuterRef("pk"), reason=self.value())))


@admin.display(description="why")
def why(trade: CopyTrade | CopyTradeArchive) -> str:
    """Every reason and note of the row."""
    return "; ".join(_reason_text(each) for each in trade.reasons) or NOTHING


@admin.display(description="reserved", ordering="reserved_micros")
def reserved(trade: CopyTrade | CopyTradeArchive) -> str:
    """Money of a buy, shares of a sell."""
    return (dollar_text if trade.side == "BUY" else _counted_shares)(trade.reserved_micros)


@admin.display(description="maker amount")
def maker_amount(trade: CopyTrade | CopyTradeArchive) -> str:
    """What the order gives: money of a buy, shares of a sell."""
    return (dollar_text if trade.side == "BUY" else _counted_shares)(trade.maker_amount)


@admin.display(description="taker amount")
def taker_amount(trade: CopyTrade | CopyTradeArchive) -> str:
    """What the order takes: shares of a buy, money of a sell."""
    return (_counted_shares if trade.side == "BUY" else dollar_text)(trade.taker_amount)


def _counted_shares(micros: int | None) -> str:
    return NOTHING if micros is None else f"{share_text(micros)} shares"


def _reason_text(told: Mapping[str, Any]) -> str:
    reason, unit = told.get("reason", "?"), told.get("unit", Unit.NONE)
    if told.get("note"):
        return f"{reason} (note)"
    if told.get("value") is None:
        return f"{reason}"
    return f"{reason} (value {amount_text(told['value'], unit)}, limit {amount_text(told.get('limit'), unit)})"


COLUMNS: dict[str, Column] = {
    **{name: shares(name) for name in ("leader_size_micros", "size_micros", "fill_size_micros")},
    **{name: price(name) for name in ("leader_price_micros", "limit_micros", "tick_micros", "fill_price_micros")},
    "reserved_micros": reserved,
    "maker_amount": maker_amount,
    "taker_amount": taker_amount,
    "reasons": why,
}


@admin.register(CopyTrade)
class CopyTradeAdmin(RecordAdmin):
    """Every follower's answer to every signal, with its reasons."""

    columns = COLUMNS
    list_display = (
        "id",
        "decided_at",
        "status",
        "follower",
        "leader",
        "side",
        short("token_id"),
        shares("size_micros"),
        price("limit_micros"),
        shares("fill_size_micros"),
        price("fill_price_micros"),
        dollars("fee_micros"),
        why,
        short("order_hash"),
    )
    list_filter = ("status", RefusedFor, "side", "mode", "decided_at")
    list_select_related = ("follower", "leader")
    search_fields = (*BOTH_PEOPLE, "order_hash__exact", "tx_hash__exact", "condition_id__exact")
    ordering = ("-id",)


@admin.register(CopyTradeArchive)
class CopyTradeArchiveAdmin(RecordAdmin):
    """Old copies that were never made."""

    columns = COLUMNS
    list_display = ("trade_id", "archived_at", "status", "follower_id", "leader_id", "side", short("token_id"), why)
    list_filter = ("side", "archived_at")
    search_fields = ("idempotency_key__exact", "order_hash__exact", "condition_id__exact")
    ordering = ("-id",)
