"""What is left of books while many orders are planned on them: a hundred followers share a level. Pure."""

from dataclasses import dataclass, replace

from copytrading.states import ON_THE_VENUE
from execution.books import Book, Level, consume
from execution.recent import Recent
from ledger.units import Micros, Side

BOOKS_MAX = 2_048
"""Sides of books remembered, some 2 kB each; of pretend money a book is another one with its next change."""

KEPT_MS = 60_000
"""A side of which nothing was taken for so long is not remembered: whatever was on its way has arrived."""

CARRIED_MS = 5_000
"""So long after it was planned an order may still be on its way to the book: it leaves two seconds after it was
written at the latest (`gate.SEND_WITHIN_MS`), is matched, and the change is told. A busy book changes several times a
second, and its next version is no new liquidity."""

NO_LEVELS: tuple[Level, ...] = ()


@dataclass(frozen=True, slots=True)
class _Taken:
    """Of one level: what orders have taken that it does not show yet, what it held then, and when the last one did."""

    micros: int
    there_micros: int
    at_ms: float


@dataclass(slots=True)
class _Side:
    """One side of a book at a version: the levels that are left, and what was taken of which price."""

    version: str
    levels: tuple[Level, ...]
    taken: dict[int, _Taken]


class DepthLeft:
    """What earlier orders have left of each side of each book.

    It outlives a batch, because the followers of one trade may fill several, and for real orders the book's next
    versions too: a level that did not shrink by what was taken of it will do so in a moment. What pretend money takes
    is nobody else's: each mode has its own. An order that is refused later has taken its part all the same, until the
    book changes or for a moment after: it errs towards orders that really can be filled.
    """

    def __init__(self) -> None:
        self._sides: Recent[tuple[str, int, str, Side], _Side] = Recent(bound=BOOKS_MAX, kept_ms=KEPT_MS)

    def of(self, mode: str, book: Book | None, *, side: Side, now_ms: float) -> tuple[Level, ...]:
        """The levels that an order of this side would meet, best first; `now_ms` of the monotonic clock."""
        if book is None:
            return NO_LEVELS
        known = self._sides.get(_key(mode, book, side))
        if known is None:
            return book.side_against(side)
        return self._renewed(known, book, side, now_ms).levels

    def take(self, mode: str, book: Book, *, side: Side, size_micros: int, now_ms: float) -> None:
        """So much of the best levels is an order's now."""
        key = _key(mode, book, side)
        known = self._sides.get(key) or _Side(book.version, book.side_against(side), {})
        known = self._renewed(known, book, side, now_ms)
        for level, micros in _taken_of(known.levels, size_micros):
            before = known.taken.get(level.price_micros, _Taken(0, int(level.size_micros), now_ms))
            known.taken[level.price_micros] = replace(before, micros=before.micros + micros, at_ms=now_ms)
        known.levels = consume(known.levels, size_micros)
        self._sides.put(key, known, now_ms=now_ms)

    def _renewed(self, known: _Side, book: Book, side: Side, now_ms: float) -> _Side:
        """The same side at the book's version: each level less what it will lose, as far as it has not lost it yet."""
        if known.version == book.version:
            return known
        carried: dict[int, _Taken] = {}
        levels: list[Level] = []
        for level in book.side_against(side):
            left = int(level.size_micros)
            taken = known.taken.get(level.price_micros)
            if taken is not None and now_ms - taken.at_ms <= CARRIED_MS:
                to_come = max(0, taken.micros - max(0, taken.there_micros - level.size_micros))
                if to_come:
                    carried[level.price_micros] = replace(taken, micros=to_come, there_micros=int(level.size_micros))
                    left -= to_come
            if left > 0:
                levels.append(level if left == level.size_micros else Level(level.price_micros, Micros(left)))
        known.version, known.levels, known.taken = book.version, tuple(levels), carried
        return known


def _key(mode: str, book: Book, side: Side) -> tuple[str, int, str, Side]:
    return (mode, book.token_id, "" if mode == ON_THE_VENUE else book.version, side)


def _taken_of(levels: tuple[Level, ...], size_micros: int) -> list[tuple[Level, int]]:
    found, left = [], size_micros
    for level in levels:
        if left <= 0:
            break
        found.append((level, min(left, int(level.size_micros))))
        left -= level.size_micros
    return found
