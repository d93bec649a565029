from copytrading.signals import ACTIVITY_TRADES
from copytrading.sources.gaps import Gaps
from copytrading.sources.stats import SourceStats
from tests.doors import VirtualClock
from tests.sources.test_activity import hearing


def gaps() -> tuple[Gaps, SourceStats]:
    stats = SourceStats(ACTIVITY_TRADES)
    return Gaps(VirtualClock(), stats), stats


def test_a_gap_is_counted_when_it_is_noticed_and_once_however_many_tries_fail() -> None:
    made, stats = gaps()
    made.lost(0.0)
    made.lost(5_000.0)
    assert stats.counts["gaps"] == 1


def test_after_data_came_again_the_next_loss_is_another_gap() -> None:
    made, stats = gaps()
    made.lost(0.0)
    made.heard()
    made.heard()
    made.lost(9_000.0)
    assert stats.counts["gaps"] == 2


def test_what_is_not_heard_while_nobody_is_followed_is_no_gap_that_goes_on() -> None:
    made, stats = gaps()
    made.lost(0.0)
    made.forget()
    made.lost(9_000.0)
    assert stats.counts["gaps"] == 2


async def test_a_connection_that_is_lost_is_a_gap_of_the_stream() -> None:
    async with hearing() as h:
        await h.all_read()
        assert h.trades.counts["gaps"] == 0
        await h.stream.connections[-1].close()
        await h.goes_by(3, lambda: len(h.stream.connections) == 2)
        await h.stream.subscribed(2)
        await h.all_read()
        assert h.trades.counts["gaps"] == 1
