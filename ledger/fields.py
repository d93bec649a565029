"""Model fields for values that ordinary columns would bend."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

UINT256_MAX = 2**256 - 1
_DIGITS = 78


class Uint256Field(models.Field):  # type: ignore[type-arg]  # the stubs are generic, Django is not
    """An unsigned 256-bit integer, exact: NUMERIC(78,0) on Postgres, text on SQLite.

    SQLite keeps numbers above 2^63 as floating point and silently changes them (reliability.md 5.6).
    """

    description = "Unsigned 256-bit integer"

    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """The column type of this database."""
        return f"numeric({_DIGITS},0)" if connection.vendor == "postgresql" else "varchar(78)"

    def get_prep_value(self, value: Any) -> Any:
        """The number as a database parameter: text on both, cast by the column. Raises ValueError outside uint256."""
        if value is None:
            return None
        number = int(value)
        if not 0 <= number <= UINT256_MAX:
            raise ValueError("a token id must be an unsigned 256-bit integer")
        return number

    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Text for SQLite, a decimal for Postgres."""
        number = value if prepared else self.get_prep_value(value)
        if number is None:
            return None
        return Decimal(number) if connection.vendor == "postgresql" else str(number)

    def from_db_value(self, value: Any, _expression: Any, _connection: BaseDatabaseWrapper) -> int | None:
        """The stored number as an integer."""
        return None if value is None else int(value)

    def to_python(self, value: Any) -> int | None:
        """Parse form input."""
        if value in (None, ""):
            return None
        try:
            number = int(value)
        except (TypeError, ValueError) as error:
            raise ValidationError("Enter a whole number.") from error
        if not 0 <= number <= UINT256_MAX:
            raise ValidationError("A token id must be an unsigned 256-bit integer.")
        return number
