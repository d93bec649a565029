"""Configs: what a follower wants of a leader, in groups and in people's units. A change is a new version."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.html import format_html

from copytrading.admin.lists import BOTH_PEOPLE
from copytrading.admin.quality import QualityPage
from copytrading.admin.tiers import TiersField, WordsField
from copytrading.explain.summaries import summary_of
from copytrading.models import CopyConfig, CopyConfigVersion
from copytrading.operations.bulk import set_active
from copytrading.operations.people import CHOICES, ConfigChanged, save_config
from ledger.admin import Column, DollarField, RecordAdmin, dollars, moments_of, percent, price, shares
from ledger.admin.actions import BulkAction, bulk_action
from ledger.texts import NOTHING, dollar_text, percent_text
from ledger.units import ONE

GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("How much is bought", (
        "sizing", "percentage_bps", "amount_micros", "floor_micros", "cap_micros", "shares_micros", "tiers",
        "max_trade_micros", "below_minimum",
    )),
    ("How much is sold", ("sell_sizing", "sell_amount_micros", "sell_percentage_bps")),
    ("Which trades", (
        "sides", "direction", "min_trigger_micros", "max_odds_micros", "open_standing",
    )),
    ("At which price", ("slippage", "slippage_bps_max", "fee_bps_max", "order_type")),
    ("Which markets", (
        "max_days_out", "min_liquidity_micros", "min_volume_micros", "categories", "keywords", "max_per_market_micros",
    )),
    ("When to stop", ("take_profit_micros", "stop_loss_micros", "max_drawdown_micros", "on_stop")),
)  # fmt: skip
"""The fields of a config as its page groups them."""

_NEEDS = {
    "FIXED_AMOUNT": ("amount_micros", "A fixed amount above zero is needed for Fixed Amount."),
    "RANGE": ("cap_micros", "A cap above zero is needed for Range."),
    "SHARES": ("shares_micros", "A number of shares above zero is needed for Shares."),
    "TIERED": ("tiers", "At least one tier is needed for Tiered."),
}


_SAID: dict[str, tuple[str, str]] = {
    "sizing": ("Sizing", "How a buy follows from the leader's; the fields below that name it belong to it."),
    "percentage_bps": (
        "Percentage (bps)",
        "Percentage and Range: of the leader's shares; Bankroll: of the own bankroll. 100 bps are 1 %.",
    ),
    "below_minimum": ("Below minimum", "What becomes of a copy that is smaller than the venue takes."),
    "sell_sizing": ("Sell sizing", "How much of the own holding is sold when the leader sells."),
    "sell_percentage_bps": (
        "Sell percentage (bps)", "Custom Percent sells: part of the own holding; 100 bps are 1 %.",
    ),
    "sides": ("Sides", "Which of the leader's trades are copied."),
    "direction": ("Direction", "Whether the leader's trade is copied, or the other outcome is traded against it."),
    "slippage_bps_max": (
        "Slippage at most (bps)", "How much worse than the leader's price an order may be; 100 bps are 1 %.",
    ),
    "slippage": (
        "Slippage",
        "Fixed: orders go as far as the bound below. Auto: only as far as the book asks for to fill them, and half its "
        "spread more, within the bound.",
    ),
    "fee_bps_max": (
        "Fee at most (bps)",
        "Do not buy where the venue's fee is a larger part of the leader's price; 100 bps are 1 %.",
    ),
    "order_type": ("Order type", "FAK takes what there is and lets the rest go. FOK takes all or nothing."),
    "max_days_out": ("Max days out (days)", "Do not buy in markets that end later. Empty is no bound."),
    "open_standing": (
        "Open standing positions",
        "When copying begins, also buy what the leader holds then. Turned on later it does nothing.",
    ),
    "on_stop": ("On stop", "What becomes of the shares that are held when a stop is reached."),
}  # fmt: skip
"""Labels and help of fields that are typed as they are stored."""

_NOT_MONEY = ("shares_micros", "max_odds_micros")


def _bound(label: str, text: str, **more: Any) -> DollarField:
    return DollarField(label=label, least_micros=1, help_text=f"{text} Empty is no bound.", **more)


class ConfigForm(forms.ModelForm):  # type: ignore[type-arg]  # the stubs are generic, Django is not
    """A config with its amounts in dollars, and the version that the operator saw."""

    amount_micros = DollarField(label="Amount", empty_micros=0, help_text="Fixed Amount: dollars for each trade.")
    floor_micros = DollarField(label="Floor", empty_micros=0, help_text="Range: least dollars of a trade.")
    cap_micros = DollarField(label="Cap", empty_micros=0, help_text="Range: most dollars of a trade.")
    shares_micros = DollarField(label="Shares", empty_micros=0, help_text="Shares: shares of each trade.")
    tiers = TiersField(required=False)
    sell_amount_micros = DollarField(
        label="Sell amount", empty_micros=0, help_text="Fixed Amount sells: dollars of each."
    )
    max_trade_micros = _bound("Max trade", "Cuts any copy to this many dollars.")
    min_trigger_micros = DollarField(
        label="Min trigger", empty_micros=0, help_text="Ignore leader buys under this many dollars."
    )
    max_odds_micros = _bound("Max odds", "Do not buy above this price, between 0 and 1.", most_micros=ONE - 1)
    min_liquidity_micros = _bound("Min liquidity", "Do not buy in markets with fewer dollars in their books.")
    min_volume_micros = _bound("Min volume", "Do not buy in markets where fewer dollars were traded so far.")
    categories = WordsField(required=False, help_text="Buy only in these categories, one a line. Empty is all.")
    keywords = WordsField(
        required=False, help_text="Buy only where the market's title has one of these, one a line. Empty is all."
    )
    max_per_market_micros = _bound("Max per market", "Most dollars in one market, with what open buys reserve.")
    take_profit_micros = _bound("Take profit", "Stop when the copies of this leader have earned so many dollars.")
    stop_loss_micros = _bound("Stop loss", "Stop when the copies of this leader have lost so many dollars.")
    max_drawdown_micros = _bound("Max drawdown", "Stop when their profit fell so many dollars below its highest.")
    seen_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if name in _SAID:
                field.label, field.help_text = _SAID[name]
            elif isinstance(field, DollarField) and name not in _NOT_MONEY:
                field.label = f"{field.label} (dollars)"
        if "seen_version" in self.fields:
            self.fields["seen_version"].initial = self.instance.version

    def clean(self) -> dict[str, Any]:
        """What a sizing needs must be there."""
        cleaned = super().clean() or {}
        needed = _NEEDS.get(cleaned.get("sizing") or "")
        if needed and not cleaned.get(needed[0]) and needed[0] not in self.errors:
            self.add_error(*needed)
        elif cleaned.get("sizing") == "RANGE" and (cleaned.get("floor_micros") or 0) > (cleaned.get("cap_micros") or 0):
            self.add_error("floor_micros", "The floor is above the cap.")
        if cleaned.get("sell_sizing") == "FIXED_AMOUNT" and not cleaned.get("sell_amount_micros"):
            self.add_error("sell_amount_micros", "An amount above zero is needed for sells of Fixed Amount.")
        if cleaned.get("sell_percentage_bps") == 0:
            self.add_error("sell_percentage_bps", "Sell at least 1 basis point of the holding.")
        return cleaned


@admin.display(description="tiers")
def tiers_text(row: CopyConfig | CopyConfigVersion) -> str:
    """The tiers in one line: '10 % from $0.00, 5 % from $1,000.00'."""
    return ", ".join(f"{percent_text(bps)} from {dollar_text(start)}" for start, bps in row.tiers) or NOTHING


def _listed(name: str) -> Column:
    def column(row: CopyConfig | CopyConfigVersion) -> str:
        return ", ".join(getattr(row, name)) or NOTHING

    column.__name__ = f"{name}_text"
    return admin.display(description=name)(column)


COLUMNS: dict[str, Column] = {
    "max_odds_micros": price("max_odds_micros"),
    "shares_micros": shares("shares_micros"),
    "tiers": tiers_text,
    **{name: _listed(name) for name in ("categories", "keywords")},
    **{name: percent(name) for name in ("percentage_bps", "sell_percentage_bps", "slippage_bps_max", "fee_bps_max")},
}
"""A config where it cannot be typed, in people's units."""


@admin.display(description="in words")
def in_words(config: CopyConfig) -> str:
    """The config as a sentence."""
    return format_html('<span class="words">{}</span>', summary_of(config, str(config.leader)))


def _activating(*, active: bool) -> BulkAction:
    return BulkAction(
        name="activate" if active else "deactivate",
        title="Activate" if active else "Deactivate",
        needs="copytrading.change_copyconfig",
        question="They will be copied by again." if active else "Nothing will be copied by them, sells included.",
        done="activated" if active else "deactivated",
        must_say_why=not active,
        act=lambda rows, who, why: set_active([row.pk for row in rows], active=active, who=who, why=why),
    )


@admin.register(CopyConfig)
class CopyConfigAdmin(QualityPage, RecordAdmin):
    """What followers want of leaders; each change is a new version."""

    form = ConfigForm
    only_when_added = ("follower", "leader")
    editable = (*CHOICES, "seen_version")
    columns = COLUMNS
    autocomplete_fields = ("follower", "leader")
    list_display = (
        "id",
        "follower",
        "leader",
        "active",
        "sizing",
        in_words,
        dollars("max_trade_micros"),
        "sides",
        "version",
    )
    list_filter = ("active", "sizing", "direction", "sides", "below_minimum")
    list_select_related = ("follower", "leader")
    search_fields = BOTH_PEOPLE
    ordering = ("-id",)
    actions = (bulk_action(_activating(active=True)), bulk_action(_activating(active=False)))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """The fields in groups; what cannot be typed stands last."""
        fields = self.get_fields(request, obj)
        titles = {name if isinstance(name, str) else name.__name__.removesuffix("_text"): name for name in fields}
        grouped = {name for _title, names in GROUPS for name in names}
        rest = [field for name, field in titles.items() if name not in grouped]
        groups = [
            (title, {"fields": [titles[name] for name in names if name in titles], "classes": []})
            for title, names in GROUPS
        ]
        who = [name for name in ("active", "follower", "leader") if name in rest]
        last = [name for name in rest if name not in who]
        words = [in_words] if obj is not None else []
        return [(None, {"fields": [*words, *who]}), *groups, ("Version", {"fields": last})]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """With the sentence."""
        found = super().get_readonly_fields(request, obj)
        return [in_words, *found] if obj is not None else found

    def write_model(self, request: HttpRequest, obj: CopyConfig, form: Any, *, change: bool) -> None:
        """Make a new version. Raises ConfigChanged when the operator saw an older one."""
        if change:
            obj.version = form.cleaned_data["seen_version"]
        save_config(obj, changed_by=request.user.get_username())
        if obj.sizing == CopyConfig.Sizing.PROPORTIONAL and obj.leader.bankroll_micros is None:
            text = (
                f"The bankroll of {obj.leader} is not known yet: until it is, Proportional copies nothing that it buys."
            )
            self.message_user(request, text, messages.WARNING)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page; a change of what meanwhile changed is refused and the page shown as it is now."""
        try:
            page: HttpResponse = super().changeform_view(request, object_id, form_url, extra_context)
        except ConfigChanged as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.path)
        return page


@admin.register(CopyConfigVersion)
class CopyConfigVersionAdmin(RecordAdmin):
    """Configs as they were."""

    columns = COLUMNS
    list_display = ("config_id", "version", "changed_by", "created_at", "active", "sizing", dollars("max_trade_micros"))
    list_filter = ("sizing", moments_of("created_at"))
    search_fields = ("config__follower__name", "config__leader__name", "changed_by__exact")
    ordering = ("-id",)
