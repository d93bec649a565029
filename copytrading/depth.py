"""What is left of books while many orders are planned on them: a hundred followers share a level. Pure."""

from collections import OrderedDict

from execution.books import Book, Level, consume
from ledger.units import Side

BOOKS_MAX = 2_048
"""Sides of books remembered, some 2 kB each; a book of the market is another one with its next change."""

NO_LEVELS: tuple[Level, ...] = ()


class DepthLeft:
    """What earlier orders have left of each side of each book, by the book's version.

    It outlives a batch, because the followers of one trade may fill several. What pretend money takes is nobody
    else's: each mode has its own. An order that is refused later has taken its part all the same, until the book
    changes: it errs towards orders that really can be filled.
    """

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[str, int, str, Side], tuple[Level, ...]] = OrderedDict()

    def of(self, mode: str, book: Book | None, *, side: Side) -> tuple[Level, ...]:
        """The levels that an order of this side would meet, best first."""
        if book is None:
            return NO_LEVELS
        return self._left.get((mode, book.token_id, book.version, side), book.side_against(side))

    def take(self, mode: str, book: Book, *, side: Side, size_micros: int) -> None:
        """So much of the best levels is an order's now."""
        key = (mode, book.token_id, book.version, side)
        self._left[key] = consume(self._left.get(key, book.side_against(side)), size_micros)
        self._left.move_to_end(key)
        if len(self._left) > BOOKS_MAX:
            self._left.popitem(last=False)
