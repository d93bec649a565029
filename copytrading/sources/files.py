"""Reads recorded activity: Data API arrays and envelopes, JSONL, activity-stream frames, the flat recorder shape.

Nothing here knows what becomes of a reading. A file is one walk: equal rows in it are separate fills, unless they
stand in a block that the file repeats (example 9).
"""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from copytrading.fields import NUMBER_TEXT_MAX, printable
from copytrading.groups import repeated_blocks
from copytrading.signals import (
    ACTIVITY_ORDERS_MATCHED,
    ACTIVITY_TRADES,
    DATA_API,
    TYPE_MAX,
    WALLET_FIELDS,
    LeaderAction,
    OtherAction,
    RepeatedRow,
    Unreadable,
    parse_row,
)
from copytrading.sources.base import Reading

FILE_BYTES_MAX = 128 * 2**20
"""Largest file, unpacked: about 230,000 rows, which take some 2 GB while they are decoded."""

FRAME_SOURCES = {"trades": ACTIVITY_TRADES, "orders_matched": ACTIVITY_ORDERS_MATCHED}
"""The types of the stream's `activity` topic (polymarket.md 4.1)."""

DEPTH_MAX = 100
"""Lists and objects inside each other; recorded rows have four."""

_BRACKETS = re.compile(r"[\[\]{}]")
LINE_SUFFIXES = (".jsonl", ".ndjson")
_SHAPES = "an array of rows or frames, {data: [...]}, {events: [...]}, or one of these or a row per line"


class UnreadableFile(Exception):
    """The file as a whole cannot be read; the message is a sentence that names it."""


@dataclass(frozen=True, slots=True)
class _Item:
    """One row or frame as decoded, or why its line could not be; equal fingerprints are equal rows."""

    value: object
    place: str
    fingerprint: bytes


def read_file(path: Path) -> tuple[Reading, ...]:
    """All rows in the order of the file, the rows of repeated blocks marked.

    Raises UnreadableFile, with nothing read, when the file is missing, truncated or of an unknown shape. In a file
    of lines a bad line is an Unreadable and the rest goes on.
    """
    name = printable(path.name, 200)
    try:
        items = _items(read_text(path, name), name)
        repeated = repeated_blocks([item.fingerprint for item in items])
    except RecursionError:
        raise UnreadableFile(f"{name}: its JSON is nested too deeply") from None
    pairs = zip(items, repeated, strict=True)
    return tuple(RepeatedRow(item.place) if again else _reading(item) for item, again in pairs)


def parse_item(item: object, *, place: str) -> Reading:
    """Read one decoded row of any shape, or one activity-stream frame with its payload."""
    if not isinstance(item, Mapping):
        return parse_row(item, source=DATA_API, place=place)
    if "payload" not in item:
        # The recorder of shared/data/rtds listened to the stream and renamed the fields.
        return parse_row(item, source=ACTIVITY_TRADES if "trader" in item else DATA_API, place=place)
    topic, kind = item.get("topic"), item.get("type")
    if topic != "activity" or not isinstance(kind, str) or kind not in FRAME_SOURCES:
        return OtherAction(printable(f"{topic}/{kind}", TYPE_MAX))
    return parse_row(item["payload"], source=FRAME_SOURCES[kind], place=place)


def chronological(readings: Sequence[Reading]) -> list[Reading]:
    """Oldest first; rows of one second keep their order, a row without a time stays with the row before it.

    A file that is newest first is turned round as a whole before the stable sort: inside a second only the
    position tells what came first.
    """
    times = [reading.traded_at for reading in readings if isinstance(reading, LeaderAction)]
    if not times:
        return list(readings)
    falls = sum(later < earlier for earlier, later in pairwise(times))
    rises = sum(later > earlier for earlier, later in pairwise(times))
    ordered = list(reversed(readings)) if falls > rises else list(readings)
    keyed: list[tuple[datetime, Reading]] = []
    moment = times[-1] if falls > rises else times[0]
    for reading in ordered:
        moment = reading.traded_at if isinstance(reading, LeaderAction) else moment
        keyed.append((moment, reading))
    return [reading for _, reading in sorted(keyed, key=lambda pair: pair[0])]


def _reading(item: _Item) -> Reading:
    return item.value if isinstance(item.value, Unreadable) else parse_item(item.value, place=item.place)


def _items(text: str, name: str) -> list[_Item]:
    if not text.strip():
        raise UnreadableFile(f"{name}: the file is empty")
    if name.removesuffix(".gz").endswith(LINE_SUFFIXES):
        return _items_of_lines(text, name)
    try:
        document = _decode(text)
    except ValueError as error:
        if _begins_with_a_line_of_json(text):
            return _items_of_lines(text, name)
        raise UnreadableFile(f"{name}: {_trouble(error)}; is it truncated?") from None
    rows = _rows_of(document)
    if rows is None:
        raise UnreadableFile(f"{name}: of an unknown shape; known are {_SHAPES}")
    return [_Item(row, f"{name} row {number}", _fingerprint(row)) for number, row in enumerate(rows, 1)]


def _items_of_lines(text: str, name: str) -> list[_Item]:
    items: list[_Item] = []
    # Not splitlines(): JSON strings may hold U+2028 and other characters that it takes for line ends.
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            items.extend(_items_of_line(line.strip(), f"{name} line {number}"))
    bad = [item.value for item in items if isinstance(item.value, Unreadable)]
    if bad and len(bad) == len(items):
        raise UnreadableFile(f"{bad[0].place}: {bad[0].sentence}, and no other line can be read")
    return items


def _items_of_line(line: str, place: str) -> list[_Item]:
    try:
        rows = _rows_of(_decode(line))
        trouble = f"of an unknown shape; known are {_SHAPES}"
    except (ValueError, RecursionError) as error:
        rows, trouble = None, _trouble(error)
    if rows is None:
        # Its text takes part in the search for repeated blocks: a bad line must not cut a repeated page in two.
        return [_Item(Unreadable(place, trouble), place, _digest(line))]
    places = [place] if len(rows) == 1 else [f"{place} row {number}" for number in range(1, len(rows) + 1)]
    return [_Item(row, row_place, _fingerprint(row)) for row, row_place in zip(rows, places, strict=True)]


def _decode(text: str) -> Any:
    """Decode JSON. Raises ValueError, and RecursionError before the decoder could reach the limit.

    A library may have raised the limit so far (py_ecc does) that the decoder ends the process instead.
    Brackets inside strings count too: no row has a hundred of them unclosed.
    """
    depth = 0
    for bracket in _BRACKETS.finditer(text):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > DEPTH_MAX:
            raise RecursionError
    return _DECODER.decode(text)


def _rows_of(document: object) -> list[object] | None:
    """The rows or frames in a decoded document; None when it is of none of the known shapes."""
    rows: object = document
    if isinstance(document, Mapping):
        rows = document.get("data", document.get("events", [document]))
        rows = [document] if _is_row(document) else rows
    if not isinstance(rows, list) or (rows and not any(_is_row(row) for row in rows)):
        return None
    return rows


def _is_row(item: object) -> bool:
    return isinstance(item, Mapping) and ("payload" in item or any(name in item for name in WALLET_FIELDS))


def _begins_with_a_line_of_json(text: str) -> bool:
    first, _, rest = text.strip().partition("\n")
    try:
        return bool(rest) and isinstance(_decode(first), dict | list)
    except (ValueError, RecursionError):
        return False


def read_text(path: Path, name: str) -> str:
    """The text of a file, unpacked if it is gzip. Raises UnreadableFile; `name` is what its sentence calls the file."""
    raw = _bytes(path, name)
    if raw.startswith(b"\x1f\x8b") or name.endswith(".gz"):
        try:
            # One byte more than allowed shows a bomb without unpacking it.
            raw = gzip.GzipFile(fileobj=BytesIO(raw)).read(FILE_BYTES_MAX + 1)
        except (OSError, EOFError, zlib.error):
            raise UnreadableFile(f"{name}: broken or truncated gzip") from None
    if len(raw) > FILE_BYTES_MAX:
        raise UnreadableFile(f"{name}: larger than {FILE_BYTES_MAX >> 20} MiB; split it")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{name}: not UTF-8 at byte {error.start}") from None


def _bytes(path: Path, name: str) -> bytes:
    try:
        if path.exists() and not path.is_file():
            raise UnreadableFile(f"{name}: a directory or device, no file")
        with path.open("rb") as file:
            return file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise UnreadableFile(f"{name}: no such file") from None
    except OSError as error:
        raise UnreadableFile(f"{name}: {error.strerror}") from None


def _trouble(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
    return "its JSON is nested too deeply"


def _fingerprint(row: object) -> bytes:
    return _digest(json.dumps(row, sort_keys=True, default=str))


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond what Decimal holds
        return Decimal("Infinity")


def _integer(text: str) -> int | Decimal:
    """Python refuses to read integers of thousands of digits; as a Decimal they are merely absurd."""
    return int(text) if len(text) <= NUMBER_TEXT_MAX else Decimal(text)


_DECODER = json.JSONDecoder(parse_float=_number, parse_int=_integer, parse_constant=Decimal)
