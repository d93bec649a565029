"""What a person changed, as values: who, what, before and after of the fields that differ, never a secret. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

SECRETS = frozenset({"password", "secret", "token", "lock_token", "claim_token", "private_key", "api_key"})
"""Names of fields whose values are never written; that they changed is."""

HIDDEN = "(hidden)"
EXACT_MAX = 2**53
"""Above it other readers of JSON lose digits, so larger integers (token ids) go as text."""

TEXT_MAX = 2_000
"""Characters of one value that are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditNote:
    """One change by a person, ready to be written."""

    actor: str
    action: str
    subject: str
    subject_id: str = ""
    label: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


def plain(value: Any) -> Any:
    """A value as JSON can hold it exactly."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= EXACT_MAX else str(int(value))
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple | set | frozenset):
        found = [plain(each) for each in value]
        return sorted(found, key=str) if isinstance(value, set | frozenset) else found
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    return str(value)[:TEXT_MAX]


def changed_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fields that differ, as they were and as they are; a secret only says that it changed."""
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return (
        {name: _told(name, before[name]) for name in names if name in before},
        {name: _told(name, after[name]) for name in names if name in after},
    )


def _told(name: str, value: Any) -> Any:
    return HIDDEN if name in SECRETS else plain(value)
