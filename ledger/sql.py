"""The few statements that the ORM cannot say: compare-and-set of many rows at once, and the database's clock."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, models


def database_now() -> datetime:
    """The wall clock of the database, aware UTC: leases never compare two machines' clocks."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            row: tuple[datetime] = cursor.fetchone()
            return row[0].astimezone(UTC)
        cursor.execute("SELECT strftime('%Y-%m-%dT%H:%M:%f', 'now')")
        return datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)


def compare_and_set(
    model: type[models.Model], *, match: Sequence[str], assign: Sequence[str], rows: Sequence[Sequence[Any]]
) -> set[int]:
    """Update many rows in one statement, each only while its `match` columns still hold what the caller saw.

    Each row gives the values of `match` and then of `assign`, by field name; `match` must include the primary
    key. Returns the primary keys of the rows that changed: whoever is missing there has lost, and must act so.
    """
    if not rows:
        return set()
    fields: list[Any] = [model._meta.get_field(name) for name in (*match, *assign)]
    parameters = [
        field.get_db_prep_save(value, connection) for row in rows for field, value in zip(fields, row, strict=True)
    ]
    line = f"({', '.join(['%s'] * len(fields))})"
    quote = connection.ops.quote_name
    cells = [_typed(field, f"v.column{index}") for index, field in enumerate(fields, start=1)]
    columns = [quote(field.column) for field in fields]
    split = len(match)
    sets = ", ".join(f"{column} = {cell}" for column, cell in zip(columns[split:], cells[split:], strict=True))
    wheres = " AND ".join(f"t.{column} = {cell}" for column, cell in zip(columns[:split], cells[:split], strict=True))
    key = quote(str(model._meta.pk.column))
    sql = (
        f"UPDATE {quote(model._meta.db_table)} AS t SET {sets} "  # noqa: S608  (identifiers come from the model)
        f"FROM (VALUES {', '.join([line] * len(rows))}) AS v WHERE {wheres} RETURNING {key}"
    )
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return {found[0] for found in cursor.fetchall()}


def _typed(field: Any, cell: str) -> str:
    # Parameters of VALUES are untyped text for Postgres; SQLite's columns convert on their own.
    return (
        f"CAST({cell} AS {field.rel_db_type(connection) if field.primary_key else field.db_type(connection)})"
        if (connection.vendor == "postgresql")
        else cell
    )
