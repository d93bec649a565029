"""The switches as people throw them: many at once, in one transaction, with an entry in the audit log for each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from guardrails.circuits import Circuit
from guardrails.models import Breaker, Switch, whom, words_of
from guardrails.operations import override_breaker
from ledger.audit import AuditNote, plain
from ledger.operations import write_audit
from ledger.sql import upsert_rows


@dataclass(frozen=True, slots=True, order=True)
class SwitchName:
    """Which switch: its kind, its scope and its key. As text it is what the switch's own row is called."""

    kind: str
    scope: str
    key: str = ""

    def __str__(self) -> str:
        return f"{words_of(self.kind)} of {whom(self.scope, self.key)}"


def throw_switches(
    names: Sequence[SwitchName], *, on: bool, who: str, why: str, now: datetime
) -> tuple[SwitchName, ...]:
    """Turn switches on or off in a person's name; engines read them before every send.

    Returns those that changed: a switch that stands so already, with the same words, is left alone and not audited.
    """
    wanted = sorted(set(names))
    with transaction.atomic():
        before = _locked(wanted)
        changed = tuple(name for name in wanted if not _stands(before.get(name), on=on, why=why))
        rows = [
            Switch(kind=name.kind, scope=name.scope, key=name.key, on=on, why=why, changed_by=who, changed_at=now)
            for name in changed
        ]
        upsert_rows(Switch, rows, unique=("kind", "scope", "key"), update=("on", "why", "changed_by", "changed_at"))
        after = _locked(changed)
        write_audit([_note(name, before.get(name), after[name], who=who, why=why) for name in changed])
    return changed


def overrule_breakers(breaker_ids: Sequence[int], *, to: str, who: str, why: str, now: datetime) -> tuple[int, ...]:
    """Set breakers in a person's name, all or none; only an open one can be let probe. Returns those that changed."""
    with transaction.atomic():
        rows = Breaker.objects.select_for_update().filter(pk__in=breaker_ids).exclude(state=to).order_by("pk")
        changed = list(rows.filter(state=Breaker.State.OPEN) if to == Breaker.State.HALF_OPEN else rows)
        notes = []
        for row in changed:
            circuit = override_breaker(row.pk, to=to, who=who, why=why, now=now).circuit
            notes.append(_overrule(row, circuit, who=who, why=why))
        write_audit(notes)
    return tuple(row.pk for row in changed)


def _overrule(row: Breaker, circuit: Circuit, *, who: str, why: str) -> AuditNote:
    return AuditNote(
        actor=who,
        action="override",
        subject=Breaker._meta.label_lower,
        subject_id=str(row.pk),
        label=str(row),
        before={"state": row.state, "probe_at": plain(row.probe_at)},
        after={"state": circuit.state.value, "probe_at": plain(circuit.probe_at)},
        why=why,
    )


def _stands(row: Switch | None, *, on: bool, why: str) -> bool:
    # A switch that was never thrown is off.
    return (not on) if row is None else row.on == on and (row.why == why or not on)


def _locked(names: Sequence[SwitchName]) -> dict[SwitchName, Switch]:
    if not names:
        return {}
    rows = Switch.objects.select_for_update().filter(
        kind__in={name.kind for name in names}, key__in={name.key for name in names}
    )
    found = {SwitchName(row.kind, row.scope, row.key): row for row in rows.order_by("pk")}
    return {name: found[name] for name in names if name in found}


def _note(name: SwitchName, before: Switch | None, after: Switch, *, who: str, why: str) -> AuditNote:
    verb = {("PAUSE", True): "pause", ("PAUSE", False): "resume"}.get(
        (name.kind, after.on), f"{name.kind.lower()} {'on' if after.on else 'off'}"
    )
    return AuditNote(
        actor=who,
        action=verb,
        subject=Switch._meta.label_lower,
        subject_id=str(after.pk),
        label=str(name),
        before={} if before is None else {"on": before.on, "why": before.why},
        after={"on": after.on, "why": after.why},
        why=why,
    )
