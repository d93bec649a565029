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
from ledger.texts import NOTHING, dollar_text, percent_text, price_text, share_text

SHOWN_MAX = 3
"""Changes that one line of the list tells; the others are in its tooltip and on the entry's page."""

_PRICES = ("price_micros", "odds_micros", "tick_micros")
_SHARES = ("shares_micros", "size_micros")


@admin.display(description="change")
def change_text(entry: AuditEntry) -> str:
    """The first fields that changed, each as `name: before → after`."""
    names = _changed(entry)
    told = [f"{_name(name)}: {_told(entry.before, name)} → {_told(entry.after, name)}" for name in names]
    shown, more = "; ".join(told[:SHOWN_MAX]), told[SHOWN_MAX:]
    if not more:
        return shown or NOTHING
    return format_html('<span>{}; <span title="{}">and {} more</span></span>', shown, "; ".join(more), len(more))


@admin.display(description="change")
def change_table(entry: AuditEntry) -> str:
    """Every field that changed, as a table."""
    names = _changed(entry)
    rows = format_html_join(
        "",
        "<tr><th scope='row'>{}</th><td>{}</td><td>{}</td></tr>",
        ((_name(name), _told(entry.before, name), _told(entry.after, name)) for name in names),
    )
    return format_html(
        "<table class='told'><thead><tr><th>Field</th><th>Before</th><th>After</th></tr></thead>{}</table>", rows
    )


def _changed(entry: AuditEntry) -> list[str]:
    """The fields of the entry, without those that were and stayed the same."""
    same = {name for name, value in entry.before.items() if name in entry.after and entry.after[name] == value}
    return [name for name in {**entry.before, **entry.after} if name not in same]


def _told(values: Mapping[str, Any], name: str) -> str:
    """A value for people; the entry itself keeps what was stored."""
    value = values.get(name, "")
    if isinstance(value, int) and not isinstance(value, bool):
        return _number(value, name)
    if value is None:
        return "none"
    if name == "tiers" and isinstance(value, list) and all(_is_tier(each) for each in value):
        return ", ".join(f"{percent_text(bps)} from {dollar_text(micros)}" for micros, bps in value) or NOTHING
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_tier(each: Any) -> bool:
    return isinstance(each, list) and len(each) == 2 and all(isinstance(part, int) for part in each)


def _number(value: int, name: str) -> str:
    if name.endswith(_PRICES):
        return price_text(value)
    if name.endswith(_SHARES):
        return f"{share_text(value)} shares"
    if name.endswith("_micros"):
        return dollar_text(value)
    return str(value)


def _name(name: str) -> str:
    return name.removesuffix("_micros")


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
