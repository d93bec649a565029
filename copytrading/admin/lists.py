"""What the lists of copy trading share: whom a search finds, and filters that look back a bounded way."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from copytrading.explain import finding, reasons

PERSON = ("name", "wallet__exact")
BOTH_PEOPLE = tuple(f"{who}__{column}" for who in ("follower", "leader") for column in PERSON)
"""Search fields of rows that have a follower and a leader."""


def among_newest(column: str, values: Sequence[str]) -> type[admin.SimpleListFilter]:
    """A filter by a column without an index, among the newest rows."""

    class AmongNewest(admin.SimpleListFilter):
        title = f"{column.replace('_', ' ')} (newest {finding.NEWEST_KEYS:,})"
        parameter_name = column

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002  (Django's own)
            """The known values; the table is not asked."""
            return [(value, reasons.title(value)) for value in values]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:  # noqa: ARG002
            """Among the newest keys."""
            if self.value() not in values:
                return queryset
            return queryset.filter(finding.among_newest(queryset.model), **{column: self.value()})

    AmongNewest.__name__ = f"AmongNewest_{column}"
    return AmongNewest
