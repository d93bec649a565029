import asyncio
from dataclasses import replace
from datetime import timedelta

from copytrading.signals import DATA_API, ActionKind, LeaderAction
from copytrading.sources.base import Reading
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.live import Heard, LiveSink
from copytrading.sources.stats import SourceStats
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING, VirtualClock

LENA, STRANGER = "0x" + "1e" * 20, "0x" + "ee" * 20
FILL = LeaderAction(
    source=DATA_API,
    kind=ActionKind.TRADE,
    wallet=LENA,
    tx_hash="0x" + "aa" * 32,
    condition_id="0x" + "cc" * 32,
    token_id=7,
    side=Side.BUY,
    size_micros=Micros(10 * ONE),
    price_micros=Micros(500_000),
    traded_at=BEGINNING,
)


class Recording:
    """A sink that remembers."""

    def __init__(self) -> None:
        self.taken: list[Reading] = []
        self.withdrawn: list[tuple[str, tuple[str, ...]]] = []

    async def offer(self, walk: str, readings, *, complete: bool) -> None:
        self.taken += readings

    async def end_walk(self, walk: str) -> None: ...

    async def withdraw(self, source: str, tx_hashes) -> None:
        self.withdrawn.append((source, tuple(tx_hashes)))


class Listening:
    """Lena is heard since the beginning; ten minutes have passed."""

    def __init__(self, **options) -> None:
        self.clock, self.leaders, self.inner = VirtualClock(), HeardLeaders(), Recording()
        self.clock.advance(600)
        self.leaders.replace({LENA: BEGINNING + timedelta(milliseconds=400)})
        self.stats = SourceStats(DATA_API)
        self.sink = LiveSink(
            self.inner, self.clock, self.leaders, stats={DATA_API: self.stats}, late_after_s=60, **options
        )


async def test_what_a_stranger_did_goes_no_further() -> None:
    live = Listening()
    await live.sink.offer("walk", [replace(FILL, wallet=STRANGER)], complete=True)
    assert (live.inner.taken, live.stats.counts["foreign"]) == ([], 1)


async def test_history_from_before_the_follow_goes_no_further() -> None:
    live = Listening()
    await live.sink.offer("walk", [replace(FILL, traded_at=BEGINNING - timedelta(seconds=1))], complete=True)
    assert (live.inner.taken, live.stats.counts["history"]) == ([], 1)


async def test_the_second_in_which_the_follow_began_is_heard() -> None:
    live = Listening()
    await live.sink.offer("walk", [FILL], complete=True)
    assert live.inner.taken == [FILL]


async def test_a_late_row_is_passed_on_and_counted() -> None:
    live = Listening()
    await live.sink.offer("walk", [FILL, replace(FILL, traded_at=live.clock.now())], complete=True)
    assert (len(live.inner.taken), live.stats.counts["late"], live.stats.lag_percentile(50)) == (2, 1, 0.0)


async def test_listeners_are_told_of_whom_was_heard() -> None:
    heard: list[str] = []
    live = Listening(heard=Heard([heard.append]))
    await live.sink.offer("walk", [FILL, replace(FILL, wallet=STRANGER)], complete=True)
    assert heard == [LENA]


async def test_a_withdrawal_is_passed_on() -> None:
    live = Listening()
    await live.sink.withdraw(DATA_API, [FILL.tx_hash])
    assert live.inner.withdrawn == [(DATA_API, (FILL.tx_hash,))]


async def test_waiting_for_another_set_of_leaders_ends_with_the_change() -> None:
    leaders = HeardLeaders()
    waiting = asyncio.create_task(leaders.changed(leaders.version))
    await asyncio.sleep(0)
    leaders.replace({})
    await asyncio.sleep(0)
    assert not waiting.done(), "the same set is no change"
    leaders.replace({LENA: BEGINNING})
    await asyncio.wait_for(waiting, 1)
    assert leaders.version == 1
