"""What leaders did and hold, as sources have shown it. Only the engine writes these rows."""

from django.contrib import admin
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from copytrading.admin.lists import among_newest
from copytrading.explain import finding
from copytrading.models import LeaderPosition, Signal, SignalCursor, SignalGroup, SignalSourceTotal
from copytrading.operations.bulk import retry_signals
from copytrading.signals import ActionKind
from ledger.admin import RecordAdmin, dollars, moments_of, price, shares, short, titled
from ledger.admin.actions import BulkAction, bulk_action
from ledger.admin.lists import by_person

COLUMNS = {
    "price_micros": price("price_micros"),
    "dropped_reason": titled("dropped_reason"),
    **{name: shares(name) for name in ("size_micros", "total_size_micros", "leader_held_micros", "acted_size_micros")},
}

RETRY = BulkAction(
    name="retry",
    title="Try again",
    needs="copytrading.retry_signal",
    question="Signals that were put aside after too many tries are opened again; whoever has an answer keeps it.",
    done="opened again",
    act=lambda rows, who, why: retry_signals([row.pk for row in rows], who=who, why=why),
)


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
        titled("dropped_reason"),
    )
    list_filter = (
        ("done_at", admin.EmptyFieldListFilter),
        moments_of("detected_at"),
        ("leader", AutocompleteSelectFilter),
        among_newest("side", ("BUY", "SELL")),
        among_newest("dropped_reason", ("DEAD_LETTER", "PURGED", "NO_SUBSCRIBERS")),
    )
    list_filter_submit = True
    list_select_related = ("leader",)
    finders = finding.SIGNAL_FINDERS
    search_help_text = "The number of a signal, a token, a transaction, a market's condition id, or a leader."
    ordering = ("-id",)
    actions = (bulk_action(RETRY),)
    change_form_before_template = "admin/copytrading/signal_gone.html"


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
        "withdrawn_at",
    )
    list_filter = (
        moments_of("created_at"),
        ("leader", AutocompleteSelectFilter),
        among_newest("kind", tuple(ActionKind)),
        among_newest("side", ("BUY", "SELL")),
    )
    list_filter_submit = True
    list_select_related = ("leader",)
    finders = finding.GROUP_FINDERS
    search_help_text = "The number of a trade, a transaction, or a leader."
    ordering = ("-id",)
    change_form_before_template = "admin/copytrading/group_gone.html"


@admin.register(SignalSourceTotal)
class SignalSourceTotalAdmin(RecordAdmin):
    """What each source has shown of an action."""

    columns = COLUMNS
    list_display = ("group_id", "source", shares("size_micros"), dollars("notional_micros"), "updated_at")
    finders = finding.TOTAL_FINDERS
    search_help_text = "A transaction, or the number of a leader's trade."
    ordering = ("-id",)


@admin.register(SignalCursor)
class SignalCursorAdmin(RecordAdmin):
    """How far sources were read."""

    list_display = ("source", short("key"), "position", "updated_at")
    search_fields = ("source", "key__exact")
    ordering = ("-id",)


@admin.register(LeaderPosition)
class LeaderPositionAdmin(RecordAdmin):
    """What leaders hold, where that is known."""

    columns = COLUMNS
    list_display = ("leader", short("token_id"), shares("size_micros"), "known", "read_at", "updated_at")
    list_filter = ("known",)
    list_select_related = ("leader",)
    finders = (by_person(LeaderPosition, "leader"),)
    search_help_text = "A leader's name or wallet."
    ordering = ("-id",)
