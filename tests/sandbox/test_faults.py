"""Faults are exact in their counts, seeded in their choice, and end when they should."""

import asyncio

import pytest

from execution.sandbox.faults import DELAY, DROP, SILENCE, DoorFaults, Fault, Faults, UnknownFault, parse_fault
from ledger.system import SeededRandomness
from tests.doors import VirtualClock


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("activity:drop", Fault(door="activity", kind="drop")),
        ("activity:drop=20%", Fault(door="activity", kind="drop", share_percent=20)),
        ("data-api:429=3", Fault(door="data-api", kind="429", count=3)),
        ("activity:delay=1.5s", Fault(door="activity", kind="delay", ms=1_500)),
        ("activity:delay=250ms,10%", Fault(door="activity", kind="delay", ms=250, share_percent=10)),
        ("chain:reorg=2", Fault(door="chain", kind="reorg", count=2)),
        (" Activity:Half-Open=5s ", Fault(door="activity", kind="half-open", ms=5_000)),
    ],
)
def test_a_fault_is_read_from_words(words: str, expected: Fault) -> None:
    assert parse_fault(words) == expected


NO_FAULTS = ("", "activity", "activity:", ":drop", "a b:drop", "a:drop=", "a:drop=0", "a:drop=0%", "a:drop=101%")
NO_VALUES = ("a:drop=-1", "a:drop=1.5", "a:drop=2h", "a:drop=,", "a:drop=1.5ms")


@pytest.mark.parametrize("words", [*NO_FAULTS, *NO_VALUES])
def test_words_that_are_no_fault_are_refused(words: str) -> None:
    with pytest.raises(UnknownFault):
        parse_fault(words)


def _door(clock: VirtualClock | None = None, seed: int = 1) -> DoorFaults:
    return DoorFaults("d", (DROP, DELAY, SILENCE), clock=clock or VirtualClock(), chance=SeededRandomness(seed))


async def _strikes(door: DoorFaults, chances: int) -> list[bool]:
    return [door.strike(DROP) is not None for _ in range(chances)]


async def test_a_count_strikes_exactly_the_next_so_many() -> None:
    door = _door()
    await door.apply(Fault(door="d", kind=DROP, count=3))
    assert await _strikes(door, 5) == [True, True, True, False, False]
    assert door.struck[DROP] == 3


@pytest.mark.parametrize("share", [1, 20, 99, 100])
async def test_a_share_is_exact_in_every_hundred_chances(share: int) -> None:
    door = _door()
    await door.apply(Fault(door="d", kind=DROP, share_percent=share))
    assert [sum(await _strikes(door, 100)) for _ in range(3)] == [share] * 3


async def test_the_same_seed_strikes_the_same_chances() -> None:
    drawn = []
    for seed in (1, 1, 2):
        door = _door(seed=seed)
        await door.apply(Fault(door="d", kind=DROP, share_percent=20))
        drawn.append(await _strikes(door, 100))
    assert drawn[0] == drawn[1] != drawn[2]


async def test_a_fault_with_a_time_lifts_itself() -> None:
    clock = VirtualClock()
    door = _door(clock)
    await door.apply(Fault(door="d", kind=SILENCE, ms=2_000))
    clock.advance(1.9)
    assert door.lasts(SILENCE)
    clock.advance(0.1)
    assert door.lasts(SILENCE) is None


async def test_the_time_of_a_delay_is_how_long_it_holds_and_not_how_long_it_lasts() -> None:
    clock = VirtualClock()
    door = _door(clock)
    await door.apply(Fault(door="d", kind=DELAY, ms=2_000))
    clock.advance(3_600)
    assert door.lasts(DELAY)


async def test_waiting_for_a_lift_ends_with_it() -> None:
    door = _door()
    await door.apply(Fault(door="d", kind=SILENCE))
    waiting = asyncio.create_task(door.until_lifted(SILENCE))
    await asyncio.sleep(0)
    assert not waiting.done()
    door.lift(SILENCE)
    await waiting


async def test_an_act_is_done_at_once_and_does_not_last() -> None:
    door, done = _door(), []

    async def act(fault: Fault) -> None:
        done.append(fault.amount)

    door.on("reorg", act)
    await door.apply(Fault(door="d", kind="reorg", count=2))
    assert (done, door.now_set(), door.struck["reorg"]) == ([2], (), 1)


async def test_an_unknown_door_or_kind_is_refused_with_those_there_are() -> None:
    faults = Faults(VirtualClock(), SeededRandomness(1))
    faults.door("activity", kinds=(DROP,))
    with pytest.raises(UnknownFault, match="there are activity"):
        await faults.apply("nowhere:drop")
    with pytest.raises(UnknownFault, match="knows drop"):
        await faults.apply("activity:reorg")
    with pytest.raises(UnknownFault):
        faults.lift("nowhere")


async def test_lifting_one_door_leaves_the_others() -> None:
    faults = Faults(VirtualClock(), SeededRandomness(1))
    for name in ("a", "b"):
        faults.door(name, kinds=(DROP,))
        await faults.apply(f"{name}:drop")
    faults.lift("a")
    assert [faults.doors[name].lasts(DROP) is None for name in ("a", "b")] == [True, False]
    assert faults.as_json()["b"] == {"kinds": ["drop"], "set": [{"kind": "drop"}], "struck": {}}
