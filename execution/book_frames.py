"""Frames of the CLOB's market channel as books and changes of books (polymarket.md 4.2). Pure."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from execution.books import Book, BookError, book_from_record, stamp_of
from execution.wire import WireError, decode
from ledger.units import ONE, AmountError, Micros, Side, micros_from_text

BOOK, PRICE_CHANGE = "book", "price_change"

CHANGES_MAX = 10_000
"""Of one frame: the finest tick has 9,999 prices."""

_TOLD = re.compile(rb'"book"|price_change|\\u00').search
"""Trades, ticks and answers to pings are passed over; an escaped letter has to be decoded to know what it is."""

SIDES: Mapping[object, Side] = {"BUY": Side.BUY, "SELL": Side.SELL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A token's whole book at a moment of the venue's clock, in milliseconds."""

    book: Book
    stamp_ms: int


@dataclass(frozen=True, slots=True)
class LevelTotal:
    """What a level holds from now on, in all; 0 is nothing. BUY is the side of the bids."""

    side: Side
    price_micros: Micros
    size_micros: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Levels of one token that changed together, and the best prices afterwards; None where there is none or unsaid."""

    token_id: int
    stamp_ms: int
    levels: tuple[LevelTotal, ...]
    best_bid_micros: Micros | None
    best_ask_micros: Micros | None


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A part of a frame that cannot be trusted, of which token where it says so, and why in one sentence."""

    token_id: int | None
    sentence: str


Part = Whole | Changed | Unreadable


def read_books(frame: bytes) -> tuple[Part, ...]:
    """The books and changes of a frame, an object or a list of them; usually one or none. Never raises."""
    if _TOLD(frame) is None:
        return ()
    try:
        value = decode(frame)
    except WireError as error:
        return (Unreadable(None, str(error)),)
    rows = value if isinstance(value, list) else [value]
    return tuple(part for row in rows if isinstance(row, Mapping) for part in _parts(row))


def _parts(row: Mapping[str, object]) -> Iterator[Part]:
    kind = row.get("event_type")
    if kind == BOOK:
        yield _whole(row)
    elif kind == PRICE_CHANGE:
        yield from _changes(row)


def _whole(row: Mapping[str, object]) -> Whole | Unreadable:
    try:
        return Whole(book=book_from_record(row), stamp_ms=stamp_of(row))
    except BookError as error:
        return Unreadable(_token(row.get("asset_id")), str(error))


def _changes(row: Mapping[str, object]) -> Iterator[Changed | Unreadable]:
    listed = row.get("price_changes")
    if not isinstance(listed, list) or len(listed) > CHANGES_MAX:
        yield Unreadable(None, "price_changes is no list of levels")
        return
    by_token: dict[int, list[Mapping[str, object]]] = {}
    for each in listed:
        token = _token(each.get("asset_id")) if isinstance(each, Mapping) else None
        if token is None:
            yield Unreadable(None, "a changed level names no token")
        else:
            by_token.setdefault(token, []).append(each)
    for token, levels in by_token.items():
        try:
            yield _changed(token, levels, stamp_of(row))
        except (AmountError, BookError) as error:
            yield Unreadable(token, str(error))


def _changed(token_id: int, levels: list[Mapping[str, object]], stamp_ms: int) -> Changed:
    last = levels[-1]
    return Changed(
        token_id=token_id,
        stamp_ms=stamp_ms,
        levels=tuple(_level(each) for each in levels),
        best_bid_micros=_best(last.get("best_bid")),
        best_ask_micros=_best(last.get("best_ask")),
    )


def _level(each: Mapping[str, object]) -> LevelTotal:
    side, price, size = SIDES.get(each.get("side")), each.get("price"), each.get("size")
    if side is None or not isinstance(price, str) or not isinstance(size, str):
        raise BookError("A changed level lacks its side, price or size.")
    level = LevelTotal(side, micros_from_text(price), micros_from_text(size))
    if not 0 < level.price_micros < ONE or level.size_micros < 0:
        raise BookError(f"A changed level has price {price:.40} and size {size:.40}.")
    return level


def _best(value: object) -> Micros | None:
    """An empty side is told as 0 or 1, or not at all."""
    found = micros_from_text(value) if isinstance(value, str) and value else Micros(0)
    return found if 0 < found < ONE else None


def _token(value: object) -> int | None:
    if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 78:
        return None
    token = int(value)
    return token if 0 < token < 1 << 256 else None
