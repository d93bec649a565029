"""Reads everything that a window of time holds, page by page and newest first, and notices pages that repeat.

Pages are asked for by time: the next one ends with the oldest second of the last, which is read whole again. So a
page never cuts a transaction in two, rows of one second may come in any order, and nothing hangs on how long a cursor
lives. The cursor serves only for a second that has more rows than a page; what comes over several pages is read twice
and must be the same both times, because between two pages the order of a second may change, and a row that is shown on
both looks like a second fill. No database, no network of its own.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from copytrading.fields import decimal
from execution.data_api import Window
from execution.envelopes import Page
from execution.hosts import HostDown, HostRefused

PAGES_MAX = 200
"""Of one walk, whatever they hold: more than any bound on rows needs, and the end of every circle."""

Read = Callable[[Window, str | None], Awaitable[Page]]
"""Asks for the newest rows of a window, or for those behind a cursor of the same window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """What a walk brought: raw rows, oldest first, each second of them whole.

    `whole` says that the window holds nothing else. Otherwise `full` says that the bound on rows ended it, with
    everything after `unread_s` read, or `trouble` what else did. `repeated` counts rows of a page that came twice.
    """

    rows: tuple[object, ...]
    whole: bool
    unread_s: int
    full: bool = False
    repeated: int = 0
    trouble: str = ""


async def walk(read: Read, window: Window, *, rows_max: int) -> Walked:
    """Read a window to its end, or to `rows_max` rows (whole seconds, so perhaps a page more). Never raises."""
    return await _Walk(read, window, rows_max).run()


def second_of(row: object) -> int | None:
    """When a row says it happened, in Unix seconds; None where it does not say."""
    number = decimal(row.get("timestamp")) if isinstance(row, Mapping) else None
    return int(number) if number is not None and number.is_finite() and 0 < number < 10**11 else None


class _Walk:
    def __init__(self, read: Read, window: Window, rows_max: int) -> None:
        self._read, self._window, self._rows_max = read, window, rows_max
        self._taken: list[object] = []
        self._pool: list[object] = []
        self._below_s: int | None = window.end_s
        self._cursor: str | None = None
        self._cursors: set[str] = set()
        self._pages: set[bytes] = set()
        self._repeated = 0
        self._first_reading: Counter[bytes] | None = None

    async def run(self) -> Walked:
        for _ in range(PAGES_MAX):
            try:
                page = await self._read(self._asked(), self._cursor)
            except (HostDown, HostRefused) as error:
                return self._ended(trouble=str(error))
            if self._is_last(page):
                pool = [*self._pool, *self._fresh(page.rows)]
                if self._is_sure(pool):
                    self._take(pool, down_to_s=None)
                    return self._ended(whole=True)
                trouble = self._read_again(pool)
            else:
                trouble = self._step(page)
            if trouble:
                return self._ended(trouble=trouble)
            if len(self._taken) >= self._rows_max:
                return self._ended(full=True)
        return self._ended(trouble="it had too many pages")

    def _is_last(self, page: Page) -> bool:
        if page.more:
            return False
        # Full without saying that there is more: only a window that ends earlier can tell, if there can be one.
        seconds = {second_of(row) for row in self._fresh(page.rows)}
        return not page.full or len(seconds) < 2

    def _asked(self) -> Window:
        # Nobody says whether the end is included: one second more is asked for, and what was taken is left out.
        end_s = None if self._below_s is None else self._below_s + 1
        return Window(start_s=self._window.start_s, end_s=end_s)

    def _step(self, page: Page) -> str:
        """Take what is whole of a page that others follow, and choose the next question; what is wrong, or nothing."""
        name = _fingerprint(page.rows)
        if name in self._pages:
            self._repeated += len(page.rows)
            return "a page came twice"
        self._pages.add(name)
        if _rises(page.rows):
            return "the oldest rows came first"
        pool = [*self._pool, *self._fresh(page.rows)]
        seconds = [second for row in pool if (second := second_of(row)) is not None]
        if not seconds or min(seconds) == max(seconds):
            self._pool = pool
            return self._follow(page.next_cursor)
        if not self._is_sure(pool):
            return self._read_again(pool)
        self._take(pool, down_to_s=min(seconds))
        # A new window, which may begin with rows of this one: pages and cursors repeat only inside a window.
        self._below_s = min(seconds)
        self._begin_window()
        return ""

    def _begin_window(self) -> None:
        self._cursor, self._pool, self._first_reading = None, [], None
        self._pages.clear()
        self._cursors.clear()

    def _is_sure(self, pool: Sequence[object]) -> bool:
        """Whether these rows stood on one page, or came over several pages a second time as the first time."""
        return self._cursor is None or self._first_reading == _newest_second(pool)

    def _read_again(self, pool: Sequence[object]) -> str:
        if self._first_reading is not None:
            return "a second's rows changed while they were read"
        self._begin_window()
        self._first_reading = _newest_second(pool)
        return ""

    def _follow(self, cursor: str | None) -> str:
        if cursor is None:
            return "more rows in a second than a page holds, and no cursor"
        if cursor in self._cursors:
            return "a cursor came twice"
        self._cursor = cursor
        self._cursors.add(cursor)
        return ""

    def _fresh(self, rows: Sequence[object]) -> list[object]:
        return [row for row in rows if self._is_fresh(second_of(row))]

    def _is_fresh(self, second: int | None) -> bool:
        if second is None:
            return True
        return second >= self._window.start_s and (self._below_s is None or second <= self._below_s)

    def _take(self, rows: Sequence[object], *, down_to_s: int | None) -> None:
        for row in rows:
            second = second_of(row)
            if down_to_s is None or second is None or second > down_to_s:
                self._taken.append(row)

    def _ended(self, *, whole: bool = False, full: bool = False, trouble: str = "") -> Walked:
        rows = list(reversed(self._taken))
        rows.sort(key=lambda row: second_of(row) or 0)
        return Walked(
            rows=tuple(rows),
            whole=whole,
            unread_s=self._window.start_s if self._below_s is None else self._below_s,
            full=full,
            repeated=self._repeated,
            trouble=trouble,
        )


def _rises(rows: Sequence[object]) -> bool:
    seconds = [second for row in rows if (second := second_of(row)) is not None]
    return len(seconds) > 1 and seconds[0] < seconds[-1]


def _newest_second(rows: Sequence[object]) -> Counter[bytes]:
    """The rows of the newest second, and those that do not say theirs: only these can have come over several pages."""
    newest = max((second for row in rows if (second := second_of(row)) is not None), default=0)
    return Counter(_fingerprint([row]) for row in rows if second_of(row) in (newest, None))


def _fingerprint(rows: Sequence[object]) -> bytes:
    return blake2b(repr(rows).encode("utf-8", "surrogatepass"), digest_size=16).digest()
