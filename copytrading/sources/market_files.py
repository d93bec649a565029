"""Reads files of the venue's market descriptions: arrays, envelopes, events with their markets, and a value per line.

A file is decoded element by element, so that what is held at a time is its text and the descriptions, which are
small. An object that is no market is an `Undescribed` and the rest goes on; what is no JSON is no file at all.
"""

import json
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from copytrading.fields import NUMBER_TEXT_MAX, printable
from copytrading.sources.files import DEPTH_MAX, LINE_SUFFIXES, UnreadableFile, read_text
from execution.gamma import GammaError, MarketDescription, describe_market

ENVELOPES = ("markets", "events", "data")
"""The fields under which the venue's interfaces and recorders put their lists."""

# Strings are skipped whole: a description may hold any number of brackets. One that never ends is taken to the end
# of the text, or each of its quotes would be tried as a beginning.
_BRACKETS = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_SPACE = re.compile(r"[ \t\n\r]*+")


class _NoJson(Exception):
    """A text that cannot be decoded; the message is the rest of a sentence."""


@dataclass(frozen=True, slots=True)
class Undescribed:
    """An object that is no usable description: where it stands, and why."""

    place: str
    sentence: str


def read_markets(path: Path) -> Iterator[MarketDescription | Undescribed]:
    """Every market of the file in its order; in a file of lines a bad line is an `Undescribed`.

    Raises UnreadableFile, perhaps after some of them.
    """
    name = printable(path.name, 200)
    text = read_text(path, name)
    if not text.strip():
        raise UnreadableFile(f"{name}: the file is empty")
    if name.removesuffix(".gz").endswith(LINE_SUFFIXES):
        yield from _markets_of_lines(text, name)
        return
    try:
        yield from _markets_in(text, name)
    except _NoJson as error:
        raise UnreadableFile(f"{name}: {error}") from None


def _markets_of_lines(text: str, name: str) -> Iterator[MarketDescription | Undescribed]:
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), 1):
        place = f"{name} line {number}"
        try:
            yield from _markets_in(line, place)
        except _NoJson as error:
            yield Undescribed(place, str(error))


def _markets_in(text: str, place: str) -> Iterator[MarketDescription | Undescribed]:
    _refuse_deep(text)
    number = 0
    try:
        for value in _values(text):
            for market, event in _markets(value):
                number += 1
                yield _described(market, event, f"{place} market {number}")
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _NoJson(f"not JSON at {where}: {error.msg}; is it truncated?") from None


def _described(market: object, event: object, place: str) -> MarketDescription | Undescribed:
    try:
        return describe_market(market, event=event)
    except GammaError as error:
        return Undescribed(place, str(error))


def _markets(value: object) -> Iterator[tuple[object, object]]:
    """The market objects in a decoded value, each with the event that holds it."""
    pending: list[tuple[object, object]] = [(value, None)]
    while pending:
        found, event = pending.pop()
        field = _envelope(found)
        if isinstance(found, list):
            pending += [(each, event) for each in reversed(found)]
        elif field is not None and isinstance(found, Mapping):
            inside = found[field]
            # Only an object that holds markets itself is their event.
            pending += [(each, found if field == "markets" else None) for each in reversed(inside)]
        else:
            yield found, event


def _envelope(value: object) -> str | None:
    if not isinstance(value, Mapping) or "conditionId" in value or "raw" in value:
        return None
    return next((field for field in ENVELOPES if isinstance(value.get(field), list)), None)


def _values(text: str) -> Iterator[object]:
    """The values that stand one after another, those of a list one by one. Raises JSONDecodeError where it is none."""
    at = _after_space(text, 0)
    while at < len(text):
        if text[at] == "[":
            at = yield from _elements(text, at)
        else:
            value, at = _DECODER.raw_decode(text, at)
            yield value
        at = _after_space(text, at)


def _elements(text: str, at: int) -> Generator[object, None, int]:
    """The elements of the list that begins at this place; returns the place behind it."""
    at = _after_space(text, at + 1)
    if text[at : at + 1] == "]":
        return at + 1
    while True:
        value, at = _DECODER.raw_decode(text, at)
        yield value
        at = _after_space(text, at)
        if text[at : at + 1] == "]":
            return at + 1
        if text[at : at + 1] != ",":
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _refuse_deep(text: str) -> None:
    """Raise _NoJson before the decoder could recurse to the end of the stack."""
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        if bracket[0][0] != '"':
            depth += 1 if bracket[0] in "[{" else -1
            if depth > DEPTH_MAX:
                raise _NoJson("its JSON is nested too deeply")


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return Decimal("Infinity")


def _integer(text: str) -> int | Decimal:
    return int(text) if len(text) <= NUMBER_TEXT_MAX else Decimal(text)


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=Decimal)
