"""A database of a verification's own on the server given: a schema on Postgres, a file beside the one of SQLite.

While it lasts, this process's default connection leads there from every thread. Afterwards it is gone.
"""

import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from django.core.management import call_command
from django.db import DEFAULT_DB_ALIAS, connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

NAME = "slipstream_verify_"
FILE_ENDINGS = ("", "-wal", "-shm", "-journal")


class NotPrivate(Exception):
    """A connection did not lead into the private schema; nothing was written through it."""


@contextmanager
def private_database(token: str) -> Iterator[None]:
    """Make an empty database with every table, named after the token, and delete it at the end.

    For the main thread of a process that does nothing else: the default connection is replaced meanwhile.
    """
    with _private_schema(token) if connection.vendor == "postgresql" else _private_file(token):
        call_command("migrate", verbosity=0, interactive=False)
        yield


@contextmanager
def _private_schema(token: str) -> Iterator[None]:
    name = f"{NAME}{token}"
    quoted = connection.ops.quote_name(name)
    options = connection.settings_dict["OPTIONS"]
    # Of several settings of one name in the options the last one counts.
    inside = {**options, "options": f"{options.get('options', '')} -c search_path={name}".strip()}
    try:
        _execute(f"CREATE SCHEMA {quoted}")
        with _redirected({"OPTIONS": inside}), proved_inside(name):
            yield
    finally:
        with undisturbed():
            _execute(f"DROP SCHEMA IF EXISTS {quoted} CASCADE")


@contextmanager
def _private_file(token: str) -> Iterator[None]:
    configured = Path(str(connection.settings_dict["NAME"]))
    in_memory = str(configured).startswith((":memory:", "file:"))
    folder = Path(tempfile.gettempdir()) if in_memory else configured.absolute().parent
    path = folder / f"{NAME}{token}.sqlite3"
    try:
        with _redirected({"NAME": str(path)}):
            yield
    finally:
        with undisturbed():
            for ending in FILE_ENDINGS:
                Path(f"{path}{ending}").unlink(missing_ok=True)


@contextmanager
def _redirected(changes: dict[str, Any]) -> Iterator[None]:
    """Open new connections of every thread with these changes to the settings of the default one."""
    before = connections.settings[DEFAULT_DB_ALIAS]
    _forget_connection()
    connections.settings[DEFAULT_DB_ALIAS] = {**before, **changes}
    try:
        yield
    finally:
        _forget_connection()
        connections.settings[DEFAULT_DB_ALIAS] = before


def _forget_connection() -> None:
    connections[DEFAULT_DB_ALIAS].close()
    del connections[DEFAULT_DB_ALIAS]


@contextmanager
def proved_inside(schema: str) -> Iterator[None]:
    """Refuse every connection that is not in the schema: a pooler between may drop the options that lead there."""

    def refuse_outside(connection: BaseDatabaseWrapper, **_signal: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_schema()")
            (found,) = cursor.fetchone()
        # A private database within this one has a schema of its own.
        wanted = _schema_asked_for(connection) or schema
        if found != wanted:
            connection.close()
            raise NotPrivate(
                f"A new connection leads to the schema {found} instead of {wanted}: something between drops its "
                "options (a pooler?). Give a DATABASE_URL that leads to Postgres directly."
            )

    connection_created.connect(refuse_outside)
    try:
        yield
    finally:
        connection_created.disconnect(refuse_outside)


def address() -> str:
    """The DATABASE_URL of where this process's default connection leads now, for other processes."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(Path(found['NAME']).absolute()))}"
    user, password = quote(str(found["USER"]), safe=""), quote(str(found["PASSWORD"]), safe="")
    account = f"{user}:{password}@" if user else ""
    host, name = str(found["HOST"]), quote(str(found["NAME"]), safe="")
    place = f"{host}:{found['PORT']}" if found["PORT"] else host
    if host.startswith("/"):
        # The folder of a socket stands before the name.
        place, name = "", quote(f"{host}/{found['NAME']}", safe="")
    return f"postgres://{account}{place}/{name}?{urlencode(found['OPTIONS'], quote_via=quote)}"


@contextmanager
def undisturbed() -> Iterator[None]:
    """An impatient second Ctrl-C must not leave anything behind; the database's own timeouts bound the wait."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


def _schema_asked_for(connection: BaseDatabaseWrapper) -> str:
    """The private schema that the options of a connection name last; empty where they name none."""
    options = str(connection.settings_dict["OPTIONS"].get("options", ""))
    last = options.rpartition("-c search_path=")[2].strip()
    return last if last.startswith(NAME) else ""


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)
