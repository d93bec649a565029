"""What an audit entry tells: the fields that differ, exactly, and never a secret."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from ledger.audit import HIDDEN, TEXT_MAX, changed_fields, plain


@pytest.mark.parametrize(
    ("before", "after", "gone", "come"),
    [
        ({"a": 1, "b": 2}, {"a": 1, "b": 3}, {"b": 2}, {"b": 3}),
        ({}, {"a": 1}, {}, {"a": 1}),
        ({"a": 1}, {}, {"a": 1}, {}),
        ({"a": 1}, {"a": 1}, {}, {}),
        ({"a": None}, {"a": 0}, {"a": None}, {"a": 0}),
        ({"password": "x"}, {"password": "y"}, {"password": HIDDEN}, {"password": HIDDEN}),
        ({}, {"password": "y", "name": "n"}, {}, {"password": HIDDEN, "name": "n"}),
    ],
)
def test_only_what_differs_is_told(before: Any, after: Any, gone: Any, come: Any) -> None:
    assert changed_fields(before, after) == (gone, come)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (True, True),
        (2**53, 2**53),
        (2**53 + 1, str(2**53 + 1)),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (Decimal("1.50"), "1.50"),
        (frozenset({"b", "a"}), ["a", "b"]),
        ([[0, 500]], [[0, 500]]),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        ("x" * 5_000, "x" * TEXT_MAX),
    ],
)
def test_values_are_told_as_json_holds_them_exactly(value: Any, told: Any) -> None:
    assert plain(value) == told
