"""The few statements that the ORM cannot say, or says too slowly for the hot path: many rows in one short statement.

Postgres takes inserts by COPY and everything else as one JSON parameter: a statement with a parameter for
each value costs ten times more in building and parsing than in executing (docs/benchmarks.md). SQLite, where
the statement does not cross a socket, takes the ORM's own bulk insert and plain VALUES.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import Any, TypeVar

import msgspec
from django.db import connection, models
from django.db.models.expressions import DatabaseDefault

from ledger.fields import Uint256Field

M = TypeVar("M", bound=models.Model)


def database_now() -> datetime:
    """The wall clock of the database, aware UTC: leases never compare two machines' clocks."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            row: tuple[datetime] = cursor.fetchone()
            return row[0].astimezone(UTC)
        cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)


def insert_rows(model: type[M], rows: Sequence[M]) -> None:
    """Insert new rows and set their primary keys; all or none. Raises IntegrityError. Inside a transaction.

    Columns left to the database's default must be so on every row alike.
    """
    if not rows:
        return
    if connection.vendor != "postgresql":
        model._default_manager.bulk_create(rows)
        return
    if len(rows) == 1:
        _insert_one(model, rows[0])
        return
    fields = [
        field
        for field in model._meta.concrete_fields
        if not isinstance(getattr(rows[0], field.attname), DatabaseDefault)
    ]
    quote, table = connection.ops.quote_name, connection.ops.quote_name(model._meta.db_table)
    values_of = attrgetter(*(field.attname for field in fields))
    special = [(index, text) for index, field in enumerate(fields) if (text := _copied(field)) is not None]
    columns = ", ".join(quote(str(field.column)) for field in fields)
    with connection.cursor() as cursor:
        _allocate_keys(cursor, model, rows)
        with connection.wrap_database_errors, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
            for row in rows:
                values = list(values_of(row))
                for index, text in special:
                    values[index] = text(values[index])
                copy.write_row(values)
    for row in rows:
        row._state.adding = False


def _insert_one(model: type[M], row: M) -> None:
    """One statement in place of the two and the stream of COPY: a signal with one follower bears it alone."""
    fields = _new_fields(model, row)
    sql = _insert_sql(model, fields, unique=(), update=(), returning=(model._meta.pk.name,))
    with connection.cursor() as cursor:
        cursor.execute(sql, [_as_json(fields, [_values_of(fields)(row)])])
        row.pk = cursor.fetchone()[0]
    row._state.adding = False


def upsert_rows(model: type[M], rows: Sequence[M], *, unique: Sequence[str], update: Sequence[str]) -> None:
    """Insert rows, or set the `update` columns of those that exist by their `unique` ones; field names.

    Without `update` the rows that exist stay as they are.
    """
    if not rows:
        return
    if connection.vendor != "postgresql":
        how: dict[str, Any] = {"unique_fields": list(unique), "update_fields": list(update)} if update else {}
        model._default_manager.bulk_create(rows, update_conflicts=bool(update), ignore_conflicts=not update, **how)
        return
    fields = _new_fields(model, rows[0])
    sql = _insert_sql(model, fields, unique=tuple(unique), update=tuple(update), returning=())
    with connection.cursor() as cursor:
        cursor.execute(sql, [_as_json(fields, list(map(_values_of(fields), rows)))])


def insert_missing(model: type[M], rows: Sequence[M], *, unique: str) -> dict[Any, Any]:
    """Insert those of the rows whose value of the `unique` field is not there yet; their primary keys by that value.

    Inside a transaction, rows in the order of that value: what another transaction is inserting now is waited for.
    """
    if connection.vendor != "postgresql":
        there = model._default_manager.filter(**{f"{unique}__among": {getattr(row, unique) for row in rows}})
        known = set(there.values_list(unique, flat=True))
        new = [row for row in rows if getattr(row, unique) not in known]
        insert_rows(model, new)
        return {getattr(row, unique): row.pk for row in new}
    if not rows:
        return {}
    fields = _new_fields(model, rows[0])
    sql = _insert_sql(model, fields, unique=(unique,), update=(), returning=(unique, model._meta.pk.name))
    with connection.cursor() as cursor:
        cursor.execute(sql, [_as_json(fields, list(map(_values_of(fields), rows)))])
        return dict(cursor.fetchall())


def add_rows(
    model: type[models.Model],
    rows: Sequence[Sequence[Any]],
    *,
    unique: Sequence[str],
    add: Sequence[str],
    keep: Sequence[str] = (),
) -> None:
    """Insert rows, or add to the `add` columns of those that exist by their `unique` ones. Inside a transaction.

    Each row gives the values of `unique`, `add` and `keep`, by field name; `keep` is only for new rows. Sums need
    no reading and no lock before: each row is locked from here to the end of the transaction, in the order of
    the unique columns, so that two batches never wait for each other. No two rows may be the same by them, and
    each must alone satisfy the table's constraints: the database looks at them before it looks for the conflict.
    """
    if not rows:
        return
    fields: list[Any] = [model._meta.get_field(name) for name in (*unique, *add, *keep)]
    ordered = sorted(rows, key=lambda row: tuple(row[: len(unique)]))
    quote = connection.ops.quote_name
    columns = [quote(_column(model, name)) for name in add]
    sets = ", ".join(f"{column} = t.{column} + excluded.{column}" for column in columns)
    postgres = connection.vendor == "postgresql"
    source = "SELECT * FROM " + _recordset(fields) if postgres else "VALUES " + _lines(fields, len(rows))  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(
            f"{_insert(model, fields)} {source} {_on_conflict(model, unique, sets)}",
            [_as_json(fields, ordered)] if postgres else _flat(fields, ordered),
        )


def compare_and_set(
    model: type[models.Model], *, match: Sequence[str], assign: Sequence[str], rows: Sequence[Sequence[Any]]
) -> set[int]:
    """Update many rows in one statement, each only while its `match` columns still hold what the caller saw.

    Each row gives the values of `match` and then of `assign`, by field name; `match` must include the primary
    key. Returns the primary keys of the rows that changed: whoever is missing there has lost, and must act so.
    Inside a transaction; rows are locked in the order of their keys.
    """
    if rows and connection.vendor == "postgresql":
        # The update would lock in the order of its plan: two batches that share rows could wait for each other.
        keys = {row[match.index(model._meta.pk.name)] for row in rows}
        locking = model._default_manager.filter(pk__among=keys).order_by("pk").select_for_update()
        list(locking.values_list("pk"))
    return update_rows(model, match=match, assign=assign, rows=rows)


def update_rows(
    model: type[models.Model], *, match: Sequence[str], assign: Sequence[str], rows: Sequence[Sequence[Any]]
) -> set[int]:
    """`compare_and_set` for rows that this transaction has locked already, or whose order does not matter."""
    if not rows:
        return set()
    if connection.vendor == "postgresql":
        fields, sql = _update_sql(model, tuple(match), tuple(assign), returning=True)
        with connection.cursor() as cursor:
            cursor.execute(sql, [_as_json(fields, rows)])
            return {found[0] for found in cursor.fetchall()}
    fields = tuple(model._meta.get_field(name) for name in (*match, *assign))
    with connection.cursor() as cursor:
        source = f"(VALUES {_lines(fields, len(rows))}) AS v"
        cells = [f"v.column{n + 1}" for n in range(len(fields))]
        cursor.execute(_update(model, fields, len(match), source, cells), _flat(fields, rows))
        return {found[0] for found in cursor.fetchall()}


def set_rows(
    model: type[models.Model], *, match: Sequence[str], assign: Sequence[str], rows: Sequence[Sequence[Any]]
) -> None:
    """`update_rows` where nobody asks which rows changed, so that there is no answer to wait for."""
    if rows and connection.vendor == "postgresql":
        fields, sql = _update_sql(model, tuple(match), tuple(assign), returning=False)
        with connection.cursor() as cursor:
            cursor.execute(sql, [_as_json(fields, rows)])
        return
    update_rows(model, match=match, assign=assign, rows=rows)


@cache
def _update_sql(
    model: type[models.Model], match: tuple[str, ...], assign: tuple[str, ...], *, returning: bool
) -> tuple[tuple[Any, ...], str]:
    fields = tuple(model._meta.get_field(name) for name in (*match, *assign))
    source, cells = _recordset(fields), [f"v.c{n}" for n in range(len(fields))]
    return fields, _update(model, fields, len(match), source, cells, returning=returning)


def _update(
    model: type[models.Model],
    fields: Sequence[Any],
    split: int,
    source: str,
    cells: Sequence[str],
    *,
    returning: bool = True,
) -> str:
    quote = connection.ops.quote_name
    columns = [quote(field.column) for field in fields]
    sets = ", ".join(f"{column} = {cell}" for column, cell in zip(columns[split:], cells[split:], strict=True))
    wheres = " AND ".join(f"t.{column} = {cell}" for column, cell in zip(columns[:split], cells[:split], strict=True))
    return (
        f"UPDATE {quote(model._meta.db_table)} AS t SET {sets} "  # noqa: S608  (identifiers come from the model)
        f"FROM {source} WHERE {wheres}" + (f" RETURNING {quote(str(model._meta.pk.column))}" if returning else "")
    )


def _new_fields(model: type[models.Model], row: models.Model) -> tuple[Any, ...]:
    """The columns that a new row says; the rest is the database's."""
    return tuple(
        field
        for field in model._meta.concrete_fields
        if not field.primary_key and not isinstance(getattr(row, field.attname), DatabaseDefault)
    )


@cache
def _values_of(fields: tuple[Any, ...]) -> Callable[[models.Model], Any]:
    return attrgetter(*(field.attname for field in fields))


@cache
def _insert_sql(
    model: type[models.Model],
    fields: tuple[Any, ...],
    *,
    unique: tuple[str, ...],
    update: tuple[str, ...],
    returning: tuple[str, ...],
) -> str:
    """Put together once: that takes as long as the statement itself."""
    quote = connection.ops.quote_name
    named = {name: quote(_column(model, name)) for name in (*unique, *update, *returning)}
    sets = ", ".join(f"{named[name]} = excluded.{named[name]}" for name in update)
    values = f"SELECT * FROM {_recordset(fields)}"  # noqa: S608  (identifiers come from the model)
    conflict = _on_conflict(model, unique, sets) if unique else ""
    returned = f"RETURNING {', '.join(named[name] for name in returning)}" if returning else ""
    return f"{_insert(model, fields)} {values} {conflict} {returned}"


def _allocate_keys(cursor: Any, model: type[M], rows: Sequence[M]) -> None:
    table, column = connection.ops.quote_name(model._meta.db_table), str(model._meta.pk.column)
    cursor.execute(
        "SELECT nextval(pg_get_serial_sequence(%s, %s)) FROM generate_series(1, %s)", [table, column, len(rows)]
    )
    for row, (key,) in zip(rows, cursor.fetchall(), strict=True):
        row.pk = key


def _copied(field: Any) -> Callable[[Any], Any] | None:
    """How COPY wants the values of a field, where it is not as they are."""
    if isinstance(field, models.JSONField):
        return _json_text
    if isinstance(field, Uint256Field):
        return lambda value: None if value is None else str(value)
    return None


def _json_text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _recordset(fields: Sequence[Any]) -> str:
    types = (field.rel_db_type(connection) if field.primary_key else field.db_type(connection) for field in fields)
    return f"json_to_recordset(%s::json) AS v({', '.join(f'c{n} {kind}' for n, kind in enumerate(types))})"


def _as_json(fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    # A uint256 goes as text: JSON numbers are numbers to Postgres too, but text is exact in every reader.
    big = [index for index, field in enumerate(fields) if isinstance(field, Uint256Field)]
    names = [f"c{n}" for n in range(len(fields))]
    records = []
    for row in rows:
        record = dict(zip(names, row, strict=True))
        for index in big:
            value = record[names[index]]
            record[names[index]] = None if value is None else str(value)
        records.append(record)
    return msgspec.json.encode(records).decode()


def _flat(fields: Sequence[Any], rows: Sequence[Sequence[Any]]) -> list[Any]:
    return [field.get_db_prep_save(value, connection) for row in rows for field, value in zip(fields, row, strict=True)]


def _lines(fields: Sequence[Any], count: int) -> str:
    return ", ".join([f"({', '.join(['%s'] * len(fields))})"] * count)


def _insert(model: type[models.Model], fields: Sequence[Any]) -> str:
    quote = connection.ops.quote_name
    return f"INSERT INTO {quote(model._meta.db_table)} AS t ({', '.join(quote(field.column) for field in fields)})"


def _on_conflict(model: type[models.Model], unique: Sequence[str], sets: str) -> str:
    columns = ", ".join(connection.ops.quote_name(_column(model, name)) for name in unique)
    return f"ON CONFLICT ({columns}) " + (f"DO UPDATE SET {sets}" if sets else "DO NOTHING")


def _column(model: type[models.Model], name: str) -> str:
    return str(model._meta.get_field(name).column)  # type: ignore[union-attr]
