"""The engine's last minutes, folded by the second and shard."""

from datetime import timedelta
from typing import Any

from copytrading.dashboard.history import STAGES_S, WINDOW_S, History
from copytrading.metrics import Spread
from tests.dashboard.events import payload, source
from tests.doors import BEGINNING


def folded(*ticks: tuple[float, dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    history = History()
    for seconds, told in ticks:
        history.add(BEGINNING + timedelta(seconds=seconds), told)
    return history.ticks()


def test_ticks_of_one_second_become_one() -> None:
    (tick,) = folded((0.1, payload(signals=1, queue=9)), (0.6, payload(signals=2, queue=3)))
    assert (tick["signals"], tick["queue"]) == (3, 9)
    assert (tick["copies"], tick["skipped"]) == ({"EXECUTED": 20, "SKIPPED": 8}, {"BELOW_MINIMUM": 8})


def test_spreads_of_one_second_add_up() -> None:
    early, late = Spread([10.0, 10.0]), Spread([10.0, 70.0])
    (tick,) = folded((0.1, payload(delay=early.told())), (0.2, payload(delay=late.told())))
    assert tick["delay"] == Spread([10.0, 10.0, 10.0, 70.0]).told()


def test_seconds_and_shards_stay_apart() -> None:
    ticks = folded((0, payload(shard="0/2")), (0.5, payload(shard="1/2")), (1, payload(shard="0/2")))
    assert [(tick["at"] - BEGINNING, tick["shard"]) for tick in ticks] == [
        (timedelta(0), "0/2"),
        (timedelta(seconds=0.5), "1/2"),
        (timedelta(seconds=1), "0/2"),
    ]


def test_what_is_older_than_the_window_falls_out() -> None:
    assert len(folded(*((second, payload()) for second in range(WINDOW_S + 50)))) == WINDOW_S


def test_stages_are_told_of_the_newest_minute_only() -> None:
    ticks = folded(*((second, payload()) for second in range(STAGES_S + 10)))
    assert ["stages" in tick for tick in ticks] == [False] * 10 + [True] * STAGES_S


def test_newest_tick_of_every_shard_is_whole() -> None:
    history = History()
    for shard in ("0/2", "1/2", "0/2"):
        history.add(BEGINNING, payload(shard=shard, paused=shard == "1/2"))
    assert [told["payload"]["paused"] for told in history.newest()] == [False, True]
    assert all("totals" in told["payload"] for told in history.newest())


def test_folding_leaves_the_events_as_they_are() -> None:
    told = payload()
    folded((0, told), (0.1, payload()))
    assert told == payload()


def test_sources_are_kept_beside_a_newest_tick_that_does_not_tell_them() -> None:
    history = History()
    told = [source("data-api", accepted=3)]
    history.add(BEGINNING, payload(sources=told))
    silent = payload(queue=77)
    del silent["sources"]
    history.add(BEGINNING + timedelta(seconds=0.25), silent)
    (newest,) = history.newest()
    assert (newest["payload"]["queue"], newest["sources"]) == (77, {"at": BEGINNING, "told": told})
