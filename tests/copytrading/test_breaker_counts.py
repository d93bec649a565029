"""Results that are only added up open and close the same breakers as those that are counted one by one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading import breaker_counts
from copytrading.breaker_circuits import Circuits
from copytrading.breaker_counts import Counts, Result
from guardrails.breakers import after
from guardrails.circuits import CLOSED, BreakerScope, BreakerTerms, Circuit, Event, Kind, State
from guardrails.queries import BreakerName
from tests.doors import VirtualClock

KINDS = (Kind.FAILURE_RATE, Kind.UNKNOWN_RATE)
VENUES = {"PAPER": "paper", "EXCHANGE": "clob"}
SIZES = {BreakerScope.GLOBAL: (8, 12), BreakerScope.VENUE: (5, 8), BreakerScope.FOLLOWER: (3, 6)}
TERMS = [
    BreakerTerms(
        kind=kind, scope=scope, least=least, window=window, open_bps=4_000, cooldown_s=60, cooldown_max_s=60, probes=1
    )
    for kind in KINDS
    for scope, (least, window) in SIZES.items()
]
BY = {(each.kind, each.scope): each for each in TERMS}
RESULTS = st.lists(
    st.builds(
        Result,
        st.integers(1, 1_000),
        st.integers(1, 4),
        st.sampled_from(sorted(VENUES)),
        st.sampled_from([Event.SUCCESS] * 6 + [Event.FAILURE, Event.UNKNOWN]),
        st.booleans(),
    ).map(lambda result: result if result.event is Event.FAILURE else result._replace(own=False)),
    max_size=80,
)


def one_by_one(results: list[Result]) -> dict[BreakerName, Circuit]:
    clock, found = VirtualClock(), {}
    for result in results:
        keys = {BreakerScope.GLOBAL: "", BreakerScope.VENUE: VENUES[result.mode]}
        for kind, scope in BY:
            key = keys.get(scope, str(result.follower_id))
            event = Event.SUCCESS if result.own and scope is not BreakerScope.FOLLOWER else result.event
            name = (kind, scope, key)
            found[name] = after(found.get(name, CLOSED), event, terms=BY[kind, scope], now=clock.now())
    return found


@given(results=RESULTS)
def test_the_same_breakers_open_as_if_each_result_were_counted_by_each(results: list[Result]) -> None:
    circuits = Circuits(VirtualClock(), TERMS, VENUES)
    counts = Counts(circuits, KINDS, good=Event.SUCCESS)
    for number, result in enumerate(results, start=1):
        if result.event is Event.SUCCESS:
            counts.note_good(result.trade_id, result.follower_id, mode=result.mode)
        else:
            counts.note(result)
        expected = {name for name, circuit in one_by_one(results[:number]).items() if circuit.state is State.OPEN}
        assert set(circuits.holding) == expected


@given(results=RESULTS)
def test_only_accounts_with_something_bad_in_their_window_are_kept(results: list[Result]) -> None:
    circuits = Circuits(VirtualClock(), TERMS, VENUES)
    counts = Counts(circuits, KINDS, good=Event.SUCCESS)
    for result in results:
        counts.note(result)
    bad = {str(result.follower_id) for result in results if result.event is not Event.SUCCESS}

    assert {key for _kind, scope, key in circuits.kept if scope is BreakerScope.FOLLOWER} <= bad
    assert sum(circuits.accounts.values()) == sum(name[1] is BreakerScope.FOLLOWER for name in circuits.kept)


def test_no_more_accounts_are_remembered_than_the_bound_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker_counts, "ACCOUNTS_MAX", 3)
    counts = Counts(Circuits(VirtualClock(), TERMS, VENUES), KINDS, good=Event.SUCCESS)
    for follower_id in (1, 2, 3, 1, 4):
        counts.note_good(0, follower_id, mode="PAPER")

    assert counts._clean == {2: 1, 3: 1, 4: 1}


def test_results_of_a_mode_without_a_venue_count_for_their_accounts_alone() -> None:
    circuits = Circuits(VirtualClock(), TERMS, VENUES)
    counts = Counts(circuits, KINDS, good=Event.SUCCESS)
    for trade_id in range(20):
        counts.note_good(trade_id, 1, mode="PROXY")
        counts.note(Result(trade_id, 7, "PROXY", Event.FAILURE))
    counts.note(Result(0, 8, "PAPER", Event.FAILURE))

    assert set(circuits.holding) == {(Kind.FAILURE_RATE, BreakerScope.FOLLOWER, "7")}
