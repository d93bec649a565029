"""`verify quote-cache` and `price-fallback`: what is broken about prices fails the step that promises it."""

import pytest

from tests.commands.test_verify import left_behind
from tests.commands.test_verify_live import failed, verify

ASKING_FOR_EACH = """
from execution.quotes.live import LiveBooks
async def ask(self, token_id, *, around_micros):
    await self._asked.book(token_id)
    found = await self._asked.book(token_id)
    from execution.ports import Quote
    return Quote(book=found.book, source="book", as_of=self._clock.now())
LiveBooks.quote = ask
"""

SHARING_NOTHING = """
from copytrading.depth import DepthLeft
DepthLeft.take = lambda self, *told, **more: None
"""

TRUSTING_THE_CHANNEL = """
from copytrading.sources.book_watch import BookWatch
async def trust(self, token):
    return True
BookWatch.compare = trust
"""

WITHOUT_A_WORD = """
from copytrading import deciding
deciding._noted = lambda intent, quote: intent
"""

FOR_EVER_FRESH = """
from execution.quotes.live import LiveBooks
without = LiveBooks.without_book
def fresh(self, token_id, **more):
    return without(self, token_id, **(more | {"priced_at": self._clock.now()}))
LiveBooks.without_book = fresh
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("check", "sabotage", "failing"),
    [
        pytest.param("quote-cache", ASKING_FOR_EACH, {0, 1}, id="asking for each"),
        pytest.param("quote-cache", SHARING_NOTHING, {3}, id="sharing nothing"),
        pytest.param("quote-cache", TRUSTING_THE_CHANNEL, {5}, id="trusting the channel"),
        pytest.param("price-fallback", WITHOUT_A_WORD, {0, 3}, id="without a word"),
        pytest.param("price-fallback", FOR_EVER_FRESH, {1}, id="for ever fresh"),
    ],
)
def test_prices_that_are_not_minded_fail(database_url: str, check: str, sabotage: str, failing: set[int]) -> None:
    told, _done = verify(database_url, check, sabotage)
    # What one step leaves undone may also be in the way of a later one.
    assert failing <= failed(told), told["steps"]
    assert left_behind() == []
