"""Leaders and followers: whom operators add, name and pause."""

from typing import Any

from django import forms
from django.contrib import admin
from unfold.widgets import UnfoldAdminTextInputWidget

from copytrading.admin.lists import PERSON
from copytrading.admin.stories import StoryPages, story_link
from copytrading.models import Follower, Leader
from guardrails.admin import GUARDED_LIMITS, LIMITS, LimitsForm, pausing
from guardrails.models import Scope
from ledger.admin import RecordAdmin, dollars, moments_of, short


class WalletField(forms.CharField):
    """A wallet as pasted: the checksum's capitals are folded, as every wallet is stored."""

    widget = UnfoldAdminTextInputWidget

    def to_python(self, value: Any) -> str:
        """Lower-case text without blanks around it."""
        return str(super().to_python(value)).lower()


class PersonForm(LimitsForm):
    """A leader or follower with limits in dollars."""

    wallet = WalletField(max_length=42, help_text="0x and 40 hexadecimal digits.")


@admin.register(Leader)
class LeaderAdmin(StoryPages, RecordAdmin):
    """Wallets that are copied."""

    form = PersonForm
    only_when_added = ("wallet",)
    editable = ("name", *LIMITS)
    guarded = GUARDED_LIMITS
    list_display = (
        "__str__",
        story_link,
        short("wallet"),
        dollars("hourly_limit_micros"),
        dollars("daily_limit_micros"),
        "holdings_complete",
        "created_at",
    )
    list_filter = ("holdings_complete", moments_of("created_at"))
    search_fields = PERSON
    ordering = ("id",)
    actions = pausing(Scope.LEADER, lambda leader: str(leader.pk))


@admin.register(Follower)
class FollowerAdmin(StoryPages, RecordAdmin):
    """Accounts that copy."""

    form = PersonForm
    only_when_added = ("wallet", "referrer")
    editable = ("name", "mode", *LIMITS)
    guarded = GUARDED_LIMITS
    autocomplete_fields = ("referrer",)
    list_display = (
        "__str__",
        story_link,
        short("wallet"),
        "mode",
        dollars("hourly_limit_micros"),
        dollars("daily_limit_micros"),
        "created_at",
    )
    list_filter = ("mode", moments_of("created_at"))
    search_fields = PERSON
    ordering = ("id",)
    actions = pausing(Scope.FOLLOWER, lambda follower: str(follower.pk))
