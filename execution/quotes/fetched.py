"""The CLOB's GET /book, within the limits that all questions to the host share."""

from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from execution.books import Book, BookError, book_from_record, stamp_of
from execution.hosts import Host, HostDown, HostRefused
from execution.limits import HostLimits

BOOK = "book"
"""Name of this kind of question among the host's allowances."""

STALE_MS = 1_000
"""An answer that is so much older than what was heard already comes out of somebody's cache."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A book, and when it was by the venue's clock, in milliseconds."""

    book: Book
    stamp_ms: int

    def is_stale(self, heard_ms: int) -> bool:
        """Whether the venue itself has said something newer, at this moment of its clock."""
        return self.stamp_ms < heard_ms - STALE_MS


class ClobBooks:
    """Asks for one book at a time."""

    def __init__(self, host: Host, limits: HostLimits) -> None:
        self._host, self._limits = host, limits

    @property
    def paused(self) -> bool:
        """Whether the host is left alone for now: it asked for it, or it answers with errors."""
        return self._limits.paused

    async def book(self, token_id: int) -> Fetched | None:
        """The book as it stands; None where the venue has none, or one that cannot be read. Raises HostDown."""
        try:
            record = await self._host.ask(BOOK, "/book", [("token_id", str(token_id))])
        except HostRefused:
            return None
        try:
            if not isinstance(record, Mapping):
                raise BookError("The answer is no object.")
            found = Fetched(book=book_from_record(record), stamp_ms=stamp_of(record))
        except BookError as error:
            log.warning("A book cannot be read.", action="quote", token=str(token_id), why=str(error))
            return None
        if found.book.token_id != token_id:
            raise HostDown("book: it is another token's")
        return found
