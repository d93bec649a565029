"""Leaders, followers and configs: what operators edit. A change of a config is a new version of it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from copytrading.models import CopyConfig, CopyConfigVersion, Follower, Leader
from copytrading.operations.people import CHOICES, ConfigChanged, save_config
from guardrails.admin import LIMITS, LimitsForm, pausing
from guardrails.models import Scope
from ledger.admin import DollarField, RecordAdmin, dollars, price, short
from ledger.units import ONE

PERSON = ("name", "wallet__exact")
BOTH_PEOPLE = tuple(f"{who}__{column}" for who in ("follower", "leader") for column in PERSON)
"""Search fields of rows that have a follower and a leader."""


class WalletField(forms.CharField):
    """A wallet as pasted: the checksum's capitals are folded, as every wallet is stored."""

    def to_python(self, value: Any) -> str:
        """Lower-case text without blanks around it."""
        return str(super().to_python(value)).lower()


class PersonForm(LimitsForm):
    """A leader or follower with limits in dollars."""

    wallet = WalletField(max_length=42, help_text="0x and 40 hexadecimal digits.")


class ConfigForm(forms.ModelForm):  # type: ignore[type-arg]  # the stubs are generic, Django is not
    """A config with its amounts in dollars, and the version that the operator saw."""

    amount_micros = DollarField(label="Amount", empty_micros=0, help_text="FIXED_AMOUNT: dollars for each trade.")
    floor_micros = DollarField(label="Floor", empty_micros=0, help_text="RANGE: least dollars of a trade.")
    cap_micros = DollarField(label="Cap", empty_micros=0, help_text="RANGE: most dollars of a trade.")
    max_trade_micros = DollarField(
        label="Max trade", least_micros=1, help_text="Cuts any copy to this many dollars; empty is no bound."
    )
    min_trigger_micros = DollarField(
        label="Min trigger", empty_micros=0, help_text="Ignore leader buys under this many dollars."
    )
    max_odds_micros = DollarField(
        label="Max odds",
        least_micros=1,
        most_micros=ONE - 1,
        help_text="Do not buy above this price, between 0 and 1; empty is no bound.",
    )
    seen_version = forms.IntegerField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["seen_version"].initial = self.instance.version

    def clean(self) -> dict[str, Any]:
        """What a sizing needs must be there."""
        cleaned = super().clean() or {}
        amount, floor, cap = (cleaned.get(f"{name}_micros") or 0 for name in ("amount", "floor", "cap"))
        sizing = cleaned.get("sizing")
        if sizing == CopyConfig.Sizing.FIXED_AMOUNT and not amount:
            self.add_error("amount_micros", "A fixed amount above zero is needed for FIXED_AMOUNT.")
        if sizing == CopyConfig.Sizing.RANGE and not cap:
            self.add_error("cap_micros", "A cap above zero is needed for RANGE.")
        elif sizing == CopyConfig.Sizing.RANGE and floor > cap:
            self.add_error("floor_micros", "The floor is above the cap.")
        return cleaned


@admin.register(Leader)
class LeaderAdmin(RecordAdmin):
    """Wallets that are copied."""

    form = PersonForm
    only_when_added = ("wallet",)
    editable = ("name", *LIMITS)
    list_display = (
        "__str__",
        short("wallet"),
        dollars("hourly_limit_micros"),
        dollars("daily_limit_micros"),
        "holdings_complete",
        "created_at",
    )
    list_filter = ("holdings_complete", "created_at")
    search_fields = PERSON
    ordering = ("id",)
    actions = pausing(Scope.LEADER, lambda leader: str(leader.pk))


@admin.register(Follower)
class FollowerAdmin(RecordAdmin):
    """Accounts that copy."""

    form = PersonForm
    only_when_added = ("wallet", "referrer")
    editable = ("name", "mode", *LIMITS)
    autocomplete_fields = ("referrer",)
    list_display = (
        "__str__",
        short("wallet"),
        "mode",
        dollars("hourly_limit_micros"),
        dollars("daily_limit_micros"),
        "created_at",
    )
    list_filter = ("mode", "created_at")
    search_fields = PERSON
    ordering = ("id",)
    actions = pausing(Scope.FOLLOWER, lambda follower: str(follower.pk))


@admin.register(CopyConfig)
class CopyConfigAdmin(RecordAdmin):
    """What followers want of leaders; each change is a new version."""

    form = ConfigForm
    only_when_added = ("follower", "leader")
    editable = (*CHOICES, "seen_version")
    columns = {"max_odds_micros": price("max_odds_micros")}
    autocomplete_fields = ("follower", "leader")
    list_display = (
        "id",
        "follower",
        "leader",
        "active",
        "sizing",
        "percentage_bps",
        dollars("amount_micros"),
        dollars("max_trade_micros"),
        "slippage_bps_max",
        "sides",
        "version",
    )
    list_filter = ("active", "sizing", "sides", "below_minimum")
    list_select_related = ("follower", "leader")
    search_fields = BOTH_PEOPLE
    ordering = ("-id",)

    def save_model(self, request: HttpRequest, obj: CopyConfig, form: Any, change: bool) -> None:
        """Make a new version. Raises ConfigChanged when the operator saw an older one."""
        if change:
            obj.version = form.cleaned_data["seen_version"]
        save_config(obj, changed_by=request.user.get_username())

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """The page; a change of what meanwhile changed is refused and the page shown as it is now."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except ConfigChanged as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(request.path)


@admin.register(CopyConfigVersion)
class CopyConfigVersionAdmin(RecordAdmin):
    """Configs as they were."""

    columns = {"max_odds_micros": price("max_odds_micros")}
    list_display = ("config_id", "version", "changed_by", "created_at", "active", "sizing", dollars("max_trade_micros"))
    list_filter = ("sizing", "created_at")
    search_fields = ("config__follower__name", "config__leader__name", "changed_by__exact")
    ordering = ("-id",)
