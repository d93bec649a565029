"""Defaults of before count as said only where every description says them; what was certainly said is kept."""

from importlib import import_module
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

from execution.models import Market
from tests.doors import BEGINNING
from tests.factories import MarketFactory

MIGRATION = import_module("execution.migrations.0005_terms_that_the_venue_said")
COLUMNS = ("version", "neg_risk", "tick_micros", "fee_rate_bps", "loaded_at")
DEFAULTS: dict[str, Any] = {"version": "v1", "neg_risk": False, "tick_micros": 10_000, "fee_rate_bps": 0}
OTHERS: dict[str, Any] = {"version": "v2", "neg_risk": True, "tick_micros": 1_000, "fee_rate_bps": 500}


@pytest.mark.parametrize(
    ("before", "loaded", "after"),
    [
        (DEFAULTS, None, ("", None, None, None, None)),
        (DEFAULTS, BEGINNING, ("", False, 10_000, 0, None)),
        (OTHERS, None, ("v2", True, 1_000, 500, None)),
        (OTHERS, BEGINNING, ("v2", True, 1_000, 500, BEGINNING)),
        ({**DEFAULTS, "version": "v9"}, BEGINNING, ("v9", False, 10_000, 0, BEGINNING)),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_what_nobody_need_have_said_is_forgotten(before: dict[str, Any], loaded: Any, after: tuple[Any, ...]) -> None:
    MarketFactory(loaded_at=loaded, **before)
    with connection.schema_editor() as editor:
        MIGRATION.forget_defaults(apps, editor)
    assert Market.objects.values_list(*COLUMNS).get() == after


@pytest.mark.django_db(transaction=True)
def test_undone_it_assumes_what_was_assumed_before() -> None:
    MarketFactory(version="", neg_risk=None, tick_micros=None, fee_rate_bps=None)
    with connection.schema_editor() as editor:
        MIGRATION.assume_defaults(apps, editor)
    assert Market.objects.values(*DEFAULTS).get() == DEFAULTS
