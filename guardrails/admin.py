"""Admin pages of the guardrails: refusals, budgets, and the switches that operators throw."""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.validators import RegexValidator
from django.db.models import QuerySet
from django.http import HttpRequest

from guardrails.intents import Unit
from guardrails.models import Budget, GuardrailEvent, Scope, Switch
from guardrails.operations import set_switch
from ledger.admin import NOTHING, DollarField, RecordAdmin, dollar_text, dollars, price_text, share_text, short
from ledger.sql import database_now

LIMITS = ("hourly_limit_micros", "daily_limit_micros", "hourly_limit_count", "daily_limit_count")
"""The columns of `SpendingLimits`, as pages with a `LimitsForm` name them."""

_TEXTS: dict[str, Callable[[int], str]] = {Unit.MONEY: dollar_text, Unit.SHARES: share_text, Unit.PRICE: price_text}

_condition = RegexValidator(r"\A0x[0-9a-f]{64}\Z", "A market's key is its condition id: 0x and 64 lower-case digits.")
_number = RegexValidator(r"\A[1-9][0-9]{0,17}\Z", "The key of a leader or follower is its id, a whole number.")


def amount_text(value: int | None, unit: str) -> str:
    """A refusal's value or limit in people's units."""
    if value is None:
        return NOTHING
    if unit in _TEXTS:
        return _TEXTS[unit](value)
    return f"{value:,}" if unit in (Unit.COUNT, Unit.NONE) else f"{value:,} {unit}"


class LimitsForm(forms.ModelForm):  # type: ignore[type-arg]  # the stubs are generic, Django is not
    """The money bounds of a leader, follower or market in dollars."""

    hourly_limit_micros = DollarField(label="Hourly limit", help_text="Dollars bought in an hour; empty is no bound.")
    daily_limit_micros = DollarField(label="Daily limit", help_text="Dollars bought in a UTC day; empty is no bound.")


class SwitchForm(forms.ModelForm):  # type: ignore[type-arg]
    """A switch whose key can name what its scope asks for: a mistyped pause would pause nothing."""

    def clean(self) -> dict[str, Any]:
        """Check the key by the scope. Raises ValidationError."""
        cleaned = super().clean() or {}
        scope, key = cleaned.get("scope"), cleaned.get("key", "")
        if scope is None:
            return cleaned
        try:
            _check_key(scope, key)
        except ValidationError as error:
            self.add_error("key", error)
        return cleaned


def pausing(scope: Scope, key: Callable[[Any], str]) -> list[Callable[..., None]]:
    """The actions "pause" and "resume" for a list whose rows are named in switches by this key."""

    def throw(modeladmin: RecordAdmin, request: HttpRequest, rows: QuerySet[Any], *, on: bool) -> None:
        if not request.user.has_perm("guardrails.change_switch"):
            raise PermissionDenied
        keys = [key(row) for row in rows]
        for each in keys:
            _throw(request, kind=Switch.Kind.PAUSE, scope=scope, key=each, on=on, why="")
        modeladmin.message_user(request, f"{len(keys)} {'paused' if on else 'resumed'}.")

    return _actions(throw)


@admin.display(description="value", ordering="value")
def event_value(event: GuardrailEvent) -> str:
    """The value seen, in its unit."""
    return amount_text(event.value, event.unit)


@admin.display(description="limit", ordering="limit")
def event_limit(event: GuardrailEvent) -> str:
    """The limit it passed, in its unit."""
    return amount_text(event.limit, event.unit)


@admin.register(GuardrailEvent)
class GuardrailEventAdmin(RecordAdmin):
    """What was refused, and incidents."""

    columns = {"value": event_value, "limit": event_limit}
    list_display = ("created_at", "reason", event_value, event_limit, "trade_id", "subject")
    list_filter = ("reason", "created_at")
    search_fields = ("subject", "reason__exact", "trade__order_hash__exact")
    ordering = ("-id",)


@admin.register(Budget)
class BudgetAdmin(RecordAdmin):
    """What windows have granted."""

    list_display = ("scope", short("key"), "period", "starts_at", dollars("spent_micros"), "count")
    list_filter = ("scope", "period", "starts_at")
    search_fields = ("key__exact",)
    ordering = ("-starts_at", "scope", "key")


def _throw_selected(modeladmin: RecordAdmin, request: HttpRequest, rows: QuerySet[Switch], *, on: bool) -> None:
    switches = list(rows)
    for row in switches:
        _throw(request, kind=row.kind, scope=row.scope, key=row.key, on=on, why=row.why)
    modeladmin.message_user(request, f"{len(switches)} turned {'on' if on else 'off'}.")


def _actions(throw: Callable[..., None]) -> list[Callable[..., None]]:
    # Named functions: Django keeps actions by their __name__.
    @admin.action(permissions=["change"], description="Pause (turn on)")
    def pause(modeladmin: Any, request: HttpRequest, rows: QuerySet[Any]) -> None:
        throw(modeladmin, request, rows, on=True)

    @admin.action(permissions=["change"], description="Resume (turn off)")
    def resume(modeladmin: Any, request: HttpRequest, rows: QuerySet[Any]) -> None:
        throw(modeladmin, request, rows, on=False)

    return [pause, resume]


@admin.register(Switch)
class SwitchAdmin(RecordAdmin):
    """Pauses and dry runs; every change goes through `set_switch` and names who made it."""

    form = SwitchForm
    only_when_added = ("kind", "scope", "key")
    editable = ("on", "why")
    list_display = ("kind", "scope", short("key"), "on", "why", "changed_by", "changed_at")
    list_filter = ("on", "kind", "scope")
    search_fields = ("key__exact", "why", "changed_by")
    actions = _actions(_throw_selected)

    def save_model(self, request: HttpRequest, obj: Switch, form: Any, change: bool) -> None:  # noqa: ARG002  (Django's own)
        """Throw the switch as the form says, in the name of the user."""
        thrown = _throw(request, kind=obj.kind, scope=obj.scope, key=obj.key, on=obj.on, why=obj.why)
        obj.pk = thrown.pk


def _throw(request: HttpRequest, *, kind: str, scope: str, key: str, on: bool, why: str) -> Switch:
    who = request.user.get_username()
    return set_switch(kind=kind, scope=scope, key=key, on=on, who=who, why=why, now=database_now())


def _check_key(scope: str, key: str) -> None:
    if scope == Scope.GLOBAL:
        if key:
            raise ValidationError("A global switch has no key.")
    elif scope == Scope.MARKET:
        _condition(key)
    else:
        _number(key)
