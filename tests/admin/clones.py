"""More rows like one that is there, with everything unique made anew: for lists of any model."""

from datetime import date, timedelta
from hashlib import blake2b
from itertools import count
from typing import Any

from django.db import models
from django.db.models import Model, UniqueConstraint

from copytrading.models import CopyTrade
from tests.factories import CopyTradeFactory

_numbers = count(1)


def clone(row: Model) -> Model:
    """Another row like this one; what must be unique differs, also the rows that it alone may point to."""
    number = next(_numbers)
    new = type(row)(**{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields})
    new.pk = None
    new._state.adding = True
    for field in _unique(row):
        setattr(new, field.name, _other(field, row, number))
    new.save(force_insert=True)
    return new


def _unique(row: Model) -> list[Any]:
    fields = [field for field in row._meta.concrete_fields if field.unique and not field.primary_key]
    for constraint in row._meta.constraints:
        if isinstance(constraint, UniqueConstraint):
            found = [row._meta.get_field(name) for name in constraint.fields]
            # One plain column is enough; without one, the first row pointed to is made anew.
            fields.append(next((field for field in found if _varies(field)), found[0]))
    return fields


def _varies(field: Any) -> bool:
    return not field.is_relation and not field.choices


def _other(field: Any, row: Model, number: int) -> Any:
    value = getattr(row, field.name)
    if isinstance(value, CopyTrade):
        # Born in its first state, as the database demands.
        return CopyTradeFactory()
    if field.is_relation:
        return clone(value)
    if isinstance(field, models.CharField):
        if value is None:
            return None
        digits = blake2b(str(number).encode(), digest_size=32).hexdigest()
        return f"0x{digits}"[: field.max_length]
    if isinstance(value, date):
        return value + timedelta(days=number)
    return (value or 0) + number
