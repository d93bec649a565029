"""Books that were recorded, played on the injected clock."""

import gzip
import zlib
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from execution.books import Book, BookError, Snapshot, snapshot_from_line
from execution.ports import Quote
from ledger.clock import Clock
from ledger.units import Micros

SNAPSHOTS_MAX = 50_000
"""Lines taken from one recording: about 250 MB in memory at 20 levels a side."""


class RecordedBooks:
    """Plays recorded snapshots on the injected clock: the earliest one is taken to have happened when this began.

    A token keeps its last snapshot after the recording has ended, and has no book before its first.
    """

    def __init__(self, clock: Clock, snapshots: Iterable[Snapshot], *, tokens: Mapping[tuple[str, str], int]) -> None:
        """`tokens` gives the token of (market id, outcome); snapshots of others are left out."""
        self._clock = clock
        self._began_at = clock.now()
        self._played: dict[int, list[Snapshot]] = {}
        for snapshot in sorted(snapshots, key=lambda snapshot: snapshot.at_ms):
            token_id = tokens.get((snapshot.market_id, snapshot.outcome))
            if token_id is not None:
                self._played.setdefault(token_id, []).append(snapshot)
        self._first_ms = min((played[0].at_ms for played in self._played.values()), default=0)

    async def quote(self, token_id: int, *, around_micros: Micros) -> Quote | None:  # noqa: ARG002  # the port's name
        """The snapshot of the token that is current on the clock."""
        return self.last(token_id)

    def last(self, token_id: int, *, version: str = "") -> Quote | None:  # noqa: ARG002  # the market has moved on
        """The snapshot of the token that is current on the clock."""
        played = self._played.get(token_id, [])
        now_ms = self._first_ms + (self._clock.now() - self._began_at) // timedelta(milliseconds=1)
        count = bisect_right(played, now_ms, key=lambda snapshot: snapshot.at_ms)
        if count == 0:
            return None
        snapshot = played[count - 1]
        book = Book(token_id=token_id, bids=snapshot.bids, asks=snapshot.asks, version=f"recorded-{snapshot.at_ms}")
        as_of = self._began_at + timedelta(milliseconds=snapshot.at_ms - self._first_ms)
        return Quote(book=book, source="recorded", as_of=as_of)


def read_snapshots(path: Path) -> list[Snapshot]:
    """Read an l2 recording, one snapshot a line, gzipped or not. Blocking. Raises BookError naming file and line.

    The first line may describe the markets instead and is passed over.
    """
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
            return list(_snapshots(lines))
    except (BookError, EOFError, OSError, UnicodeDecodeError, zlib.error) as error:
        raise BookError(f"{path} is no readable recording of books: {error}") from error


def _snapshots(lines: Iterable[str]) -> Iterator[Snapshot]:
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.startswith('{"markets"'):
            continue
        if number > SNAPSHOTS_MAX:
            raise BookError(f"there are more than {SNAPSHOTS_MAX} lines.")
        try:
            yield snapshot_from_line(line)
        except BookError as error:
            raise BookError(f"line {number}: {error}") from None
