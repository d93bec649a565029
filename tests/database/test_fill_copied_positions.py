"""The migration that fills CopiedPosition says what the fills themselves would have said."""

from importlib import import_module

import pytest
from django.apps import apps
from django.db import connection

from copytrading.models import CopiedPosition, CopyConfig
from tests.operations.deals import bought, sold

MIGRATION = import_module("copytrading.migrations.0006_fill_copied_positions")
SUMS = ("config_id", "token_id", "size_micros", "spent_micros", "received_micros", "realised_micros", "fees_micros")


def fill() -> None:
    with connection.schema_editor() as editor:
        MIGRATION.fill(apps, editor)


@pytest.mark.parametrize("price", ["0.30", "0.70"])
@pytest.mark.django_db(transaction=True)
def test_fills_booked_before_are_summed_as_they_would_have_been(fay_config: CopyConfig, price: str) -> None:
    bought(fay_config, "0.40", fee="0.10")
    bought(fay_config, "0.60")
    sold(fay_config, price, shares=50, fee="0.20")
    kept = list(CopiedPosition.objects.values_list(*SUMS))
    CopiedPosition.objects.all().delete()
    fill()
    assert list(CopiedPosition.objects.values_list(*SUMS)) == kept


@pytest.mark.django_db(transaction=True)
def test_a_second_run_adds_nothing(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.40")
    kept = list(CopiedPosition.objects.values_list(*SUMS))
    fill()
    assert list(CopiedPosition.objects.values_list(*SUMS)) == kept
