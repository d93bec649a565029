"""Order books as values: how a limit order meets one, how one is read, and how one is made up. Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ledger.units import BPS, ONE, AmountError, Micros, Side, ceil_to_tick, floor_to_tick, micros_from_text

LEVELS_MAX = 10_000
"""Levels of one side taken from outside: the finest tick, 0.0001, has 9,999 prices."""
BRACKETS_MAX = 2 * LEVELS_MAX + 10
"""Lists and objects in one text, counted before it is parsed. web3 brings py_ecc, which raises the recursion limit so
far that JSON nested 100,000 deep ends the process by a segmentation fault (tried 2026-11; 60,000 were survived)."""


@dataclass(frozen=True, slots=True)
class Level:
    """One price of a book and the shares offered or wanted there."""

    price_micros: Micros
    size_micros: Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Both sides, best price first. `version` names the snapshot: the same version is the same liquidity."""

    token_id: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]
    version: str

    def side_against(self, side: Side) -> tuple[Level, ...]:
        """The levels an order of this side would meet, best first."""
        return self.asks if side is Side.BUY else self.bids

    def best_against(self, side: Side) -> Micros | None:
        """The best price an order of this side would meet; None when nothing is there."""
        levels = self.side_against(side)
        return levels[0].price_micros if levels else None


class BookError(ValueError):
    """A book that cannot be read or is none; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """What an order takes from a book; all zero when nothing crosses.

    `cost_micros` is pUSD of the whole fill, rounded once: up for a BUY, down for a SELL. `price_micros` is the
    average, rounded against the follower too and never beyond the limit.
    """

    size_micros: Micros
    cost_micros: Micros
    price_micros: Micros


def match(levels: Sequence[Level], side: Side, *, size_micros: int, limit_micros: int) -> Match:
    """Walk the levels, best first, up to the size and no further than the limit price."""
    left, notional = size_micros, 0
    for level in levels:
        beyond = level.price_micros > limit_micros if side is Side.BUY else level.price_micros < limit_micros
        if beyond or left == 0:
            break
        taken = min(left, level.size_micros)
        left -= taken
        notional += taken * level.price_micros
    size = size_micros - left
    if size == 0:
        return Match(size_micros=Micros(0), cost_micros=Micros(0), price_micros=Micros(0))
    cost, price = notional // ONE, notional // size
    if side is Side.BUY:
        cost, price = -(-notional // ONE), -(-notional // size)
    return Match(size_micros=Micros(size), cost_micros=Micros(cost), price_micros=Micros(price))


def consume(levels: Sequence[Level], size_micros: int) -> tuple[Level, ...]:
    """The levels left after a size was taken from the best ones."""
    left = size_micros
    for index, level in enumerate(levels):
        if left < level.size_micros:
            rest = Level(level.price_micros, Micros(level.size_micros - left))
            return (rest, *levels[index + 1 :])
        left -= level.size_micros
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BookShape:
    """How a book is made up: spread in basis points of the price, shares at each level, and how many levels."""

    spread_bps: int
    depth_micros: Micros
    levels: int


def book_around(token_id: int, price_micros: int, *, tick_micros: int, shape: BookShape, version: str) -> Book:
    """A made-up book whose sides start half the spread away from a price and go on tick by tick inside (0, 1).

    The start is rounded away from the price, and never lies on its better side: a copy does not beat its
    leader. With no spread and a price on the tick both sides start at the price. A side without room is empty.
    """
    half = -(-price_micros * shape.spread_bps // (2 * BPS))
    ask = min(ceil_to_tick(price_micros + half, tick_micros), ONE - tick_micros)
    bid = max(floor_to_tick(price_micros - half, tick_micros), tick_micros)
    asks = range(ask, ONE, tick_micros) if ask >= price_micros else ()
    bids = range(bid, 0, -tick_micros) if bid <= price_micros else ()
    return Book(
        token_id=token_id,
        bids=tuple(Level(Micros(price), shape.depth_micros) for price in bids[: shape.levels]),
        asks=tuple(Level(Micros(price), shape.depth_micros) for price in asks[: shape.levels]),
        version=version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One recorded book, before anybody says which token it belongs to; `at_ms` is milliseconds since 1970."""

    market_id: str
    outcome: str
    at_ms: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


def book_from_rest(text: str) -> Book:
    """Read the venue's answer to GET /book from its text. Raises BookError."""
    return book_from_record(_object(text))


def book_from_record(record: Mapping[str, object]) -> Book:
    """Read a book of the venue (polymarket.md 3.3 and 4.2), numbers exactly from their text. Raises BookError.

    The venue puts the best price last; here it comes first. Its `hash` with its time is the version.
    """
    bids = _side(_pairs(record, "bids"), best_is_highest=True)
    asks = _side(_pairs(record, "asks"), best_is_highest=False)
    _refuse_crossed(bids, asks)
    token_id = _whole(record, "asset_id")
    if token_id >= 1 << 256:
        raise BookError(f"The book's asset_id is no uint256: {token_id}.")
    version = f"{_text(record, 'timestamp')}-{_text(record, 'hash')}"
    return Book(token_id=token_id, bids=bids, asks=asks, version=version)


def stamp_of(record: Mapping[str, object]) -> int:
    """When a book or a change of it was, by the venue's clock, in milliseconds. Raises BookError."""
    return _whole(record, "timestamp")


def snapshot_from_line(text: str) -> Snapshot:
    """Read one line of an l2 recording (`bid_px`, `bid_sz`, `ask_px`, `ask_sz`, best first). Raises BookError."""
    record = _object(text)
    bids = _side(_columns(record, "bid"), best_is_highest=True)
    asks = _side(_columns(record, "ask"), best_is_highest=False)
    _refuse_crossed(bids, asks)
    return Snapshot(
        market_id=_text(record, "market_id"),
        outcome=_text(record, "side"),
        at_ms=_whole(record, "ts"),
        bids=bids,
        asks=asks,
    )


def _object(text: str) -> dict[str, object]:
    if text.count("[") + text.count("{") > BRACKETS_MAX:
        raise BookError(f"The book {text[:60]!r} is no JSON of at most {BRACKETS_MAX} lists and objects.")
    try:
        # Every number stays the text it was: no float ever stands between the recording and the micros.
        record = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        raise BookError(f"The book {text[:60]!r} is no JSON.") from None
    if not isinstance(record, dict):
        raise BookError(f"The book {text[:60]!r} is no JSON object.")
    return record


def _text(record: Mapping[str, object], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value:
        raise BookError(f"The book's {key} is missing or no text: {value!r:.60}.")
    return value


def _whole(record: Mapping[str, object], key: str) -> int:
    value = _text(record, key)
    if not (value.isascii() and value.isdigit() and len(value) <= 78):
        raise BookError(f"The book's {key} is no whole number: {value!r:.60}.")
    return int(value)


def _list(record: Mapping[str, object], key: str) -> list[object]:
    value = record.get(key)
    if not isinstance(value, list) or len(value) > LEVELS_MAX:
        raise BookError(f"The book's {key} is no list of at most {LEVELS_MAX} levels.")
    return value


def _pairs(record: Mapping[str, object], key: str) -> list[tuple[object, object]]:
    rows = _list(record, key)
    return [(row.get("price"), row.get("size")) if isinstance(row, dict) else (row, None) for row in rows]


def _columns(record: Mapping[str, object], key: str) -> list[tuple[object, object]]:
    prices, sizes = _list(record, f"{key}_px"), _list(record, f"{key}_sz")
    if len(prices) != len(sizes):
        raise BookError(f"The book has {len(prices)} {key} prices and {len(sizes)} sizes.")
    return list(zip(prices, sizes, strict=True))


def _side(pairs: Sequence[tuple[object, object]], *, best_is_highest: bool) -> tuple[Level, ...]:
    levels = [_level(price, size) for price, size in pairs]
    levels.sort(key=lambda level: level.price_micros, reverse=best_is_highest)
    if len({level.price_micros for level in levels}) < len(levels):
        raise BookError("The book names a price twice on one side.")
    return tuple(levels)


def _level(price: object, size: object) -> Level:
    if not isinstance(price, str) or not isinstance(size, str):
        raise BookError(f"A level of the book lacks its price or its size: {price!r:.60}, {size!r:.60}.")
    try:
        level = Level(micros_from_text(price), micros_from_text(size))
    except AmountError as error:
        raise BookError(f"A level of the book is unreadable: {error}.") from None
    if not 0 < level.price_micros < ONE:
        raise BookError(f"A level of the book has price {price:.40}, outside (0, 1).")
    if level.size_micros <= 0:
        raise BookError(f"A level of the book has size {size:.40}, which is not positive.")
    return level


def _refuse_crossed(bids: tuple[Level, ...], asks: tuple[Level, ...]) -> None:
    if bids and asks and bids[0].price_micros >= asks[0].price_micros:
        raise BookError("The book's best bid is not below its best ask.")
