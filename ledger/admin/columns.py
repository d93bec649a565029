"""Columns of lists and pages in people's units: each the text of one row."""

from collections.abc import Callable
from functools import cache
from typing import Any

from django.contrib import admin
from django.utils.html import format_html

from ledger.texts import NOTHING, dollar_text, percent_text, price_text, share_text

Column = Callable[[Any], str]
"""A column of a list or page: the text of one row. Made once for each name, because Django compares them."""

SHORT_LENGTH = 16
"""Longest identifier that a list shows whole; a hash has 66 characters and a token id up to 78."""


@cache
def dollars(name: str) -> Column:
    """The column of an amount of money."""
    return _column(name, dollar_text)


@cache
def shares(name: str) -> Column:
    """The column of a number of shares."""
    return _column(name, share_text)


@cache
def price(name: str) -> Column:
    """The column of a price."""
    return _column(name, price_text)


@cache
def percent(name: str) -> Column:
    """The column of basis points, as percent."""
    return _column(name, percent_text)


@cache
def titled(name: str) -> Column:
    """The column of a reason: STOP_LOSS is 'Stop loss'."""
    return _column(name, _title)


@cache
def short(name: str) -> Column:
    """The column of a hash, wallet or token id, cut in its middle; the whole of it in its tooltip."""
    return _column(name, shortened)


def shortened(value: object) -> str:
    """An identifier cut in its middle, as HTML with the whole of it in its tooltip."""
    text = "" if value is None else str(value)
    if len(text) <= SHORT_LENGTH:
        return text or NOTHING
    return format_html('<span title="{}">{}…{}</span>', text, text[:8], text[-6:])


def _title(value: str) -> str:
    return value.capitalize().replace("_", " ") or NOTHING


def _column(name: str, text: Callable[[Any], str]) -> Column:
    def column(row: Any) -> str:
        return text(getattr(row, name))

    column.__name__ = f"{name}_text"
    label = name.removesuffix("_micros").replace("_bps", "").replace("_", " ")
    return admin.display(description=label, ordering=name)(column)
