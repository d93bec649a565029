"""What leaders did and hold, as sources have shown it. Only the engine writes these rows."""

from django.contrib import admin

from copytrading.models import LeaderPosition, Signal, SignalCursor, SignalGroup, SignalSourceTotal
from ledger.admin import RecordAdmin, dollars, price, shares, short

COLUMNS = {
    "price_micros": price("price_micros"),
    **{name: shares(name) for name in ("size_micros", "total_size_micros", "leader_held_micros", "acted_size_micros")},
}


@admin.register(Signal)
class SignalAdmin(RecordAdmin):
    """Parts of leaders' actions that were acted on."""

    columns = COLUMNS
    list_display = (
        "id",
        "detected_at",
        "leader",
        "side",
        short("token_id"),
        shares("size_micros"),
        price("price_micros"),
        "part",
        "source",
        "done_at",
        "dropped_reason",
    )
    list_filter = ("side", "source", ("done_at", admin.EmptyFieldListFilter), "detected_at")
    list_select_related = ("leader",)
    search_fields = ("leader__name", "leader__wallet__exact", "condition_id__exact", "group__tx_hash__exact")
    ordering = ("-id",)


@admin.register(SignalGroup)
class SignalGroupAdmin(RecordAdmin):
    """Leaders' actions whole."""

    columns = COLUMNS
    list_display = (
        "id",
        "traded_at",
        "leader",
        "kind",
        "side",
        short("tx_hash"),
        shares("acted_size_micros"),
        dollars("acted_notional_micros"),
        "parts",
    )
    list_filter = ("kind", "side", "traded_at")
    list_select_related = ("leader",)
    search_fields = ("leader__name", "leader__wallet__exact", "tx_hash__exact", "condition_id__exact", "key__exact")
    ordering = ("-id",)


@admin.register(SignalSourceTotal)
class SignalSourceTotalAdmin(RecordAdmin):
    """What each source has shown of an action."""

    columns = COLUMNS
    list_display = ("group_id", "source", shares("size_micros"), dollars("notional_micros"), "updated_at")
    list_filter = ("source", "updated_at")
    search_fields = ("group__tx_hash__exact", "group__key__exact")
    ordering = ("-id",)


@admin.register(SignalCursor)
class SignalCursorAdmin(RecordAdmin):
    """How far sources were read."""

    list_display = ("source", "key", "position", "updated_at")
    list_filter = ("source",)
    search_fields = ("source", "key__exact")


@admin.register(LeaderPosition)
class LeaderPositionAdmin(RecordAdmin):
    """What leaders hold, where that is known."""

    columns = COLUMNS
    list_display = ("leader", short("token_id"), shares("size_micros"), "known", "updated_at")
    list_filter = ("known", "updated_at")
    list_select_related = ("leader",)
    search_fields = ("leader__name", "leader__wallet__exact", "condition_id__exact", "token_id__exact")
    ordering = ("-id",)
