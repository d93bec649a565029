"""Copies: every follower's answer to every signal, with the reasons, in people's units. Only the engine writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern, path
from django.utils.formats import date_format
from django.utils.html import format_html
from unfold.contrib.filters.admin import AutocompleteSelectFilter, DropdownFilter
from unfold.decorators import display

from copytrading.admin.lists import among_newest
from copytrading.admin.why import WhyPage
from copytrading.explain import finding, reasons
from copytrading.models import CopyTrade, CopyTradeArchive, Follower
from copytrading.operations.bulk import reverse_copies
from copytrading.operations.write_offs import ask_now, write_off
from copytrading.states import Status
from guardrails.intents import Reason, Unit
from guardrails.texts import amount_text
from ledger.admin import Column, RecordAdmin, dollars, moments_of, price, shares, short
from ledger.admin.actions import BulkAction, bulk_action
from ledger.sql import database_now
from ledger.texts import NOTHING, dollar_text, price_text, share_text


class RefusedFor(DropdownFilter):  # type: ignore[misc]  # published without types
    """Copies by a reason why they were refused."""

    title = f"reason (newest {finding.EVENTS_MAX:,})"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  (Django's own)
        """Every reason that there is."""
        return [(reason.value, reasons.title(reason)) for reason in Reason]

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002  (Django's own)
        queryset: QuerySet[CopyTrade],
    ) -> QuerySet[CopyTrade]:
        """By the indexed events, which hold the same reasons as the rows."""
        return queryset.filter(pk__in=finding.refused_for(self.value() or "")) if self.value() else queryset


class LeaderTradeGone(admin.SimpleListFilter):
    """Copies whose leader's transaction is not in the chain."""

    title = f"leader's trade (newest {finding.NEWEST_KEYS:,})"
    parameter_name = "leader_trade"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  (Django's own)
        """One choice beside all."""
        return [("gone", "Leader's trade gone")]

    def queryset(
        self,
        request: HttpRequest,  # noqa: ARG002  (Django's own)
        queryset: QuerySet[CopyTrade],
    ) -> QuerySet[CopyTrade]:
        """By the signals of those transactions."""
        return queryset.filter(signal_id__in=finding.signals_gone()) if self.value() == "gone" else queryset


@admin.display(description="why")
def why(trade: CopyTrade | CopyTradeArchive) -> str:
    """Every reason and note of the row, which may take several lines."""
    return _lines([_reason_text(each) for each in trade.reasons])


@admin.display(description="why")
def why_and_gone(trade: CopyTrade) -> str:
    """The same, and that the leader's trade is gone."""
    told = [_reason_text(each) for each in trade.reasons]
    if trade.signal.group.withdrawn_at is not None:
        told.append(reasons.LEADER_TRADE_GONE)
    return _lines(told)


def _lines(told: Sequence[str]) -> str:
    return format_html('<span class="why">{}</span>', "; ".join(told)) if told else NOTHING


@display(
    description="status",
    ordering="status",
    label={
        Status.EXECUTED.value: "success",
        Status.FAILED.value: "danger",
        Status.UNKNOWN.value: "warning",
        **dict.fromkeys((each.value for each in (Status.PENDING, Status.LIVE, Status.MATCHED)), "info"),
    },
)  # type: ignore[untyped-decorator]
def state(trade: CopyTrade | CopyTradeArchive) -> str:
    """The status, as a coloured badge."""
    return trade.status


@admin.display(description="filled", ordering="fill_size_micros")
def filled(trade: CopyTrade | CopyTradeArchive) -> str:
    """Shares that were filled; nothing while there is no fill."""
    return share_text(trade.fill_size_micros or None)


@admin.display(description="fill price", ordering="fill_price_micros")
def fill_price(trade: CopyTrade | CopyTradeArchive) -> str:
    """The mean price of the fill; nothing while there is none."""
    return price_text(trade.fill_price_micros or None)


@admin.display(description="limit", ordering="limit_micros")
def limit(trade: CopyTrade | CopyTradeArchive) -> str:
    """The price of the order; nothing where none was made."""
    return price_text(trade.limit_micros or None)


@admin.display(description="tick")
def tick(trade: CopyTrade | CopyTradeArchive) -> str:
    """The step of the order's price; nothing where none was made."""
    return price_text(trade.tick_micros or None)


@admin.display(description="next look at")
def next_look(trade: CopyTrade | CopyTradeArchive) -> str:
    """When the venue is asked about the order again; what has ended is final, and only watched for a late fill."""
    if trade.next_retry_at is None:
        return NOTHING
    moment = date_format(trade.next_retry_at, "DATETIME_FORMAT")
    ended = trade.status in (Status.FAILED, Status.EXECUTED)
    return f"{moment} (only watched for a late fill)" if ended else moment


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
    reason, unit = reasons.title(told.get("reason", "?")), told.get("unit", Unit.NONE)
    if told.get("note"):
        return f"{reason} (note)"
    if told.get("value") is None and told.get("subject"):
        return f"{reason} ({told['subject']})"
    if told.get("value") is None:
        return f"{reason}"
    return f"{reason} (value {amount_text(told['value'], unit)}, limit {amount_text(told.get('limit'), unit)})"


COLUMNS: dict[str, Column] = {
    **{name: shares(name) for name in ("leader_size_micros", "size_micros", "carried_micros")},
    "leader_price_micros": price("leader_price_micros"),
    "limit_micros": limit,
    "tick_micros": tick,
    "fill_size_micros": filled,
    "fill_price_micros": fill_price,
    "next_retry_at": next_look,
    "reserved_micros": reserved,
    "maker_amount": maker_amount,
    "taker_amount": taker_amount,
    "reasons": why,
}


INNER = ("budget_mask",)
"""Columns that are bits for the engine and tell people nothing."""


REVERSE = BulkAction(
    name="reverse",
    title="Reverse the fill",
    needs="copytrading.reverse_fill",
    question="For fills that the venue or the chain undid. Cash, shares, budgets and commissions go back with them.",
    done="reversed",
    must_say_why=True,
    act=lambda rows, who, why: reverse_copies([row.pk for row in rows], who=who, why=why, now=database_now()),
)

WRITE_OFF = BulkAction(
    name="write_off",
    title="Write off what never settled",
    needs="copytrading.write_off",
    question="For orders that stay MATCHED although the venue and the chain show no trade of them: look there first. "
    "What they reserved is free again; what is confirmed is booked; what is confirmed later is adopted as an incident.",
    done="written off",
    must_say_why=True,
    act=lambda rows, who, why: write_off([row.pk for row in rows], who=who, why=why, now=database_now()),
)

ASK_NOW = BulkAction(
    name="ask_now",
    title="Ask the venue now",
    needs="copytrading.ask_now",
    question="The engine asks the venue about these orders within a second, and books what it shows.",
    done="asked about",
    act=lambda rows, who, why: ask_now([row.pk for row in rows], who=who, why=why, now=database_now()),
)


@admin.register(CopyTrade)
class CopyTradeAdmin(RecordAdmin):
    """Every follower's answer to every signal, with its reasons."""

    columns = COLUMNS
    hidden = INNER
    list_display = (
        "id",
        "decided_at",
        state,
        "follower",
        "leader",
        "side",
        why_and_gone,
        shares("size_micros"),
        limit,
        filled,
        fill_price,
        dollars("fee_micros"),
        short("token_id"),
        short("order_hash"),
    )
    list_filter = (
        "status",
        RefusedFor,
        LeaderTradeGone,
        moments_of("decided_at"),
        ("follower", AutocompleteSelectFilter),
        ("leader", AutocompleteSelectFilter),
        among_newest("side", ("BUY", "SELL")),
        among_newest("mode", tuple(Follower.Mode.values)),
    )
    list_filter_submit = True
    list_select_related = ("follower", "leader", "signal__group")
    finders = finding.COPY_FINDERS
    search_help_text = finding.HELP
    ordering = ("-id",)
    actions = (bulk_action(ASK_NOW), bulk_action(WRITE_OFF), bulk_action(REVERSE))
    change_form_before_template = "admin/copytrading/trade_links.html"

    def get_urls(self) -> list[URLPattern]:
        """With the page that answers why a copy was not made."""
        ask = self.admin_site.admin_view(WhyPage(self))
        return [path("why/", ask, name="copytrading_why"), *super().get_urls()]


@admin.register(CopyTradeArchive)
class CopyTradeArchiveAdmin(RecordAdmin):
    """Old copies that were never made."""

    columns = COLUMNS
    hidden = INNER
    list_display = ("trade_id", "archived_at", state, "follower_id", "leader_id", "side", short("token_id"), why)
    list_filter = (moments_of("archived_at"),)
    finders = finding.ARCHIVE_FINDERS
    search_help_text = "The number of a copy, or an order hash."
    ordering = ("-id",)
