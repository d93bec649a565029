"""Writes of the guardrails: switches, events in bulk, and budgets on locked rows.

The budget functions run inside the caller's transaction and lock rows in key order.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import transaction

from guardrails.budgets import BudgetKey, BudgetScope, Period, Spent
from guardrails.intents import Refusal
from guardrails.models import Budget, GuardrailEvent, Switch
from ledger.sql import insert_rows, upsert_rows


def set_switch(  # noqa: PLR0913  (one row, said in full at every call)
    *, kind: str, scope: str, key: str, on: bool, who: str, why: str, now: datetime
) -> Switch:
    """Turn a pause or a dry run on or off; engines read it before every send."""
    with transaction.atomic():
        switch, _created = Switch.objects.update_or_create(
            kind=kind, scope=scope, key=key, defaults={"on": on, "why": why, "changed_by": who, "changed_at": now}
        )
    return switch


def record_events(refusals: Iterable[tuple[int | None, Refusal]], *, now: datetime, subject: str = "") -> int:
    """Write refusals and incidents in bulk, each with the id of its trade or None. Returns how many.

    Inside the caller's transaction.
    """
    rows = [
        GuardrailEvent(
            reason=refusal.reason.value,
            value=refusal.value,
            limit=refusal.limit,
            unit=refusal.unit.value,
            trade_id=trade_id,
            subject=subject,
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
    Budget.objects.bulk_create([Budget(**_columns(key)) for key in wanted], ignore_conflicts=True)
    found: dict[BudgetKey, Spent] = {}
    names = {key.key for key in wanted}
    starts = {key.starts_at for key in wanted}
    rows = Budget.objects.select_for_update().filter(key__in=names, starts_at__in=starts)
    for row in rows.order_by("scope", "key", "period", "starts_at"):
        key = BudgetKey(BudgetScope(row.scope), row.key, Period(row.period), row.starts_at)
        found[key] = Spent(row.spent_micros, row.count)
    return {key: found[key] for key in wanted}


def write_budgets(before: Mapping[BudgetKey, Spent], after: Mapping[BudgetKey, Spent]) -> None:
    """Write back what changed, once, on rows this transaction has locked."""
    changed = [key for key in sorted(after) if after[key] != before.get(key)]
    rows = [Budget(**_columns(key), spent_micros=after[key].micros, count=after[key].count) for key in changed]
    upsert_rows(Budget, rows, unique=("scope", "key", "period", "starts_at"), update=("spent_micros", "count"))


def release_budgets(releases: Sequence[tuple[BudgetKey, Spent]]) -> None:
    """Give back what was granted and not used."""
    before = lock_budgets(key for key, _spent in releases)
    after = dict(before)
    for key, back in releases:
        held = after[key]
        after[key] = Spent(held.micros - back.micros, held.count - back.count)
    write_budgets(before, after)


def _columns(key: BudgetKey) -> dict[str, object]:
    return {"scope": key.scope.value, "key": key.key, "period": key.period.value, "starts_at": key.starts_at}
