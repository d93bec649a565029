"""`ledger.sql.compare_and_set`: many rows in one statement, each won by exactly one writer, losers told."""

from datetime import timedelta
from threading import Event

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from copytrading.models import CopyTrade
from copytrading.states import Status
from ledger.sql import compare_and_set, database_now
from tests.database.races import race
from tests.doors import BEGINNING
from tests.factories import CopyConfigFactory, CopyTradeFactory, SignalFactory, trade_in

ROWS = 40
QUESTIONS_MAX = 100_000
"""A question takes about 0.1 ms; the race itself gives up after a minute."""

MATCH = ("id", "status", "lock_token")
ASSIGN = ("status", "lock_token", "reasons", "submitted_at")


def rows_for(trades: list[CopyTrade], token: str) -> list[tuple[object, ...]]:
    reasons = [{"reason": "NO_FILL", "value": None}]
    return [(row.pk, row.status, row.lock_token, "LIVE", token, reasons, BEGINNING) for row in trades]


def take(trades: list[CopyTrade], token: str) -> set[int]:
    with transaction.atomic():
        return compare_and_set(CopyTrade, match=MATCH, assign=ASSIGN, rows=rows_for(trades, token))


def pending(count: int) -> list[CopyTrade]:
    config = CopyConfigFactory()
    return [CopyTradeFactory(config=config, signal=SignalFactory(), pending=True) for _ in range(count)]


def check_winners(trades: list[CopyTrade], won: list[set[int]]) -> None:
    assert won[0] & won[1] == set()
    assert won[0] | won[1] == {row.pk for row in trades}
    held = dict(CopyTrade.objects.values_list("pk", "lock_token"))
    assert [{key for key, token in held.items() if token == mine} for mine in "ab"] == won


@pytest.mark.django_db
def test_rows_that_are_as_seen_change_in_one_statement() -> None:
    trades = pending(3)
    with CaptureQueriesContext(connection) as queries:
        changed = compare_and_set(CopyTrade, match=MATCH, assign=ASSIGN, rows=rows_for(trades, "b"))
    updates = [query for query in queries if query["sql"].startswith("UPDATE")]
    assert (changed, len(updates)) == ({row.pk for row in trades}, 1)
    for row in CopyTrade.objects.all():
        assert (row.status, row.lock_token, row.submitted_at) == ("LIVE", "b", BEGINNING)
        assert row.reasons == [{"reason": "NO_FILL", "value": None}]


@pytest.mark.django_db
def test_row_that_another_token_holds_is_reported_as_lost_and_left_alone() -> None:
    mine, theirs = pending(2)
    CopyTrade.objects.filter(pk=theirs.pk).update(lock_token="theirs")
    assert take([mine, theirs], "b") == {mine.pk}
    theirs.refresh_from_db()
    assert (theirs.status, theirs.lock_token) == (Status.PENDING, "theirs")


@pytest.mark.django_db
def test_row_that_moved_on_is_lost() -> None:
    seen = pending(1)
    assert take(seen, "b") == {seen[0].pk}
    assert take(seen, "b") == set()


@pytest.mark.django_db
def test_row_that_does_not_exist_is_lost() -> None:
    row = trade_in(Status.PENDING)
    row.pk += 1_000
    assert take([row], "b") == set()


@pytest.mark.django_db
def test_no_rows_need_no_statement() -> None:
    with CaptureQueriesContext(connection) as queries:
        assert take([], "b") == set()
    assert not [query for query in queries if "UPDATE" in query["sql"]]


@pytest.mark.django_db
def test_empty_and_null_values_are_written_as_such() -> None:
    row = trade_in(Status.PENDING)
    CopyTrade.objects.filter(pk=row.pk).update(submitted_at=BEGINNING, executor="0xab")
    values = [(row.pk, None, "", [], 7)]
    compare_and_set(CopyTrade, match=("id",), assign=("submitted_at", "executor", "reasons", "lease_term"), rows=values)
    row.refresh_from_db()
    assert (row.submitted_at, row.executor, row.reasons, row.lease_term) == (None, "", [], 7)


@pytest.mark.django_db(transaction=True)
def test_two_connections_win_each_row_exactly_once() -> None:
    trades = pending(ROWS)
    check_winners(trades, race(lambda: take(trades, "a"), lambda: take(trades, "b")))


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_batches_in_opposite_order_do_not_wait_for_each_other() -> None:
    trades = pending(3)
    held = Event()

    def hold_the_middle() -> set[int]:
        with transaction.atomic(), connection.cursor() as cursor:
            CopyTrade.objects.select_for_update().get(pk=trades[1].pk)
            held.set()
            # Both batches stand at the middle row, each with what it has locked before.
            for _question in range(QUESTIONS_MAX):
                cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
                if cursor.fetchone()[0] == 2:
                    return set()
        raise AssertionError("the two batches never waited")

    def take_in_their_order(batch: list[CopyTrade], token: str) -> set[int]:
        held.wait()
        with connection.cursor() as cursor:
            # The plan of a large table: each row of the batch is looked up by its key.
            cursor.execute("SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off")
        return take(batch, token)

    _none, *won = race(
        hold_the_middle, lambda: take_in_their_order(trades, "a"), lambda: take_in_their_order(trades[::-1], "b")
    )
    check_winners(trades, won)


@pytest.mark.django_db(transaction=True)
def test_many_small_claims_from_two_connections_win_each_row_exactly_once() -> None:
    trades = pending(ROWS)
    won = race(
        lambda: [key for row in trades for key in take([row], "a")],
        lambda: [key for row in reversed(trades) for key in take([row], "b")],
    )
    assert sorted(won[0] + won[1]) == sorted(row.pk for row in trades)


@pytest.mark.django_db
def test_clock_of_the_database_is_aware_and_moves_within_a_transaction() -> None:
    first, second = database_now(), database_now()
    assert first.utcoffset() == timedelta(0)
    assert first <= second
