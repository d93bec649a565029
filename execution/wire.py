"""Decodes the JSON of foreign interfaces: every number exact, nesting bounded. Pure."""

import json
from decimal import Decimal, InvalidOperation

DEPTH_MAX = 64
"""Deeper than any answer of the venue; a decoder must not be led to the end of its stack."""

INTEGER_TEXT_MAX = 100
"""A longer integer is no amount and no id, and only costs time to convert."""


class WireError(ValueError):
    """The bytes are no JSON that can be trusted; the message says why in one sentence."""


def decode(body: bytes | str) -> object:
    """The value; its numbers are `int` or `Decimal`, of the text as it stood. Raises WireError."""
    try:
        text = body if isinstance(body, str) else body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError(f"Byte {error.start} is no UTF-8.") from None
    # Brackets inside strings count too: whoever sends so many of them may be refused.
    if text.count("[") + text.count("{") > DEPTH_MAX:
        _refuse_deep(text)
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise WireError(f"It is no JSON at line {error.lineno}, column {error.colno}: {error.msg}.") from None


def _refuse_deep(text: str) -> None:
    depth, in_string, escaped = 0, False, False
    for character in text:
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            if depth > DEPTH_MAX:
                raise WireError(f"It is nested more than {DEPTH_MAX} deep.")
        elif character in "]}":
            depth -= 1


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return Decimal("Infinity")


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= INTEGER_TEXT_MAX else Decimal(text)


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=Decimal)
