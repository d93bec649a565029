"""Writes of the guardrails: switches, events in bulk, and budgets on locked rows.

The budget functions run inside the caller's transaction and lock rows in key order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from guardrails.breakers import overridden
from guardrails.budgets import BudgetKey, Spent
from guardrails.circuits import Circuit, State, counts_of
from guardrails.intents import Reason, Refusal, Unit
from guardrails.models import Breaker, Budget, GuardrailEvent, Switch
from guardrails.queries import BreakerName, BreakerRow, breaker_row
from ledger.rows import new_row
from ledger.sql import insert_rows, upsert_rows

WHY_MAX = 200
"""Characters of a reason that a row holds."""


def set_switch(  # noqa: PLR0913  (one row, said in full at every call)
    *, kind: str, scope: str, key: str, on: bool, who: str, why: str, now: datetime
) -> Switch:
    """Turn a pause or a dry run on or off; engines read it before every send."""
    with transaction.atomic():
        switch, _created = Switch.objects.update_or_create(
            kind=kind, scope=scope, key=key, defaults={"on": on, "why": why, "changed_by": who, "changed_at": now}
        )
    return switch


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerChange:
    """A breaker's new state, and the version of the row that it was made from; 0 for one without a row."""

    name: BreakerName
    circuit: Circuit
    version: int
    why: str


def ensure_breakers(names: Iterable[BreakerName]) -> None:
    """Give these breakers a closed row each, so that people find them before they first open."""
    wanted = [Breaker(kind=kind.value, scope=scope.value, key=key) for kind, scope, key in names]
    rows = Breaker.objects.filter(key__in={row.key for row in wanted})
    known = set(rows.values_list("kind", "scope", "key"))
    missing = [row for row in wanted if (row.kind, row.scope, row.key) not in known]
    Breaker.objects.bulk_create(missing, ignore_conflicts=True)


def change_breaker(change: BreakerChange, *, now: datetime) -> bool:
    """Write a breaker's own change of state; False when the row is no longer what the change was made from."""
    kind, scope, key = change.name
    with transaction.atomic():
        if not change.version:
            new = Breaker(kind=kind.value, scope=scope.value, key=key)
            Breaker.objects.bulk_create([new], ignore_conflicts=True)
        row = Breaker.objects.get(kind=kind.value, scope=scope.value, key=key)
        return _set_circuit(row, change.circuit, version=change.version, who="", why=change.why, now=now)


def override_breaker(breaker_id: int, *, to: str, who: str, why: str, now: datetime) -> BreakerRow:
    """Set a breaker in a person's name; engines follow within a second.

    CLOSED forgets what was counted, OPEN stays until a person says otherwise, HALF_OPEN ends the cool-down now.
    Raises Breaker.DoesNotExist, and ValueError for any other state.
    """
    with transaction.atomic():
        row = Breaker.objects.select_for_update().get(pk=breaker_id)
        circuit = overridden(breaker_row(row).circuit, State(to), now=now)
        _set_circuit(row, circuit, version=row.version, who=who, why=why, now=now)
        row.refresh_from_db()
    return breaker_row(row)


def _set_circuit(row: Breaker, circuit: Circuit, *, version: int, who: str, why: str, now: datetime) -> bool:
    changed = Breaker.objects.filter(pk=row.pk, version=version).update(
        state=circuit.state.value,
        counts=counts_of(circuit),
        why=why[:WHY_MAX],
        opened_at=circuit.opened_at,
        probe_at=circuit.probe_at,
        changed_by=who,
        changed_at=now,
        version=version + 1,
    )
    told = {State.OPEN: Reason.BREAKER_OPENED, State.CLOSED: Reason.BREAKER_CLOSED}.get(circuit.state)
    # Half open is not always written: what opened again has another moment of opening.
    anew = row.state != circuit.state or row.opened_at != circuit.opened_at
    if changed and told is not None and anew:
        record_events([(None, _incident(told, circuit, about=str(row)))], now=now)
    return changed == 1


def _incident(told: Reason, circuit: Circuit, *, about: str) -> Refusal:
    if circuit.lost_micros:
        return Refusal(told, circuit.lost_micros, None, Unit.MONEY, about)
    bad, seen = (circuit.bad, circuit.seen) if circuit.seen else (None, None)
    return Refusal(told, bad, seen, Unit.COUNT, about)


def record_events(refusals: Iterable[tuple[int | None, Refusal]], *, now: datetime, subject: str = "") -> int:
    """Write refusals and incidents in bulk, each with the id of its trade or None. Returns how many.

    Inside the caller's transaction.
    """
    rows = [
        new_row(
            GuardrailEvent,
            reason=refusal.reason.value,
            value=refusal.value,
            limit=refusal.limit,
            unit=refusal.unit.value,
            trade_id=trade_id,
            subject=refusal.subject or subject,
            created_at=now,
        )
        for trade_id, refusal in refusals
    ]
    insert_rows(GuardrailEvent, rows)
    return len(rows)


def lock_budgets(keys: Iterable[BudgetKey]) -> dict[BudgetKey, Spent]:
    """Create what is missing and lock the rows in key order, for the rest of the caller's transaction."""
    wanted = sorted(set(keys))
    if not wanted:
        return {}
    rows = Budget.objects.filter(
        key__among={key.key for key in wanted}, starts_at__in={key.starts_at for key in wanted}
    )
    # Keys of the database are plain texts: equal to, and hashed like, the members of the enumerations.
    known = set(rows.values_list(*_KEY))
    missing = [key for key in wanted if key not in known]
    # Made in key order and before anything is locked: two transactions that need the same cannot block each other.
    Budget.objects.bulk_create([Budget(**_columns(key)) for key in missing], ignore_conflicts=True)
    locked = rows.select_for_update().order_by(*_KEY)
    found = {row[:4]: Spent(*row[4:]) for row in locked.values_list(*_KEY, "spent_micros", "count")}
    return {key: found[key] for key in wanted}


def write_budgets(before: Mapping[BudgetKey, Spent], after: Mapping[BudgetKey, Spent]) -> None:
    """Write back what changed, once, on rows this transaction has locked."""
    changed = [key for key in sorted(after) if after[key] != before.get(key)]
    rows = [new_row(Budget, **_columns(key), spent_micros=after[key].micros, count=after[key].count) for key in changed]
    upsert_rows(Budget, rows, unique=("scope", "key", "period", "starts_at"), update=("spent_micros", "count"))


def release_budgets(releases: Sequence[tuple[BudgetKey, Spent]]) -> None:
    """Give back what was granted and not used."""
    before = lock_budgets(key for key, _spent in releases)
    after = dict(before)
    for key, back in releases:
        held = after[key]
        after[key] = Spent(held.micros - back.micros, held.count - back.count)
    write_budgets(before, after)


_KEY = ("scope", "key", "period", "starts_at")


def _columns(key: BudgetKey) -> dict[str, object]:
    return {"scope": key.scope.value, "key": key.key, "period": key.period.value, "starts_at": key.starts_at}
