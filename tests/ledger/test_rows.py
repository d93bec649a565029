"""A fast row is the row that the model's constructor makes."""

from typing import Any

import pytest
from django.db import models

from copytrading.models import CopyTrade
from execution.models import Position
from guardrails.models import Budget, GuardrailEvent
from ledger.models import CashBalance, LedgerEntry
from ledger.rows import new_row

ROWS: tuple[tuple[type[models.Model], dict[str, Any]], ...] = (
    (CopyTrade, {"follower_id": 3, "token_id": 2**255, "status": "SKIPPED", "reasons": [{"reason": "BELOW_MINIMUM"}]}),
    (LedgerEntry, {"key": "trade:1:BUY", "amount_micros": 5, "trade_id": 1}),
    (CashBalance, {"follower_id": 3, "cash_micros": 7}),
    (Position, {"follower_id": 3, "token_id": 9}),
    (Budget, {"scope": "GLOBAL", "period": "DAY"}),
    (GuardrailEvent, {"reason": "NO_FILL", "trade_id": None}),
)


@pytest.mark.parametrize(("model", "values"), ROWS, ids=lambda told: getattr(told, "__name__", ""))
def test_it_holds_what_the_constructor_would_have_set(model: type[models.Model], values: dict[str, Any]) -> None:
    mine, theirs = vars(new_row(model, **values)), vars(model(**values))
    state, their_state = mine.pop("_state"), theirs.pop("_state")
    assert (state.adding, state.db, state.fields_cache) == (
        their_state.adding,
        their_state.db,
        their_state.fields_cache,
    )
    assert {name: _comparable(value) for name, value in mine.items()} == {
        name: _comparable(value) for name, value in theirs.items()
    }


def _comparable(value: Any) -> Any:
    return type(value).__name__ if hasattr(value, "resolve_expression") else value


def test_two_rows_share_no_default_that_can_be_changed_in_place() -> None:
    first, second = new_row(CopyTrade), new_row(CopyTrade)
    first.reasons.append({"reason": "NO_FILL"})
    assert second.reasons == []
    assert first._state is not second._state


def test_a_name_that_is_no_column_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Budget has no columns \['spent'\]"):
        new_row(Budget, spent=1)


@pytest.mark.django_db
def test_it_can_be_saved_and_read_again() -> None:
    row = new_row(Budget, scope="GLOBAL", period="DAY", starts_at="2026-11-21T00:00:00+00:00", spent_micros=4)
    row.save()
    assert Budget.objects.get(pk=row.pk).spent_micros == 4
