"""Numbers as the CLOB writes them, texts or JSON numbers, as exact micros; nothing is ever rounded here. Pure."""

import re
from decimal import Decimal

from ledger.units import MAX_MICROS, Micros

_PLAIN = re.compile(r"[0-9]{1,15}(\.[0-9]{1,18})?", re.ASCII)
"""What an amount looks like: no sign, no exponent."""

DIGITS = 6


class NumberError(ValueError):
    """This is no amount that could be one; the message repeats at most its beginning."""


def micros_of(value: object) -> Micros:
    """A decimal amount of at most six decimals, zero or more, such as '5.2'. Raises NumberError."""
    text = str(value) if isinstance(value, str | int | Decimal) and not isinstance(value, bool) else ""
    if not _PLAIN.fullmatch(text):
        raise NumberError(f"{str(value)[:40]!r} is no amount.")
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    if len(fraction) > DIGITS:
        raise NumberError(f"{text!r} has more than six decimals.")
    return _bounded(int(whole + fraction.ljust(DIGITS, "0")))


def units_of(value: object) -> Micros:
    """An amount that is already in units of 10^-6, such as '5200000'. Raises NumberError."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]{1,78}", text, re.ASCII):
        raise NumberError(f"{str(value)[:40]!r} is no whole amount.")
    # An unlimited allowance is 2^256 - 1: as good as the largest amount there is.
    return Micros(min(int(text), MAX_MICROS))


def whole_of(value: object) -> int:
    """A whole number of at most eighteen digits, such as a Unix time. Raises NumberError."""
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]{1,18}", text, re.ASCII):
        raise NumberError(f"{str(value)[:40]!r} is no whole number.")
    return int(text)


def _bounded(micros: int) -> Micros:
    if micros > MAX_MICROS:
        raise NumberError("The amount is absurdly large.")
    return Micros(micros)
