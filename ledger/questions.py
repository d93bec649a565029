"""Queries that are put into SQL once: for a row or two Django takes longer to say a question than Postgres to answer.

The ORM still says what is asked; only the saying is kept. `together` asks several in one round trip. What both bring
is in docs/benchmarks.md.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Generic, TypeVar

from django.db import connection
from django.db.models import QuerySet
from django.db.transaction import TransactionManagementError

from ledger.lookups import array

T = TypeVar("T")

Row = tuple[Any, ...]
Build = Callable[..., QuerySet[Any, Any]]


@contextmanager
def together(*, when: bool = True) -> Iterator[None]:
    """Send Postgres the statements of this block without waiting for each answer, but where one is read.

    Outside a transaction the block is for reading only. COPY and savepoints are not possible inside: `when` False
    leaves all as it is. Raises what a statement raises, at the latest at the end.
    """
    if connection.vendor != "postgresql" or not when:
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


class Asked(Generic[T]):
    """A question that was sent; its answer can be read once."""

    def __init__(self, rows: Callable[[], list[Row]], read: Callable[[list[Row]], T]) -> None:
        self._rows, self._read = rows, read

    def answer(self) -> T:
        """Wait for the rows, and read them."""
        return self._read(self._rows())


_STRANGE_MOMENT = datetime(1815, 12, 10, 1, 2, 3, tzinfo=UTC)
_STRANGE_NUMBER = 31_415  # also a small integer's
_STRANGE_WORD = "\N{SECTION SIGN}value"


class Question:
    """A question with blanks: `build(*values)` gives its queryset, of `values_list` of plain columns.

    Each value is a number, a word, an aware moment, or a collection of one of the first two that `among` takes; the
    queryset must be the same for all of them. An empty collection is answered with no rows and without a query.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._said: _Said | None = None

    def rows(self, *values: Any) -> list[Row]:
        """The answer."""
        return self._ask(values)()

    def ask(self, *values: Any, read: Callable[[list[Row]], T]) -> Asked[T]:
        """Send it; `read` makes of the rows what they mean."""
        return Asked(self._ask(values), read)

    def _ask(self, values: Sequence[Any]) -> Callable[[], list[Row]]:
        if any(not value for value in values if _is_many(value)):
            return list
        if connection.vendor != "postgresql":
            found = list(self._build(*values))
            return lambda: found
        if self._said is None:
            self._said = _say(self._build, values)
        return self._said.ask(values)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    """The SQL, its constants with the places of the values among them, and how columns become Python's."""

    sql: str
    constants: tuple[Any, ...]
    places: tuple[tuple[int, int], ...]
    compiler: Any
    converters: Any
    locks: bool

    def ask(self, values: Sequence[Any]) -> Callable[[], list[Row]]:
        if self.locks and not connection.in_atomic_block:
            raise TransactionManagementError("Rows are locked until a transaction ends; there is none.")
        parameters = list(self.constants)
        for place, number in self.places:
            value = values[number]
            parameters[place] = array(value) if _is_many(value) else value
        cursor = connection.cursor()
        cursor.execute(self.sql, parameters)
        return partial(self._fetch, cursor)

    def _fetch(self, cursor: Any) -> list[Row]:
        with cursor:
            found: list[Row] = cursor.fetchall()
        return list(map(tuple, self.compiler.apply_converters(found, self.converters))) if self.converters else found


def _say(build: Build, values: Sequence[Any]) -> _Said:
    strange = [_strange(value, number) for number, value in enumerate(values)]
    query = build(*strange).query
    compiler = query.get_compiler(connection=connection)
    sql, constants = compiler.as_sql()
    marks = [array(mark) if _is_many(mark) else mark for mark in strange]
    places = tuple((place, marks.index(each)) for place, each in enumerate(constants) if each in marks)
    if {number for _place, number in places} != set(range(len(values))):
        raise TypeError("A value of this question is not in its SQL as it was given.")
    columns = [column for column, _sql, _alias in compiler.select[: compiler.col_count]]
    return _Said(
        sql=sql,
        constants=tuple(constants),
        places=places,
        compiler=compiler,
        converters=compiler.get_converters(columns),
        locks=query.select_for_update,
    )


def _strange(value: Any, number: int) -> Any:
    """Something of the same kind that stands in no query."""
    if _is_many(value):
        return frozenset({_strange(next(iter(value)), number)})
    if isinstance(value, datetime):
        return _STRANGE_MOMENT + timedelta(days=number)
    return _STRANGE_NUMBER + number if isinstance(value, int) else f"{_STRANGE_WORD} {number}"


def _is_many(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str)
