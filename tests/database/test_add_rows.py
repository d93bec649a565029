"""`ledger.sql.add_rows`: sums that many writers add to, without a read, a lost addition or a deadlock."""

from datetime import date

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from copytrading.models import CopiedPosition, CopyConfig
from ledger.models import ReferralVolume
from ledger.sql import add_rows
from ledger.units import ONE
from tests.database.races import race
from tests.factories import CopyConfigFactory, FollowerFactory, digest

TOKENS = [2**256 - 1 - number for number in range(40)]
ADD = ("size_micros", "spent_micros")
KEEP = ("condition_id", "received_micros", "realised_micros", "fees_micros")


Row = tuple[int | str, ...]


def row(config: CopyConfig, token: int, size: int, spent: int = 0) -> Row:
    return (config.pk, token, size, spent, digest("condition"), 0, 0, 0)


def add(rows: list[Row]) -> None:
    with transaction.atomic():
        add_rows(CopiedPosition, rows, unique=("config", "token_id"), add=ADD, keep=KEEP)


def sums() -> dict[int, tuple[int, int]]:
    return {
        token: (size, spent)
        for token, size, spent in CopiedPosition.objects.values_list("token_id", "size_micros", "spent_micros")
    }


@pytest.mark.django_db
def test_rows_are_inserted_and_then_added_to() -> None:
    config = CopyConfigFactory()
    add([row(config, TOKENS[0], 5 * ONE, 3)])
    add([row(config, TOKENS[0], -7 * ONE, 4), row(config, TOKENS[1], ONE)])
    assert sums() == {TOKENS[0]: (-2 * ONE, 7), TOKENS[1]: (ONE, 0)}


@pytest.mark.django_db
def test_columns_that_are_kept_are_set_once() -> None:
    config = CopyConfigFactory()
    add([(config.pk, TOKENS[0], 5, 0, "first", 0, 0, 9)])
    add([(config.pk, TOKENS[0], 1, 0, "second", 0, 0, 100)])
    found = CopiedPosition.objects.get()
    assert (found.size_micros, found.fees_micros, found.condition_id) == (6, 9, "first")


@pytest.mark.django_db
def test_a_day_is_a_key_like_any_other() -> None:
    referrer = FollowerFactory()
    for micros in (5, 6):
        rows = [(referrer.pk, date(2026, 11, 21), micros)]
        add_rows(ReferralVolume, rows, unique=("referrer", "day"), add=("volume_micros",))
    assert ReferralVolume.objects.get(day=date(2026, 11, 21)).volume_micros == 11


@pytest.mark.django_db
def test_many_rows_are_one_statement_and_none_is_none() -> None:
    config = CopyConfigFactory()
    with CaptureQueriesContext(connection) as queries:
        add([])
    assert not any("copiedposition" in query["sql"] for query in queries)
    with CaptureQueriesContext(connection) as queries:
        add([row(config, token, 1) for token in TOKENS])
    assert sum("copiedposition" in query["sql"] for query in queries) == 1
    assert sums() == dict.fromkeys(TOKENS, (1, 0))


@pytest.mark.django_db(transaction=True)
def test_a_row_that_alone_breaks_a_constraint_is_refused_and_nothing_is_added() -> None:
    config = CopyConfigFactory()
    add([row(config, TOKENS[0], 5, spent=10)])
    with pytest.raises(IntegrityError):
        add([row(config, TOKENS[1], 1), row(config, TOKENS[0], 5, spent=-1)])
    assert sums() == {TOKENS[0]: (5, 10)}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("run", range(3))
def test_two_connections_that_add_in_opposite_orders_lose_nothing_and_never_wait_for_each_other(run: int) -> None:
    config = CopyConfigFactory()

    def add_many(tokens: list[int]) -> None:
        for _time in range(10):
            add([row(config, token, 1, 2) for token in tokens])

    race(lambda: add_many(TOKENS), lambda: add_many(TOKENS[::-1]))
    assert sums() == dict.fromkeys(TOKENS, (20, 40))
