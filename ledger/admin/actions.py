"""Bulk actions: a page asks once more and for a reason, then one operation acts on all selected rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from unfold.widgets import UnfoldAdminTextInputWidget

from ledger.bulk import Done

SELECTED_MAX = 500
"""Rows of one action: one transaction with a lock on each."""

SENTENCES_MAX = 10
"""Refusals that are told one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkAction:
    """An action of a list: what the button says, who may, what the page asks, and the operation.

    `act` gets the rows, who and why, and writes everything in one transaction.
    """

    name: str
    title: str
    needs: str
    question: str
    done: str
    act: Callable[[Sequence[Any], str, str], Done]
    must_say_why: bool = False
    allowed: Callable[[HttpRequest, Sequence[Any]], bool] | None = None


class WhyForm(forms.Form):
    """The person's words; they stay in the audit log."""

    why = forms.CharField(
        label="Reason",
        max_length=200,
        required=False,
        widget=UnfoldAdminTextInputWidget(attrs={"autofocus": True}),
        error_messages={"required": "Say why: it is kept in the audit log."},
    )


def bulk_action(action: BulkAction) -> Callable[..., HttpResponse | None]:
    """The action as Django's lists take it."""

    def run(modeladmin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        if not request.user.has_perm(action.needs):
            raise PermissionDenied
        rows = list(queryset[: SELECTED_MAX + 1])
        if len(rows) > SELECTED_MAX:
            modeladmin.message_user(request, f"Select at most {SELECTED_MAX} rows.", messages.ERROR)
            return None
        if action.allowed is not None and not action.allowed(request, rows):
            raise PermissionDenied
        confirmed = "confirmed" in request.POST
        form = WhyForm(request.POST if confirmed else None)
        form.fields["why"].required = action.must_say_why
        if not (confirmed and form.is_valid()):
            return _ask(modeladmin, request, action, rows, form)
        done = action.act(rows, request.user.get_username(), form.cleaned_data["why"])
        _tell(modeladmin, request, action, done)
        return None

    run.__name__ = action.name
    run.short_description = action.title  # type: ignore[attr-defined]  # as Django's lists read it
    run.needs = (action.needs,)  # type: ignore[attr-defined]
    return run


def _ask(modeladmin: Any, request: HttpRequest, action: BulkAction, rows: Sequence[Any], form: WhyForm) -> HttpResponse:
    context = {
        **modeladmin.admin_site.each_context(request),
        "title": action.title,
        "opts": modeladmin.model._meta,
        "action": action,
        "rows": rows,
        "form": form,
        "checkbox_name": ACTION_CHECKBOX_NAME,
        "cancel_url": request.get_full_path(),
    }
    return TemplateResponse(request, "admin/confirm_action.html", context)


def _tell(modeladmin: Any, request: HttpRequest, action: BulkAction, done: Done) -> None:
    level = messages.SUCCESS if done.changed else messages.WARNING
    modeladmin.message_user(request, f"{done.changed} {action.done}.", level)
    for sentence in done.refused[:SENTENCES_MAX]:
        modeladmin.message_user(request, sentence, messages.WARNING)
    if len(done.refused) > SENTENCES_MAX:
        rest = len(done.refused) - SENTENCES_MAX
        modeladmin.message_user(request, f"And {rest} more were left as they are.", messages.WARNING)
