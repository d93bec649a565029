"""Admin pages of the guardrails: refusals, budgets, breakers, and the switches that operators throw."""

from collections.abc import Callable, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db.models import Q
from django.http import HttpRequest
from unfold.contrib.filters.admin import DropdownFilter

from guardrails.intents import Reason
from guardrails.models import Breaker, Budget, GuardrailEvent, Scope, Switch, words_of
from guardrails.pauses import SwitchName, overrule_breakers, throw_switches
from guardrails.permissions import OVERRULE, SET_LIMITS, THROW, may_throw
from guardrails.texts import amount_text
from ledger.admin import DollarField, RecordAdmin, dollars, moments_of, short, titled
from ledger.admin.actions import BulkAction, bulk_action
from ledger.admin.lists import by_number
from ledger.bulk import Done
from ledger.sql import database_now
from ledger.texts import NOTHING, dollar_text

LIMITS = ("hourly_limit_micros", "daily_limit_micros", "hourly_limit_count", "daily_limit_count")
"""The columns of `SpendingLimits`, as pages with a `LimitsForm` name them."""

GUARDED_LIMITS = dict.fromkeys(LIMITS, SET_LIMITS)
"""Who may type them."""

_condition = RegexValidator(r"\A0x[0-9a-f]{64}\Z", "A market's key is its condition id: 0x and 64 lower-case digits.")
_number = RegexValidator(r"\A[1-9][0-9]{0,17}\Z", "The key of a leader or follower is its id, a whole number.")


class LimitsForm(forms.ModelForm):  # type: ignore[type-arg]  # the stubs are generic, Django is not
    """The money bounds of a leader, follower or market in dollars."""

    hourly_limit_micros = DollarField(label="Hourly limit", help_text="Dollars bought in an hour; empty is no bound.")
    daily_limit_micros = DollarField(label="Daily limit", help_text="Dollars bought in a UTC day; empty is no bound.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, span in (("hourly_limit_count", "an hour"), ("daily_limit_count", "a UTC day")):
            if name in self.fields:
                self.fields[name].help_text = f"Buys in {span}; empty is no bound."


class SwitchForm(forms.ModelForm):  # type: ignore[type-arg]
    """A switch whose key can name what its scope asks for: a mistyped pause would pause nothing."""

    person: Any = None

    def clean(self) -> dict[str, Any]:
        """Check the key by the scope, and who may do this. Raises ValidationError."""
        cleaned = super().clean() or {}
        scope, key = cleaned.get("scope", self.instance.scope), cleaned.get("key", self.instance.key)
        on = bool(cleaned.get("on"))
        if self.instance.pk is None and not on:
            self.add_error("on", "A new switch begins turned on; one that is off would do nothing.")
        if not may_throw(self.person, scope=scope, on=on):
            self.add_error(None, "Only a risk officer lets everybody trade again.")
        if "scope" in cleaned:
            try:
                _check_key(scope, key)
            except ValidationError as error:
                self.add_error("key", error)
        return cleaned


def pausing(scope: Scope, key: Callable[[Any], str]) -> list[Callable[..., Any]]:
    """The actions "pause" and "resume" for a list whose rows are named in switches by this key."""
    return _throwing(lambda row: SwitchName(Switch.Kind.PAUSE, scope, key(row)), titles=("Pause", "Resume"))


def _throwing(name_of: Callable[[Any], SwitchName], *, titles: tuple[str, str]) -> list[Callable[..., Any]]:
    def throw(rows: Sequence[Any], who: str, why: str, *, on: bool) -> Done:
        names = {name_of(row): str(row) for row in rows}
        changed = throw_switches(list(names), on=on, who=who, why=why, now=database_now())
        state = "on" if on else "off"
        left = tuple(f"{text}: its switch is {state} already." for name, text in names.items() if name not in changed)
        return Done(changed=len(changed), refused=left)

    pause = BulkAction(
        name="pause",
        title=titles[0],
        needs=THROW,
        question="Nothing will be sent for them until somebody resumes.",
        done="paused",
        must_say_why=True,
        act=lambda rows, who, why: throw(rows, who, why, on=True),
    )
    resume = BulkAction(
        name="resume",
        title=titles[1],
        needs=THROW,
        question="Copies will be sent for them again.",
        done="resumed",
        act=lambda rows, who, why: throw(rows, who, why, on=False),
        allowed=lambda request, rows: all(may_throw(request.user, scope=name_of(row).scope, on=False) for row in rows),
    )
    return [bulk_action(pause), bulk_action(resume)]


@admin.display(description="value", ordering="value")
def event_value(event: GuardrailEvent) -> str:
    """The value seen, in its unit."""
    return amount_text(event.value, event.unit)


@admin.display(description="limit", ordering="limit")
def event_limit(event: GuardrailEvent) -> str:
    """The limit it passed, in its unit."""
    return amount_text(event.limit, event.unit)


def _by_order(text: str) -> Q | None:
    return Q(trade__order_hash=text.lower()) if text.startswith("0x") else None


def _by_reason(text: str) -> Q:
    return Q(reason=text.upper().replace(" ", "_"))


def _by_key(text: str) -> Q:
    # With every scope, so that the unique index serves it.
    return Q(scope__in=Scope.values, key=text.lower())


INCIDENTS = tuple(
    reason.value
    for reason in (
        Reason.OVERCOUNT,
        Reason.WITHDRAWN,
        Reason.LATE_FILL,
        Reason.OVERSOLD,
        Reason.REVERSED,
        Reason.PAID_COMMISSION_REVERSED,
        Reason.NO_SUBSCRIBERS,
        Reason.HISTORY_MISSED,
        Reason.DEAD_LETTER,
        Reason.PURGED,
        Reason.QUEUE_FULL,
        Reason.QUEUE_DOWN,
        Reason.QUEUE_BACK,
        Reason.LOAD_SHED,
        Reason.LOAD_NORMAL,
        Reason.STREAM_DEGRADED,
        Reason.STREAM_RECOVERED,
        Reason.BREAKER_OPENED,
        Reason.BREAKER_CLOSED,
        Reason.EXIT_GIVEN_UP,
        Reason.UNSETTLED,
        Reason.WRITTEN_OFF,
        Reason.UNSOLD,
        Reason.AUDIT_DIFFERENCE,
    )
)
"""Reasons that tell something went wrong, and not only that a copy was refused."""


class ShownFilter(admin.SimpleListFilter):
    """Incidents apart from the many refusals."""

    title = "what is shown"
    parameter_name = "shown"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  (Django's own)
        """One choice beside all."""
        return [("incidents", "Incidents only")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002  (Django's own)
        """What belongs to no copy, and what went wrong with one; each part by its index."""
        if self.value() != "incidents":
            return queryset
        return queryset.filter(Q(reason__in=INCIDENTS) | Q(trade__isnull=True))


class ReasonFilter(DropdownFilter):  # type: ignore[misc]  # published without types
    """Events by their reason, from the list of reasons: the table is not asked which ones it has."""

    title = "reason"
    parameter_name = "reason"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  (Django's own)
        """Every reason that there is."""
        return [(reason.value, words_of(reason.value)) for reason in Reason]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002  (Django's own)
        """By the index on the reason."""
        return queryset.filter(reason=self.value()) if self.value() else queryset


@admin.register(GuardrailEvent)
class GuardrailEventAdmin(RecordAdmin):
    """What was refused, and incidents."""

    columns = {"reason": titled("reason"), "value": event_value, "limit": event_limit}
    list_display = ("created_at", titled("reason"), event_value, event_limit, "trade_id", "subject")
    list_filter = (ShownFilter, ReasonFilter, moments_of("created_at"))
    list_filter_submit = True
    finders = (by_number("trade_id"), _by_order, _by_reason)
    search_help_text = "The number of a copy, an order hash, or a reason."
    ordering = ("-id",)


@admin.register(Budget)
class BudgetAdmin(RecordAdmin):
    """What windows have granted."""

    list_display = ("scope", short("key"), "period", "starts_at", dollars("spent_micros"), "count")
    list_filter = ("scope", "period")
    finders = (_by_key,)
    search_help_text = "The number of a leader or follower, or a market's condition id."
    ordering = ("-id",)


def _overruling(to: Breaker.State, title: str, question: str) -> BulkAction:
    def overrule(rows: Sequence[Breaker], who: str, why: str) -> Done:
        changed = overrule_breakers([row.pk for row in rows], to=to, who=who, why=why, now=database_now())
        left = tuple(
            f"{row} is {words_of(row.state).lower()}, and was left so." for row in rows if row.pk not in changed
        )
        return Done(changed=len(changed), refused=left)

    return BulkAction(
        name=f"set_{to.value.lower()}",
        title=title,
        needs=OVERRULE,
        question=question,
        done=f"set to {to}",
        act=overrule,
        must_say_why=True,
    )


@admin.display(description="counts")
def breaker_counts(breaker: Breaker) -> str:
    """What it counted, in one line."""
    told = (
        f"lost {dollar_text(count)}" if name == "lost_micros" else f"{name} {count}"
        for name, count in sorted(breaker.counts.items())
    )
    return ", ".join(told) or NOTHING


@admin.register(Breaker)
class BreakerAdmin(RecordAdmin):
    """Circuit breakers of everybody, of venues and of accounts: what they counted, and since when they are open."""

    columns = {"counts": breaker_counts}
    list_display = ("kind", "scope", short("key"), "state", "why", "opened_at", "probe_at", "changed_by")
    list_filter = ("state", "kind", "scope")
    search_fields = ("key__exact", "why", "changed_by")
    search_help_text = "A venue's name, the number of a follower, or a word of a reason."
    ordering = ("-id",)
    actions = tuple(
        bulk_action(_overruling(*each))
        for each in (
            (Breaker.State.CLOSED, "Close: let pass", "What was counted is forgotten and copies pass again."),
            (Breaker.State.OPEN, "Open: stop", "Copies are refused until somebody closes it."),
            (Breaker.State.HALF_OPEN, "Probe now", "The cool-down ends now and a few copies pass as probes."),
        )
    )


@admin.register(Switch)
class SwitchAdmin(RecordAdmin):
    """Pauses and dry runs; every change goes through `throw_switches` and names who made it."""

    audited_by_operation = True
    form = SwitchForm
    only_when_added = ("kind", "scope", "key")
    editable = ("on", "why")
    list_display = ("kind", "scope", short("key"), "on", "why", "changed_by", "changed_at")
    list_filter = ("on", "kind", "scope")
    search_fields = ("key__exact", "why", "changed_by")
    actions = _throwing(lambda row: SwitchName(row.kind, row.scope, row.key), titles=("Turn on", "Turn off"))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        """The form, which knows who fills it in."""
        form = super().get_form(request, obj, change=change, **kwargs)
        return type(form.__name__, (form,), {"person": request.user})

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new switch is on."""
        return {"on": True, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Switch, form: Any, change: bool) -> None:  # noqa: ARG002  (Django's own)
        """Throw the switch as the form says, in the name of the user."""
        name = SwitchName(obj.kind, obj.scope, obj.key)
        throw_switches([name], on=obj.on, who=request.user.get_username(), why=obj.why, now=database_now())
        obj.pk = Switch.objects.only("pk").get(kind=obj.kind, scope=obj.scope, key=obj.key).pk


def _check_key(scope: str, key: str) -> None:
    if scope == Scope.GLOBAL:
        if key:
            raise ValidationError("A global switch has no key.")
    elif scope == Scope.MARKET:
        _condition(key)
    else:
        _number(key)
