"""The log of what people changed: read only, here and in the database."""

import json
from collections.abc import Mapping
from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.utils.html import format_html, format_html_join

from ledger.admin.lists import moments_of
from ledger.admin.records import RecordAdmin
from ledger.models import AuditEntry
from ledger.texts import NOTHING

SHOWN_MAX = 3
"""Changes that one line of the list tells."""


@admin.display(description="change")
def change_text(entry: AuditEntry) -> str:
    """The first fields that changed, each as `name: before → after`."""
    names = list({**entry.before, **entry.after})
    told = [f"{name}: {_told(entry.before, name)} → {_told(entry.after, name)}" for name in names[:SHOWN_MAX]]
    return "; ".join(told) + (f"; and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else "") or NOTHING


@admin.display(description="change")
def change_table(entry: AuditEntry) -> str:
    """Every field that changed, as a table."""
    names = list({**entry.before, **entry.after})
    rows = format_html_join(
        "",
        "<tr><th scope='row'>{}</th><td>{}</td><td>{}</td></tr>",
        ((name, _told(entry.before, name), _told(entry.after, name)) for name in names),
    )
    return format_html(
        "<table class='told'><thead><tr><th>Field</th><th>Before</th><th>After</th></tr></thead>{}</table>", rows
    )


def _told(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _by_subject(text: str) -> Q | None:
    kind, _blank, key = text.partition(" ")
    if "." not in kind:
        return None
    return Q(subject=kind.lower(), subject_id=key.strip()) if key.strip() else Q(subject=kind.lower())


def _by_actor(text: str) -> Q:
    return Q(actor=text)


@admin.register(AuditEntry)
class AuditEntryAdmin(RecordAdmin):
    """Who changed what, when and why."""

    columns = {"before": change_table}
    hidden = ("after",)
    list_display = ("created_at", "actor", "action", "subject", "subject_id", "label", change_text, "why")
    list_filter = (moments_of("created_at"),)
    finders = (_by_subject, _by_actor)
    search_help_text = "A user name, or a subject as in the list: copytrading.follower 7"
    ordering = ("-id",)
