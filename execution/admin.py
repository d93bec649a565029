"""Admin pages of execution: markets with their limits, and what followers hold."""

from django.contrib import admin

from execution.models import Market, Position
from guardrails.admin import GUARDED_LIMITS, LIMITS, LimitsForm, pausing
from guardrails.models import Scope
from ledger.admin import RecordAdmin, dollars, price, shares, short
from ledger.admin.lists import by_person


@admin.register(Market)
class MarketAdmin(RecordAdmin):
    """Markets as the venue describes them; operators set limits and pause."""

    form = LimitsForm
    editable = LIMITS
    guarded = GUARDED_LIMITS
    columns = {"tick_micros": price("tick_micros"), "min_size_micros": shares("min_size_micros")}
    list_display = (
        "__str__",
        short("condition_id"),
        "accepting_orders",
        "closed",
        price("tick_micros"),
        dollars("hourly_limit_micros"),
        dollars("daily_limit_micros"),
    )
    list_filter = ("accepting_orders", "closed", "neg_risk")
    search_fields = ("title", "slug", "condition_id__exact", "first_token_id__exact", "second_token_id__exact")
    ordering = ("-id",)
    actions = pausing(Scope.MARKET, lambda market: market.condition_id)


@admin.register(Position)
class PositionAdmin(RecordAdmin):
    """What followers hold, what it cost, and what sales have earned."""

    columns = {name: shares(name) for name in ("size_micros", "reserved_micros")}
    list_display = (
        "follower",
        short("token_id"),
        shares("size_micros"),
        shares("reserved_micros"),
        dollars("cost_micros"),
        dollars("realised_micros"),
        dollars("fees_micros"),
    )
    list_select_related = ("follower",)
    finders = (by_person(Position, "follower"),)
    search_help_text = "A follower's name or wallet."
    ordering = ("-id",)
