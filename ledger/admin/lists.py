"""Lists that stay fast at a million rows: bounded counts, bounded pages, order by the key, time by a search for keys.

Nothing here counts, sorts or lists a whole table.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from unfold.views import ChangeList

from ledger.moments import keys_between
from ledger.sql import database_now

COUNTED_MAX = 10_000
"""Rows that a list counts and pages through; what lies behind them is reached by "older" or by a filter."""

Finder = Callable[[str], Q | None]
"""One way to find rows by what was typed: an indexed lookup, or None when the text is not of its kind."""


PEOPLE_MAX = 5
"""People whose name has the text; whoever has more finds them in the lists of people."""


def by_number(column: str) -> Finder:
    """Finds rows by a number in this column."""

    def find(text: str) -> Q | None:
        return Q(**{column: int(text)}) if text.isascii() and text.isdigit() and len(text) < 19 else None

    return find


def by_person(model: type[Model], *paths: str) -> Finder:
    """Finds rows by the name or wallet of a follower or leader that a path leads to, such as `config__follower`.

    The people are looked up first, in their own small table: then an index of the rows can be used.
    """

    def find(text: str) -> Q:
        found = Q(pk__in=())
        for path in paths:
            people = _end_of(model, path)._default_manager.filter(Q(name__icontains=text) | Q(wallet=text.lower()))
            found |= Q(**{f"{path}__in": list(people.values_list("pk", flat=True)[:PEOPLE_MAX])})
        return found

    return find


def _end_of(model: type[Model], path: str) -> type[Model]:
    for name in path.split("__"):
        related = model._meta.get_field(name).related_model
        assert isinstance(related, type)
        model = related
    return model


class BoundedPaginator(Paginator):  # type: ignore[type-arg]  # the stubs are generic, Django is not
    """Counts at most COUNTED_MAX rows; a whole table is told by the planner's estimate."""

    template_name = "admin/bounded_pagination.html"

    @cached_property
    def count(self) -> int:
        """Rows that the pages hold: all of them, or the first COUNTED_MAX."""
        return min(self._seen, COUNTED_MAX)

    @property
    def capped(self) -> bool:
        """Whether there are more rows than the pages hold."""
        return self._seen > COUNTED_MAX

    @cached_property
    def told(self) -> str:
        """How many rows there are, as far as it is known."""
        if not self.capped:
            return f"{self.count:,}"
        return f"about {self._estimate:,}" if self._estimate else f"more than {COUNTED_MAX:,}"

    @cached_property
    def _seen(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        if self._estimate > COUNTED_MAX:
            return self._estimate
        # Without order: a filter may then use its own index.
        return rows.order_by().values("pk")[: COUNTED_MAX + 1].count()

    @cached_property
    def _estimate(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet) or rows.query.where or connection.vendor != "postgresql":
            return 0
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [rows.model._meta.db_table]
            )
            return max(0, int(cursor.fetchone()[0]))


class BoundedChangeList(ChangeList):  # type: ignore[misc]  # published without types
    """A list that sorts only by what it offers for sorting, and that leads on to rows behind its last page."""

    def get_ordering_field(self, field_name: Any) -> Any:
        """The field to sort by; None for a column that is not offered, whatever the address says."""
        if self.sortable_by is not None and field_name not in self.sortable_by:
            return None
        return super().get_ordering_field(field_name)

    @property
    def older_url(self) -> str:
        """Where the rows behind the last page of a capped list begin; empty when there are none."""
        last = self.page_num == self.paginator.num_pages
        if not (self.paginator.capped and last and len(self.result_list)):
            return ""
        if list(self.model_admin.get_ordering(self.request_of_list) or ())[:1] != ["-id"]:
            return ""
        key = list(self.result_list)[-1].pk
        return str(self.get_query_string({"id__lt": key}, ["p"]))

    def get_results(self, request: HttpRequest) -> None:
        """Read the page."""
        self.request_of_list = request
        super().get_results(request)
        # The theme would tell the bounded count beside the title; the foot of the list tells it in words.
        self.full_result_count = self.result_count


_SPANS: dict[str, tuple[str, timedelta, timedelta]] = {
    "hour": ("Last hour", timedelta(hours=1), timedelta()),
    "24h": ("Last 24 hours", timedelta(hours=24), timedelta()),
    "7d": ("Last 7 days", timedelta(days=7), timedelta()),
    "30d": ("Last 30 days", timedelta(days=30), timedelta()),
}
_DAYS = {"today": 0, "yesterday": 1} | {f"{number} days ago": number for number in range(2, 8)}


def span_of(name: str, now: datetime) -> tuple[datetime, datetime | None] | None:
    """The moments that a choice of the time filter stands for: [since, until); None for an unknown choice."""
    if name in _SPANS:
        return now - _SPANS[name][1], None
    if name not in _DAYS:
        return None
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    since = midnight - timedelta(days=_DAYS[name])
    return since, since + timedelta(days=1)


def moments_of(column: str) -> type[admin.SimpleListFilter]:
    """A filter by a column of moments that rise with the key: it searches for the keys, so it needs no index."""

    class Moments(admin.SimpleListFilter):
        title = column.removesuffix("_at").replace("_", " ")
        parameter_name = column.removesuffix("_at")

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  (Django's own)
            """Spans, then UTC days."""
            spans = [(name, label) for name, (label, _since, _until) in _SPANS.items()]
            return [*spans, *((name, f"{name.capitalize()} (UTC)") for name in _DAYS)]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Model]) -> QuerySet[Model]:  # noqa: ARG002
            """Rows of the span, by a range of keys and then exactly."""
            span = span_of(self.value() or "", database_now()) if self.value() else None
            if span is None:
                return queryset
            since, until = span
            keys = keys_between(queryset.model, column, since, until)
            exact = Q(**{f"{column}__gte": since}) & (Q(**{f"{column}__lt": until}) if until else Q())
            return queryset.filter(exact, pk__gte=keys.first, pk__lte=keys.last)

    Moments.__name__ = f"MomentsOf_{column}"
    return Moments
