"""A database door whose work is never committed: one connection, one transaction, rolled back whatever happens.

Nothing has to be deleted afterwards, not even after kill -9: the server ends the transaction of a connection that is
gone, and SQLite's next reader ignores what was not committed.
"""

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from django.db import connection, models, transaction

from ledger.db import ThreadedDatabase

P = ParamSpec("P")
T = TypeVar("T")


class Rehearsal:
    """`ClosableDatabase`, used as a context: from its entry to its exit everything happens in one transaction.

    Each unit of work is a savepoint, so that a failed one leaves the transaction usable, as a real door would.
    `hidden` tables are empty inside, without a lock on the real ones. Statements, waits for locks and pauses
    between statements end after `seconds_max`, so that a hanging process cannot hold up others for longer.
    """

    def __init__(self, *, seconds_max: int, hidden: tuple[type[models.Model], ...] = ()) -> None:
        # One thread: work is done in order, the rolling back last, also when the caller was cancelled meanwhile.
        self._inner = ThreadedDatabase(1)
        self._seconds_max, self._hidden = seconds_max, hidden

    async def __aenter__(self) -> Self:
        """Begin. Raises what the database raises; nothing is left open then."""
        try:
            await self._inner.run(_begin, self._seconds_max, self._hidden)
        except BaseException:
            await self._inner.run(_roll_back)
            self.close()
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Roll back and give the connection up."""
        try:
            await self._inner.run(_roll_back)
        finally:
            self.close()

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The work's result; what it wrote is seen by later work and by nobody else."""
        return await self._inner.run(partial(_in_savepoint, work, *args, **kwargs))

    def close(self) -> None:
        """Wait for running work and close the connection."""
        self._inner.close()


def _begin(seconds_max: int, hidden: tuple[type[models.Model], ...]) -> None:
    postgres = connection.vendor == "postgresql"
    if not postgres:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA busy_timeout = {seconds_max * 1_000}")
    # By hand instead of `with`: the block ends in another unit of work. `_roll_back` is its other half.
    transaction.atomic().__enter__()
    # Between units of work the door drops a connection that is not in its configured mode; inside is ours now.
    connection.settings_dict = {**connection.settings_dict, "AUTOCOMMIT": False}
    with connection.cursor() as cursor:
        if postgres:
            for bound in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
                cursor.execute(f"SET LOCAL {bound} = {seconds_max * 1_000}")
        for model in hidden:
            cursor.execute(_hiding(cursor, model._meta.db_table))


def _hiding(cursor: Any, table: str) -> str:
    """Makes an empty temporary table of the same name and shape: both databases find that one first."""
    if connection.vendor == "postgresql":
        name = connection.ops.quote_name(table)
        return f"CREATE TEMPORARY TABLE {name} (LIKE {name} INCLUDING ALL) ON COMMIT DROP"
    cursor.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = %s", [table])
    return str(cursor.fetchone()[0]).replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1)


def _roll_back() -> None:
    # Closing the connection ends its transaction without a commit, also where the connection is broken already.
    connection.close()


def _in_savepoint(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    with transaction.atomic():
        return work(*args, **kwargs)
