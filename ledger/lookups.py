"""The lookup `among`: `in` for many values, sent to Postgres as one array.

Django writes a parameter for each value of `in`, and checks each of them several times on its way: for a batch of
500 that costs more than the query (docs/benchmarks.md).
"""

from collections.abc import Collection
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Field, ForeignObject
from django.db.models.lookups import In


class Among(In):
    """`column__among={...}`: a set of values that are already as Python holds those of the column."""

    lookup_name = "among"

    def get_prep_lookup(self) -> Any:
        """As they are; a queryset is none of our values."""
        return frozenset(self.rhs)

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        """Elsewhere it is `in`."""
        self.rhs = [self.lhs.output_field.get_prep_value(value) for value in self.rhs]
        return super().as_sql(compiler, connection)

    def as_postgresql(self, compiler: Any, connection: BaseDatabaseWrapper) -> tuple[str, tuple[Any, ...]]:
        """`column = ANY(array)`, which Postgres plans as it plans `IN`."""
        if not self.rhs:
            raise EmptyResultSet
        lhs, parameters = self.process_lhs(compiler, connection)
        field = self.lhs.output_field
        # Without the length or the precision of the column: a longer value must not be cut to one that is there.
        kind = field.rel_db_type(connection).partition("(")[0]
        return f"{lhs} = ANY(%s::{kind}[])", (*parameters, array(self.rhs))


def array(values: Collection[Any]) -> Any:
    """An array in the words of Postgres: the driver asks about each element what it is."""
    if all(type(value) is int for value in values):
        return "{" + ",".join(map(str, values)) + "}"
    if all(isinstance(value, str) for value in values):
        return "{" + ",".join(map(_quoted, values)) + "}"
    return list(values)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def register() -> None:
    """Make the lookup known to every field."""
    Field.register_lookup(Among)
    ForeignObject.register_lookup(Among)  # it does not inherit those of Field
