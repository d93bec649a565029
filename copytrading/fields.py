"""Single fields of foreign JSON: exact numbers, text fit to be shown, and values quoted in a sentence. Pure."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

ECHO_MAX = 40
"""How many characters of the input a sentence may repeat: log lines stay short whoever wrote the row."""

NUMBER_TEXT_MAX = 100
"""Longest text read as a number; the venue's noise digits need 25, and a longer one only costs time."""

UINT256_BITS = 256

# Explicit classes: `\d`, int() and Decimal() also take Unicode digits and underscores.
_DIGITS = re.compile(r"[0-9]{1,78}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def int_of_digits(value: object) -> int | None:
    """A non-negative integer written in ASCII digits only, at most as many as a uint256 has; else None."""
    return int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else None


def first(row: Mapping[object, object], names: tuple[str, ...]) -> tuple[str, object]:
    """The first of these fields that the row has, with its value; (first name, None) when it has none."""
    for name in names:
        if name in row:
            return name, row[name]
    return names[0], None


def printable(value: object, length_max: int) -> str:
    """Foreign text for people: no control, bidirectional or surrogate characters, cut; "" for what is no text.

    Newlines forge log lines, NUL and lone surrogates are refused by the database (reliability.md 4.4, item 24).
    """
    if not isinstance(value, str):
        return ""
    text = value[: 2 * length_max]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " if c.isspace() else "" for c in text)
    return text[:length_max]


def shown(value: object) -> str:
    """A value for a sentence: at most ECHO_MAX characters of it, quoted when it is text."""
    if value is None:
        return "(missing)"
    if isinstance(value, str):
        return f"'{printable(value, ECHO_MAX)}'"
    if isinstance(value, Mapping):
        return "(an object)"
    if isinstance(value, list | tuple):
        return "(a list)"
    # Python refuses to write integers of thousands of digits.
    huge = isinstance(value, int) and value.bit_length() > UINT256_BITS
    return "(a huge integer)" if huge else printable(f"{value}", ECHO_MAX)


def decimal(value: object) -> Decimal | None:
    """The exact number, or None; a bool is none, and a float has lost the digits of its text."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        # An int beyond any amount is not worth the quadratic conversion.
        return Decimal(value) if value.bit_length() <= UINT256_BITS else Decimal("Infinity")
    if isinstance(value, str) and len(value) <= NUMBER_TEXT_MAX and _NUMBER.fullmatch(value):
        try:
            return Decimal(value)
        except InvalidOperation:  # an exponent beyond what Decimal holds
            return Decimal("Infinity")
    return None
