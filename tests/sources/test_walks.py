"""A second with more rows than a page: it is taken only when it reads the same twice."""

from collections.abc import Sequence

from copytrading.sources.walks import Walked, walk
from execution.data_api import Window
from execution.envelopes import Page

SECOND = 1_795_262_400
Row = dict[str, object]


def row(name: str) -> Row:
    return {"timestamp": SECOND, "transactionHash": name}


async def walked(*readings: Sequence[str]) -> Walked:
    """Two rows to a page; each reading of the second finds it in its own order."""
    left = [list(reading) for reading in readings]

    async def read(window: Window, cursor: str | None) -> Page:
        begin = int(cursor or 0)
        rows = left[0][begin : begin + 2]
        more = begin + 2 < len(left[0])
        if not more and len(left) > 1:
            del left[0]
        onward = str(begin + 2) if more else None
        return Page(rows=tuple(row(each) for each in rows), next_cursor=onward, more=more, full=len(rows) == 2)

    return await walk(read, Window(start_s=SECOND - 60), rows_max=100)


async def test_rows_that_came_over_several_pages_count_when_they_come_so_again() -> None:
    told = await walked("abc", "bca")
    assert (told.whole, len(told.rows)) == (True, 3)


async def test_a_row_that_was_shown_on_two_pages_is_never_a_second_fill() -> None:
    told = await walked("aba", "abc")
    assert (told.whole, told.rows) == (False, ())
    assert "changed" in told.trouble


async def test_equal_rows_of_a_second_are_separate_fills_when_they_come_twice_alike() -> None:
    assert len((await walked("aab", "aab")).rows) == 3
