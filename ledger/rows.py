"""Makes unsaved rows for the hot path, where the models' own constructor is most of what an insert costs in Python."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.db import models
from django.db.models.base import ModelState

M = TypeVar("M", bound=models.Model)


def new_row(model: type[M], **values: Any) -> M:
    """`model(**values)`, about ten times faster: values by column attribute (`trade_id`, not `trade`).

    The constructor asks each field and sends two signals, which none of our models listens to. Raises TypeError
    for a name that is no column.
    """
    blank = _blank(model)
    if not values.keys() <= blank.columns.keys():
        raise TypeError(f"{model.__name__} has no columns {sorted(values.keys() - blank.columns.keys())}")
    row = model.__new__(model)
    row.__dict__.update(blank.columns, _state=ModelState())
    for name, make in blank.made:
        row.__dict__[name] = make()
    row.__dict__.update(values)
    return row


@dataclass(frozen=True, slots=True)
class _Blank:
    """What the columns of a new row hold; a default that could be changed in place is made for each row."""

    columns: Mapping[str, Any]
    made: tuple[tuple[str, Callable[[], Any]], ...]


@cache
def _blank(model: type[models.Model]) -> _Blank:
    fields = model._meta.concrete_fields
    return _Blank(
        columns={field.attname: field.get_default() for field in fields},
        made=tuple((each.attname, each.default) for each in fields if each.has_default() and callable(each.default)),
    )
