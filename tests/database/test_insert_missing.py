"""`ledger.sql.insert_missing`: each row is made once, and whoever made it is told its key."""

import pytest
from django.db import transaction

from copytrading.models import Leader
from ledger.rows import new_row
from ledger.sql import insert_missing
from tests.database.races import race
from tests.factories import LeaderFactory, wallet

NAMES = tuple(sorted(wallet(f"leader {number}") for number in range(20)))


def insert() -> dict[str, int]:
    with transaction.atomic():
        return insert_missing(Leader, [new_row(Leader, wallet=name) for name in NAMES], unique="wallet")


@pytest.mark.django_db
def test_only_the_missing_ones_are_made_and_told() -> None:
    there = LeaderFactory(wallet=NAMES[3], name="Lena")
    made = insert()
    assert made == dict(Leader.objects.exclude(pk=there.pk).values_list("wallet", "pk"))
    assert (len(made), Leader.objects.get(pk=there.pk).name) == (len(NAMES) - 1, "Lena")
    assert insert() == {}


@pytest.mark.django_db
def test_no_rows_make_nothing() -> None:
    assert insert_missing(Leader, [], unique="wallet") == {}


@pytest.mark.django_db(transaction=True)
def test_of_two_at_once_each_row_has_one_maker() -> None:
    first, second = race(insert, insert)
    assert not first.keys() & second.keys()
    assert first | second == dict(Leader.objects.values_list("wallet", "pk"))
