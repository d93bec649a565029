"""The books of the market channel, kept level by level for the tokens that are subscribed."""

from collections import OrderedDict
from collections.abc import Collection, Iterable

import structlog

from execution.book_frames import Changed, Unreadable, Whole, read_books
from execution.books import Book
from execution.metrics import BOOK_DIVERGENCES_TOTAL, BOOKS_STREAMED, QUOTES_EVICTED_TOTAL
from execution.ports import Quote
from execution.quotes.ladder import Ladder, Watch
from ledger.clock import Clock

STREAM = "stream"

UNUSED_S = 600
"""A book that nobody asked for and that did not change for so long is let go."""

log = structlog.get_logger(__name__)


class StreamedBooks:
    """Told of every frame and of every connection that ends; answers with a book and when it was last heard of.

    A book that cannot be right any more is dropped at once, and its token named to whoever subscribes.
    """

    def __init__(self, clock: Clock, *, books_max: int) -> None:
        self._clock, self._books_max = clock, books_max
        self._ladders: OrderedDict[int, Ladder] = OrderedDict()
        self._used_ms: dict[int, float] = {}
        self._versions = 0

    @property
    def tokens(self) -> Collection[int]:
        """Whose books are here."""
        return self._ladders.keys()

    def heard(self, frame: bytes) -> tuple[int, ...]:
        """Take over a frame; the tokens whose books it has proved wrong, to be subscribed to anew."""
        wrong: list[int] = []
        for part in read_books(frame):
            if isinstance(part, Whole):
                self._put(part)
            elif isinstance(part, Changed):
                if not self._changed(part):
                    wrong.append(part.token_id)
            else:
                wrong += self._unread(part)
        for token in wrong:
            self.drop(token)
        return tuple(wrong)

    def lost(self, tokens: Iterable[int]) -> None:
        """The connection of these has ended, or they are no longer subscribed to: what was heard is history."""
        for token in tokens:
            self.drop(token)

    def drop(self, token_id: int) -> None:
        """Forget a book."""
        if self._ladders.pop(token_id, None) is not None:
            del self._used_ms[token_id]
            BOOKS_STREAMED.set(len(self._ladders))

    def quote(self, token_id: int) -> tuple[float, Quote] | None:
        """The book, and the moment of the monotonic clock at which it was last heard of; for somebody's use."""
        ladder = self._ladders.get(token_id)
        book = ladder.book() if ladder is not None else None
        if ladder is None or book is None:
            return None
        self._ladders.move_to_end(token_id)
        self._used_ms[token_id] = self._clock.monotonic_ms()
        return ladder.heard_ms, Quote(book=book, source=STREAM, as_of=ladder.as_of)

    def stamp_ms(self, token_id: int) -> int:
        """When the newest word on this book was, by the venue's clock; 0 without one."""
        ladder = self._ladders.get(token_id)
        return 0 if ladder is None else ladder.stamp_ms

    def watch(self, token_id: int) -> tuple[Ladder, Watch] | None:
        """Begin to note the levels of a book that is fetched elsewhere."""
        ladder = self._ladders.get(token_id)
        return None if ladder is None else (ladder, ladder.watch())

    def compare(self, watched: tuple[Ladder, Watch], fetched: Book | None) -> bool:
        """End a watch: False, and the book is dropped, when the fetched one is another. None compares nothing."""
        ladder, watch = watched
        ladder.unwatch(watch)
        if fetched is None or self._ladders.get(ladder.token_id) is not ladder:
            return True
        differing = watch.differing(fetched)
        if not differing:
            return True
        BOOK_DIVERGENCES_TOTAL.labels("comparison").inc()
        token = str(ladder.token_id)
        log.warning("A streamed book is not the venue's any more.", action="compare", token=token, levels=differing)
        self.drop(ladder.token_id)
        return False

    def forget_old(self) -> None:
        """Let go of what nobody uses and nothing changes."""
        limit_ms = self._clock.monotonic_ms() - UNUSED_S * 1_000
        old = [
            token
            for token, ladder in self._ladders.items()
            if ladder.heard_ms < limit_ms and self._used_ms[token] < limit_ms
        ]
        for token in old:
            QUOTES_EVICTED_TOTAL.labels(STREAM, "age").inc()
            self.drop(token)

    def _put(self, whole: Whole) -> None:
        token, now_ms = whole.book.token_id, self._clock.monotonic_ms()
        ladder = self._ladders.get(token)
        if ladder is None:
            self._ladders[token] = Ladder(whole, version=self._version(), heard_ms=now_ms, as_of=self._clock.now())
            self._used_ms[token] = now_ms
            self._make_room()
        elif whole.stamp_ms >= ladder.stamp_ms:
            ladder.put(whole, version=self._version(), heard_ms=now_ms, as_of=self._clock.now())

    def _changed(self, part: Changed) -> bool:
        ladder = self._ladders.get(part.token_id)
        if ladder is None:
            return True
        fits = ladder.apply(part, version=self._version(), heard_ms=self._clock.monotonic_ms(), as_of=self._clock.now())
        if not fits:
            BOOK_DIVERGENCES_TOTAL.labels("best price").inc()
        return fits

    def _unread(self, part: Unreadable) -> list[int]:
        log.warning("A book of the market channel cannot be read.", action="read", why=part.sentence)
        BOOK_DIVERGENCES_TOTAL.labels("unreadable").inc()
        # Without a name it may have been any of them.
        return [part.token_id] if part.token_id is not None else list(self._ladders)

    def _make_room(self) -> None:
        while len(self._ladders) > self._books_max:
            QUOTES_EVICTED_TOTAL.labels(STREAM, "room").inc()
            self.drop(next(iter(self._ladders)))
        BOOKS_STREAMED.set(len(self._ladders))

    def _version(self) -> str:
        self._versions += 1
        return f"{STREAM}-{self._versions}"
