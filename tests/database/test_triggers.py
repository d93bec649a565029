"""What the database refuses on its own, whoever writes: illegal moves, a second order hash, a changed ledger entry."""

import itertools
from importlib import import_module

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction

from copytrading.models import CopyTrade
from copytrading.states import FIRST, MOVES, Status
from ledger.entries import deposit
from ledger.models import LedgerEntry
from ledger.operations import write_entries
from tests.factories import CopyConfigFactory, CopyTradeFactory, SignalFactory, columns_of, digest, trade_in

GUARD = import_module("copytrading.migrations.0004_guard_reversal")

PAIRS = [pair for pair in itertools.product(Status, Status) if pair[0] != pair[1]]

on_postgres = pytest.mark.postgres


def entry() -> LedgerEntry:
    write_entries([(deposit(1, 5, "first"), None)])
    return LedgerEntry.objects.get()


def execute(sql: str, *parameters: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)


def test_migration_holds_the_same_moves_as_the_code() -> None:
    assert set(GUARD.MOVES) == {(before.value, after.value) for before, after in MOVES}
    assert len(set(GUARD.MOVES)) == len(GUARD.MOVES)


def test_migration_holds_the_same_first_states_as_the_code() -> None:
    assert set(GUARD.FIRST) == {status.value for status in FIRST}


@on_postgres
@pytest.mark.django_db
@pytest.mark.parametrize(("before", "after"), PAIRS, ids=lambda status: status.value)
def test_update_passes_only_when_the_move_is_legal(before: Status, after: Status) -> None:
    trade = trade_in(before)
    columns = columns_of(after)
    if before is Status.READY and after is Status.PENDING:
        sent = CopyTradeFactory.build(pending=True)
        names = ("domain", "salt", "order_timestamp_ms", "maker_amount", "taker_amount", "order_hash", "expires_at")
        columns |= {name: getattr(sent, name) for name in (*names, "lock_token")}
    rows = CopyTrade.objects.filter(pk=trade.pk)
    if (before, after) in MOVES:
        assert rows.update(**columns) == 1
        return
    with pytest.raises(IntegrityError, match=f"copy trade {trade.pk} may not move from {before} to {after}"):
        rows.update(**columns)


@on_postgres
@pytest.mark.django_db
@pytest.mark.parametrize("status", sorted(set(Status) - FIRST))
def test_copy_is_not_born_in_a_later_state(status: Status) -> None:
    with pytest.raises(IntegrityError, match=f"a copy trade may not be born as {status}"):
        CopyTradeFactory(pending=True, **columns_of(status))


@on_postgres
@pytest.mark.django_db
def test_bulk_insert_is_refused_for_one_row_that_is_born_late() -> None:
    good, bad = (CopyTradeFactory.build(config=CopyConfigFactory(), signal=SignalFactory()) for _ in range(2))
    for row in (good, bad):
        row.follower, row.leader = row.config.follower, row.config.leader
    bad.status = Status.UNKNOWN
    with pytest.raises(IntegrityError, match="born as UNKNOWN"), transaction.atomic():
        CopyTrade.objects.bulk_create([good, bad])
    assert not CopyTrade.objects.exists()


@on_postgres
@pytest.mark.django_db
def test_raw_sql_cannot_bypass_the_table_of_states() -> None:
    trade = trade_in(Status.FAILED)
    with pytest.raises(IntegrityError, match="from FAILED to PENDING"):
        execute("UPDATE copytrading_copytrade SET status = 'PENDING' WHERE id = %s", trade.pk)


@on_postgres
@pytest.mark.django_db
def test_saving_a_stale_object_cannot_take_a_move_back() -> None:
    stale = trade_in(Status.PENDING)
    CopyTrade.objects.filter(pk=stale.pk).update(**columns_of(Status.EXECUTED))
    with pytest.raises(IntegrityError, match="from EXECUTED to PENDING"):
        stale.save()


@on_postgres
@pytest.mark.django_db
def test_one_illegal_row_undoes_the_whole_update() -> None:
    legal, illegal = trade_in(Status.PENDING), trade_in(Status.SKIPPED)
    with pytest.raises(IntegrityError, match="from SKIPPED to FAILED"), transaction.atomic():
        CopyTrade.objects.all().update(**columns_of(Status.FAILED))
    legal.refresh_from_db()
    illegal.refresh_from_db()
    assert (legal.status, illegal.status) == (Status.PENDING, Status.SKIPPED)


@on_postgres
@pytest.mark.django_db
@pytest.mark.parametrize("other", [digest("another order"), None])
def test_order_hash_stays_for_life(other: str | None) -> None:
    trade = CopyTradeFactory(order_hash=digest("first order"))
    with pytest.raises(IntegrityError, match=f"copy trade {trade.pk} has order hash {trade.order_hash} for life"):
        CopyTrade.objects.filter(pk=trade.pk).update(order_hash=other)


@on_postgres
@pytest.mark.django_db
def test_order_hash_does_not_change_together_with_a_legal_move() -> None:
    trade = trade_in(Status.PENDING)
    with pytest.raises(IntegrityError, match="for life"):
        CopyTrade.objects.filter(pk=trade.pk).update(order_hash=digest("other"), **columns_of(Status.FAILED))


@on_postgres
@pytest.mark.django_db
@pytest.mark.parametrize("column", ["config", "signal", "idempotency_key"])
def test_what_a_copy_answers_to_never_changes(column: str) -> None:
    trade, other = CopyTradeFactory(), CopyTradeFactory()
    value = "another key" if column == "idempotency_key" else getattr(other, column)
    with pytest.raises(IntegrityError, match="may not change its config, signal or idempotency key"):
        CopyTrade.objects.filter(pk=trade.pk).update(**{column: value})


@on_postgres
@pytest.mark.django_db
def test_other_columns_change_freely() -> None:
    trade = trade_in(Status.LIVE)
    changed = CopyTrade.objects.filter(pk=trade.pk).update(status=Status.LIVE, attempts=2, lock_token="2" * 32)
    assert changed == 1


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["amount_micros = 6", "credit_account = 'x'", "key = 'x'", "created_at = NULL"])
def test_ledger_entry_is_never_updated(column: str) -> None:
    row = entry()
    # On SQLite, RAISE(ABORT) is an IntegrityError too.
    with pytest.raises(IntegrityError, match=r"append-only.*UPDATE refused"):
        execute(f"UPDATE ledger_ledgerentry SET {column} WHERE id = %s", row.pk)


@pytest.mark.django_db
def test_ledger_entry_is_not_updated_by_save() -> None:
    row = entry()
    row.amount_micros = 6
    with pytest.raises(IntegrityError, match="append-only"):
        row.save()


@on_postgres
@pytest.mark.django_db
def test_ledger_entry_is_never_deleted() -> None:
    row = entry()
    with pytest.raises(IntegrityError, match=f"ledger entry {row.key} is append-only: DELETE refused"):
        LedgerEntry.objects.all().delete()


@pytest.mark.django_db(transaction=True)
def test_tests_can_still_empty_the_ledger() -> None:
    entry()
    call_command("flush", interactive=False, verbosity=0)
    assert not LedgerEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("app", "back"), [("ledger", "0001_initial"), ("copytrading", "0001_initial")], ids=["ledger", "copytrading"]
)
def test_guards_can_be_taken_away_and_put_back(app: str, back: str) -> None:
    call_command("migrate", app, back, verbosity=0)
    try:
        if app == "ledger":
            entry()
            LedgerEntry.objects.update(amount_micros=6)
    finally:
        call_command("migrate", verbosity=0)  # every app: others had to go back with it
    if app == "ledger":
        with pytest.raises(DatabaseError, match="append-only"):
            LedgerEntry.objects.update(amount_micros=7)
