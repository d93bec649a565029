"""Where books come from: made around a leader's price, recorded, or live from the venue."""

from execution.quotes.base import KnownQuotes, remember
from execution.quotes.fetched import ClobBooks
from execution.quotes.live import LiveBooks, LiveSettings
from execution.quotes.made import AroundLeader, FixedBooks
from execution.quotes.recorded import RecordedBooks, read_snapshots
from execution.quotes.streamed import StreamedBooks

__all__ = [
    "AroundLeader",
    "ClobBooks",
    "FixedBooks",
    "KnownQuotes",
    "LiveBooks",
    "LiveSettings",
    "RecordedBooks",
    "StreamedBooks",
    "read_snapshots",
    "remember",
]
