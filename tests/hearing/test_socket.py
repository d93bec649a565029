"""The activity stream alone, under every fault: nothing twice, and what could not be heard is counted."""

import pytest

from copytrading.signals import ACTIVITY_TRADES
from tests.hearing.found import Trades, recorded, torn_groups
from tests.hearing.listener import SOCKET
from tests.hearing.stage import Stage, stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

DEAFENING = (
    ("activity:silence=700ms",),
    ("activity:freeze",),
    ("activity:half-open=2s",),
    ("activity:disconnect",),
    ("activity:429=3", "activity:disconnect"),
    ("activity:5xx=3", "activity:disconnect"),
)
"""Faults after which the connection is another one."""

OTHERS = ("activity:drop=30%", "activity:duplicate", "activity:reorder", "activity:delay=50%,300ms")


def more_than(truth: Trades, found: Trades) -> Trades:
    """What was acted on and never happened, or not as much."""
    return {key: size for key, size in found.items() if size > truth.get(key, 0)}


async def hears_again(s: Stage) -> None:
    """Something of the leaders that happens from now on is heard."""
    before = len(await s.ask(recorded))
    for _ in range(40):
        await s.play(12)
        if len(await s.ask(recorded)) > before:
            return
    raise AssertionError("the stream stays deaf")


async def never_acted_twice(s: Stage) -> None:
    """After the end, too."""
    await s.listener.stop()
    found = await s.ask(recorded)
    assert more_than(s.truth(), found) == {}
    assert await s.ask(torn_groups) == []
    assert len(found) > len(s.truth()) // 3


@pytest.mark.parametrize("faults", DEAFENING, ids=" ".join)
async def test_a_stream_that_was_lost_acts_on_nothing_twice_and_counts_the_gap(faults: tuple[str, ...]) -> None:
    async with stage(SOCKET) as s:
        await s.play()
        assert s.listener.counted(ACTIVITY_TRADES).counts["gaps"] == 0
        for fault in faults:
            await s.fault(fault)
        await s.play()
        await s.struck(faults[0])
        await s.listener.until(lambda: s.listener.total("gaps") >= 1, "the gap is counted")
        s.box.faults.lift()
        await hears_again(s)
        await never_acted_twice(s)
        assert s.listener.counted(ACTIVITY_TRADES).counts["gaps"] < 10


@pytest.mark.parametrize("fault", OTHERS)
async def test_a_stream_that_goes_on_acts_on_nothing_twice(fault: str) -> None:
    async with stage(SOCKET) as s:
        await s.play()
        await s.fault(fault)
        await s.play()
        await s.struck(fault)
        s.box.faults.lift()
        await hears_again(s)
        await never_acted_twice(s)
        assert s.listener.total("gaps") == 0
