"""Reads timestamps of Postgres quickly: Django's loader goes through several Python functions for each.

A batch of signals reads two for each of them, and two for each budget that it locks (docs/benchmarks.md).
"""

from datetime import UTC, datetime
from typing import Any

from django.db.backends.signals import connection_created
from psycopg import DataError
from psycopg.abc import Buffer
from psycopg.adapt import Loader


class UtcLoader(Loader):
    """Aware moments from `2026-11-21 12:00:00.5+00`. The time zone of our connections is UTC, as of all our times."""

    timezone = UTC
    """Django compares it with its own, and would put its own loader in the place of this one if they differed."""

    def load(self, data: Buffer) -> datetime:
        """The moment. Raises DataError for one that Python cannot hold."""
        try:
            return datetime.fromisoformat(bytes(data).decode())
        except ValueError as error:
            raise DataError(f"no moment that Python can hold: {bytes(data)!r}") from error


def register() -> None:
    """Use it on every connection to Postgres from now on."""
    connection_created.connect(_use, dispatch_uid="ledger.timestamps")


def _use(*, connection: Any, **_signal: object) -> None:
    if connection.vendor == "postgresql" and connection.timezone == UTC:
        connection.connection.adapters.register_loader("timestamptz", UtcLoader)
