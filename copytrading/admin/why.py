"""The page "Why was this not copied?": a signal and a follower, and the whole story between them."""

from dataclasses import dataclass
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminTextInputWidget

from copytrading.explain.causes import Place
from copytrading.explain.finding import signals_of_transaction
from copytrading.explain.why import Answer, Because, explain
from copytrading.models import Follower, Signal

NEWEST = 15
"""Signals to pick from."""

SAME_NAME_MAX = 5
NEEDS = ("copytrading.view_copytrade", "copytrading.view_signal", "copytrading.view_follower")


class WhyForm(forms.Form):
    """Which signal, and for whom."""

    signal = forms.CharField(
        label="Signal",
        max_length=80,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Number, or the leader's transaction 0x…"}),
        error_messages={"required": "Name a signal: its number, or the hash of the leader's transaction."},
    )
    follower = forms.CharField(
        label="Follower",
        max_length=80,
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "Number, wallet or name"}),
        error_messages={"required": "Name a follower: the number, the wallet or the name."},
    )

    def clean_signal(self) -> tuple[Signal, ...]:
        """The signals of that number or transaction. Raises ValidationError."""
        text = self.cleaned_data["signal"].strip().lower()
        if text.isascii() and text.isdigit() and len(text) < 19:
            ids = [int(text)]
        elif text.startswith("0x"):
            ids = signals_of_transaction(text)
        else:
            raise ValidationError("A signal is a number, or the hash of the leader's transaction: 0x and 64 digits.")
        rows = Signal.objects.filter(pk__in=ids).select_related("group", "leader").order_by("pk")
        found = tuple(rows[:NEWEST])
        if not found:
            raise ValidationError("We never heard of this: no source has shown it, or its leader is not followed.")
        return found

    def clean_follower(self) -> Follower:
        """The follower of that number, wallet or name. Raises ValidationError."""
        text = self.cleaned_data["follower"].strip()
        by = Q(wallet=text.lower()) | Q(name__iexact=text)
        if text.isascii() and text.isdigit() and len(text) < 19:
            by |= Q(pk=int(text))
        found = list(Follower.objects.filter(by).order_by("pk")[:SAME_NAME_MAX])
        if not found:
            raise ValidationError("There is no follower with this number, wallet or name.")
        if len(found) > 1:
            numbers = ", ".join(str(each.pk) for each in found)
            raise ValidationError(f"Several followers are called so; take the number of one: {numbers}.")
        return found[0]


@dataclass(frozen=True, slots=True)
class Linked:
    """A reason and where it is changed."""

    because: Because
    url: str


@dataclass(frozen=True, slots=True)
class Told:
    """The story of one signal."""

    signal: Signal
    answer: Answer
    reasons: tuple[Linked, ...]


class WhyPage:
    """The view; it belongs to the admin of the copies."""

    def __init__(self, modeladmin: Any) -> None:
        self._admin = modeladmin

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """The form, and the answer when both are known."""
        if not request.user.has_perms(NEEDS):
            raise PermissionDenied
        asked = "signal" in request.GET or "follower" in request.GET
        form = WhyForm(request.GET if asked else None)
        told: tuple[Told, ...] = ()
        if asked and form.is_valid():
            told = tuple(_tell(signal, form.cleaned_data["follower"]) for signal in form.cleaned_data["signal"])
        context = {
            **self._admin.admin_site.each_context(request),
            "title": "Why was this not copied?",
            "opts": self._admin.model._meta,
            "form": form,
            "told": told,
            "follower": form.cleaned_data.get("follower") if told else None,
            "typed_follower": request.GET.get("follower", ""),
            "newest": Signal.objects.select_related("leader").order_by("-pk")[:NEWEST],
        }
        return TemplateResponse(request, "admin/copytrading/why.html", context)


def _tell(signal: Signal, follower: Follower) -> Told:
    answer = explain(signal, follower)
    return Told(signal, answer, tuple(Linked(each, _url(each)) for each in answer.reasons))


def _url(because: Because) -> str:
    pages = {
        Place.CONFIG: "copytrading_copyconfig",
        Place.FOLLOWER: "copytrading_follower",
        Place.LEADER: "copytrading_leader",
        Place.MARKET: "execution_market",
        Place.SWITCH: "guardrails_switch",
    }
    if because.place in pages and because.place_id is not None:
        return reverse(f"admin:{pages[because.place]}_change", args=[because.place_id])
    if because.place is Place.CASH and because.place_id is not None:
        return reverse("admin:copytrading_follower_story", args=[because.place_id])
    if because.place is Place.STANDING and because.place_id is not None:
        return reverse("admin:copytrading_standing_changelist") + f"?config__id__exact={because.place_id}"
    if because.place is Place.BREAKER:
        return reverse("admin:guardrails_breaker_changelist")
    return ""
