"""What all admin pages share: every change by a person is audited, and rows of the engine are read-only."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.admin import ShowFacets
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.admin import ModelAdmin

from ledger.admin.columns import Column, dollars
from ledger.admin.lists import BoundedChangeList, BoundedPaginator, Finder
from ledger.audit import AuditNote, changed_fields
from ledger.operations import write_audit

VIEW_LOG = "ledger.view_auditentry"


def values_of(row: Model) -> dict[str, Any]:
    """Every column and many-to-many list of a row, as the audit log tells them."""
    found = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    for field in row._meta.many_to_many:
        found[field.name] = frozenset(str(each) for each in getattr(row, field.name).all())
    return found


def label_of(model: type[Model]) -> str:
    """How the audit log names a kind of row."""
    return model._meta.label_lower


class AuditedAdmin(ModelAdmin):  # type: ignore[misc]  # published without types
    """Pages whose every change writes one audit entry, in the transaction of the change.

    `audited_by_operation` is for pages whose operation writes the entry itself.
    """

    audited_by_operation = False
    paginator = BoundedPaginator
    show_full_result_count = False
    # A facet is a count over the whole table for each choice of each filter.
    show_facets = ShowFacets.NEVER
    list_per_page = 50
    list_max_show_all = 50
    list_disable_select_all = True
    list_fullwidth = True

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedChangeList]:  # noqa: ARG002  (Django's own)
        """Lists that stay fast."""
        return BoundedChangeList

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """The actions that this person may take; rows are deleted one by one, on their page."""
        found: dict[str, Any] = super().get_actions(request)
        return {
            name: action
            for name, action in found.items()
            if name != "delete_selected" and request.user.has_perms(getattr(action[0], "needs", ()))
        }

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Remember the locked row as it was, then write."""
        if change:
            self._remember(request, obj)
        self.write_model(request, obj, form, change=change)

    def write_model(self, request: HttpRequest, obj: Any, form: Any, *, change: bool) -> None:
        """Write the row; a page whose rows an operation writes replaces this."""
        super().save_model(request, obj, form, change)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:  # noqa: ARG002  (Django's own)
        """Write the entry of a new row."""
        self._audit(request, "add", obj, {}, values_of(obj))

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:  # noqa: ARG002  (Django's own)
        """Write the entry of a changed row; a page saved without a change writes none."""
        before: dict[str, Any] | None = getattr(request, "audited_before", None)
        now = values_of(self.model._base_manager.get(pk=obj.pk))
        if before is None:
            # Only the page that sets a password gets here without `save_model`.
            self._audit(request, "change", obj, {"password": "before"}, {"password": "after"})
        elif now != before:
            self._audit(request, "change", obj, before, now)

    def log_deletions(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Write an entry for each row, before it goes."""
        for row in queryset:
            self._audit(request, "delete", row, values_of(row), {})

    def history_view(
        self,
        request: HttpRequest,
        object_id: str,
        extra_context: dict[str, Any] | None = None,  # noqa: ARG002  (Django's own)
    ) -> HttpResponse:
        """The row's entries in the audit log."""
        if not request.user.has_perm(VIEW_LOG):
            raise PermissionDenied
        found = f"?subject__exact={label_of(self.model)}&subject_id__exact={unquote(object_id)}"
        return HttpResponseRedirect(reverse("admin:ledger_auditentry_changelist") + found)

    def _remember(self, request: Any, obj: Model) -> None:
        rows = self.model._base_manager.select_for_update()
        request.audited_before = values_of(rows.get(pk=obj.pk))

    def _audit(
        self, request: HttpRequest, action: str, obj: Model, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> None:
        if self.audited_by_operation:
            return
        gone, come = changed_fields(before, after)
        note = AuditNote(
            actor=request.user.get_username(),
            action=action,
            subject=label_of(self.model),
            subject_id=str(obj.pk),
            label=str(obj),
            before=gone,
            after=come,
        )
        with transaction.atomic():
            write_audit([note])


class RecordAdmin(AuditedAdmin):
    """Rows that the engine makes: shown in people's units, never added, changed or deleted here.

    A subclass says in `columns` how a field is shown (micros are dollars unless said otherwise), in `hidden` what
    its page leaves out, in `editable` what operators may change, in `only_when_added` what a row that they add
    begins with and keeps, and in `guarded` which of these need a permission of their own. A list that may hold
    millions of rows sets `finders`: then a search is one indexed lookup, and nothing is sorted but by the key.
    """

    columns: Mapping[str, Column] = {}
    editable: tuple[str, ...] = ()
    only_when_added: tuple[str, ...] = ()
    guarded: Mapping[str, str] = {}
    finders: tuple[Finder, ...] = ()
    hidden: tuple[str, ...] = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Only where operators make rows."""
        return bool(self.only_when_added) and bool(super().has_add_permission(request))

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Only where something is editable for this person."""
        return bool(self._editable(request)) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(
        self,
        request: HttpRequest,  # noqa: ARG002  (Django's own)
        obj: Model | None = None,  # noqa: ARG002
    ) -> bool:
        """Never: what happened stays readable."""
        return False

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str | Column]:
        """What may be typed first, then all the rest; when adding only what may be typed."""
        if obj is None:
            return [*self.only_when_added, *self._editable(request)]
        typed = self._typed(request, obj)
        return [*typed, *self._shown(typed)]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str | Column]:
        """Everything that may not be typed."""
        return self._shown(self._typed(request, obj)) if obj else []

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """Large lists are in the order of their key."""
        return () if self.finders else super().get_sortable_by(request)

    def get_search_fields(self, request: HttpRequest) -> Sequence[str]:
        """Django shows the search box only with fields; the finders search."""
        return ("pk",) if self.finders else super().get_search_fields(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Rows by the first finder that knows the text; none when nobody does."""
        text = search_term.strip()
        if not self.finders or not text:
            found: tuple[QuerySet[Any], bool] = super().get_search_results(request, queryset, search_term)
            return found
        for finder in self.finders:
            where = finder(text)
            if where is not None:
                return queryset.filter(where), False
        return queryset.none(), False

    def write_model(self, request: HttpRequest, obj: Any, form: Any, *, change: bool) -> None:  # noqa: ARG002
        """Write only what was changed: the engine may have written the other columns since the page was read."""
        if not change:
            obj.save(force_insert=True)
        elif form.changed_data:
            obj.save(update_fields=form.changed_data)

    def _editable(self, request: HttpRequest) -> tuple[str, ...]:
        return tuple(
            name for name in self.editable if name not in self.guarded or request.user.has_perm(self.guarded[name])
        )

    def _typed(self, request: HttpRequest, obj: Model) -> tuple[str, ...]:
        return self._editable(request) if self.has_change_permission(request, obj) else ()

    def _shown(self, typed: Sequence[str]) -> list[str | Column]:
        left_out = {*typed, *self.hidden}
        names = [field.name for field in self.model._meta.fields if field.name not in left_out]
        return [self.columns.get(name) or (dollars(name) if name.endswith("_micros") else name) for name in names]
