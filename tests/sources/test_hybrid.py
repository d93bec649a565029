"""When the activity stream counts as unwell, and when it is well again."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.hybrid import (
    RACES_MAX,
    Health,
    HybridState,
    HybridTerms,
    Observation,
    Races,
    SignalMode,
    Trouble,
    after,
)
from copytrading.signals import ACTIVITY_TRADES, CHAIN_LOGS, DATA_API, MEMPOOL, ActionKind, LeaderAction
from ledger.units import ONE, Micros, Side
from tests.doors import BEGINNING

TERMS = HybridTerms(silent_ms=20_000, lag_max_ms=6_000, mute_ms=60_000)
WELL = Observation(listening=True, fresh_ms=500.0, others_fresh_ms=700.0, lag_ms=3_000.0, compared=4, behind=0)
AWAY = replace(WELL, listening=False)
BEGUN = HybridState(since_ms=0.0, listening_ms=0.0)
DEGRADED = replace(BEGUN, health=Health.DEGRADED, trouble=Trouble.SILENT, since_ms=1_000.0, window_ms=1_000.0)


@pytest.mark.parametrize(
    ("seen", "trouble"),
    [
        ({}, None),
        ({"fresh_ms": 19_999.0}, None),
        ({"fresh_ms": 20_000.0}, Trouble.SILENT),
        ({"fresh_ms": 20_000.0, "others_fresh_ms": 30_000.0}, None),
        ({"fresh_ms": 59_999.0, "others_fresh_ms": None}, None),
        ({"fresh_ms": 60_000.0, "others_fresh_ms": None}, Trouble.SILENT),
        ({"fresh_ms": None}, Trouble.SILENT),
        ({"lag_ms": 6_000.0}, None),
        ({"lag_ms": 6_001.0}, Trouble.LAGGING),
        ({"lag_ms": None}, None),
        ({"compared": 1, "behind": 1}, None),
        ({"compared": 4, "behind": 2}, Trouble.BEHIND),
        ({"compared": 5, "behind": 2}, None),
    ],
)
def test_the_bounds_of_being_well(seen: dict[str, Any], trouble: Trouble | None) -> None:
    state = after(BEGUN, replace(WELL, **seen), TERMS, 100_000.0)
    assert state.trouble is trouble
    assert state.health is (Health.HEALTHY if trouble is None else Health.DEGRADED)


def test_a_degraded_state_says_what_was_seen_and_the_bound() -> None:
    state = after(BEGUN, replace(WELL, lag_ms=7_250.0), TERMS, 100_000.0)
    assert (state.trouble, state.value, state.limit) == (Trouble.LAGGING, 7_250, 6_000)


def test_silence_counts_from_the_beginning_of_listening() -> None:
    state = after(HybridState(since_ms=0.0), replace(WELL, fresh_ms=90_000.0), TERMS, 100_000.0)
    assert (state.listening_ms, state.health) == (100_000.0, Health.HEALTHY)
    assert after(state, replace(WELL, fresh_ms=109_000.0), TERMS, 119_000.0).health is Health.HEALTHY
    assert after(state, replace(WELL, fresh_ms=110_000.0), TERMS, 120_000.0).health is Health.DEGRADED


def test_nobody_followed_is_no_trouble_and_ends_one() -> None:
    silent = replace(AWAY, fresh_ms=None)
    assert after(HybridState(since_ms=5.0), silent, TERMS, 1e9) == HybridState(since_ms=5.0)
    assert after(BEGUN, silent, TERMS, 1e9).listening_ms is None
    assert after(DEGRADED, silent, TERMS, 1e9).health is Health.HEALTHY


def looked(state: HybridState, seen: Observation, seconds: range) -> HybridState:
    for second in seconds:
        state = after(state, seen, TERMS, second * 1_000.0)
    return state


def test_three_good_windows_in_a_row_bring_it_back() -> None:
    assert looked(DEGRADED, WELL, range(1, 31)).health is Health.DEGRADED
    assert looked(DEGRADED, WELL, range(1, 32)).health is Health.HEALTHY


def test_one_bad_look_begins_the_windows_anew() -> None:
    state = looked(DEGRADED, WELL, range(1, 30))
    state = after(state, replace(WELL, lag_ms=9_000.0), TERMS, 30_000.0)
    assert looked(state, WELL, range(31, 60)).health is Health.DEGRADED
    assert looked(state, WELL, range(31, 61)).health is Health.HEALTHY


def test_a_quiet_stream_does_not_recover_because_the_others_are_quiet_too() -> None:
    quiet = replace(WELL, fresh_ms=30_000.0, others_fresh_ms=None)
    assert looked(DEGRADED, quiet, range(1, 200)).health is Health.DEGRADED


def test_after_a_recovery_it_stays_well_for_a_while() -> None:
    state = looked(DEGRADED, WELL, range(1, 32))
    bad = replace(WELL, lag_ms=9_000.0)
    assert after(state, bad, TERMS, 40_999.0).health is Health.HEALTHY
    assert after(state, bad, TERMS, 41_000.0).health is Health.DEGRADED


@given(st.lists(st.sampled_from([WELL, replace(WELL, lag_ms=9_000.0), replace(WELL, fresh_ms=70_000.0)]), max_size=300))
def test_whatever_is_seen_it_never_flaps(looks: list[Observation]) -> None:
    state, changed = BEGUN, [0]
    for second, seen in enumerate(looks, start=100):
        before, state = state, after(state, seen, TERMS, second * 1_000.0)
        if before.health is not state.health:
            changed.append(second)
    apart = [later - earlier for earlier, later in pairwise(changed)]
    degraded_for, well_for = apart[1::2], apart[2::2]
    assert all(seconds >= 30 for seconds in degraded_for)
    assert all(seconds >= 10 for seconds in well_for)


@pytest.mark.parametrize(
    ("mode", "socket", "polls"), [("WS_ONLY", True, False), ("POLLING_ONLY", False, True), ("HYBRID", True, True)]
)
def test_a_mode_says_what_is_on(mode: str, socket: bool, polls: bool) -> None:
    assert (SignalMode(mode).hears_socket, SignalMode(mode).polls) == (socket, polls)


def fill(source: str, *, tx: int = 1, **more: Any) -> LeaderAction:
    action = LeaderAction(
        source=source,
        kind=ActionKind.TRADE,
        wallet="0x" + "1e" * 20,
        tx_hash=f"0x{tx:064x}",
        condition_id="0x" + "cc" * 32,
        token_id=7,
        side=Side.BUY,
        size_micros=Micros(10 * ONE),
        price_micros=Micros(500_000),
        traded_at=BEGINNING,
    )
    return replace(action, **more)


def raced(*heard: tuple[float, LeaderAction], at_ms: float) -> tuple[int, int]:
    races = Races(lag_max_ms=6_000)
    races.begin(BEGINNING - timedelta(seconds=1))
    for ms, action in heard:
        races.heard(action, BEGINNING + timedelta(milliseconds=ms), ms)
    return races.told(at_ms)


STREAM, CHAIN, POLL = fill(ACTIVITY_TRADES), fill(CHAIN_LOGS), fill(DATA_API)


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ([(1_900.0, STREAM), (2_200.0, CHAIN)], (1, 0)),
        ([(2_200.0, CHAIN), (8_200.0, STREAM)], (1, 0)),
        ([(2_200.0, CHAIN), (8_201.0, STREAM)], (1, 1)),
        ([(5_400.0, POLL), (2_200.0, CHAIN), (8_300.0, STREAM)], (1, 0)),
        ([(4_000.0, CHAIN)], (0, 0)),
        ([(3_999.0, CHAIN)], (1, 1)),
        ([(1_900.0, STREAM)], (1, 0)),
        ([(0.0, fill(MEMPOOL))], (0, 0)),
        ([(0.0, fill(CHAIN_LOGS, kind=ActionKind.REDEEM))], (0, 0)),
        ([(0.0, fill(CHAIN_LOGS, traded_at=BEGINNING - timedelta(seconds=2)))], (0, 0)),
        ([(0.0, fill(DATA_API, traded_at=BEGINNING - timedelta(seconds=16)))], (0, 0)),
    ],
)
def test_a_trade_is_behind_when_others_showed_it_so_much_earlier(
    heard: list[tuple[float, LeaderAction]], told: tuple[int, int]
) -> None:
    assert raced(*heard, at_ms=10_000.0) == told


def test_what_is_too_old_when_it_is_first_heard_is_not_compared() -> None:
    assert raced((15_001.0, POLL), at_ms=40_000.0) == (0, 0)
    assert raced((15_000.0, POLL), at_ms=40_000.0) == (1, 1)


def test_only_the_last_minute_and_a_bounded_number_are_compared() -> None:
    assert raced((1_000.0, CHAIN), at_ms=61_001.0) == (0, 0)
    many = [(float(tx), fill(CHAIN_LOGS, tx=tx)) for tx in range(RACES_MAX + 5)]
    assert raced(*many, at_ms=10_000.0) == (RACES_MAX, RACES_MAX)


def test_nothing_is_compared_before_the_stream_is_heard() -> None:
    races = Races(lag_max_ms=6_000)
    races.heard(CHAIN, BEGINNING, 0.0)
    assert races.told(10_000.0) == (0, 0)
