"""Results that are only added up open and close the same breakers as those that are counted one by one."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

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


def terms(kind: Kind, scope: BreakerScope, least: int) -> BreakerTerms:
    window = SIZES[scope][1]
    return BreakerTerms(
        kind=kind, scope=scope, least=least, window=window, open_bps=4_000, cooldown_s=60, cooldown_max_s=60, probes=1
    )


TERMS = [terms(kind, scope, least) for kind in KINDS for scope, (least, _window) in SIZES.items()]
IN_A_ROW = [terms(Kind.CONSECUTIVE_LOSSES, scope, least) for scope, least in zip(SIZES, (4, 3, 2), strict=True)]


def results_of(events: list[Event], modes: Sequence[str] = (*VENUES, "PROXY")) -> SearchStrategy[list[Result]]:
    """Results of four accounts; only a refusal may be an account's own."""
    trades, accounts = st.integers(1, 1_000), st.integers(1, 4)
    each = st.builds(Result, trades, accounts, st.sampled_from(modes), st.sampled_from(events), st.booleans())
    return st.lists(
        each.map(lambda result: result if result.event is Event.FAILURE else result._replace(own=False)), max_size=80
    )


RESULTS = results_of([Event.SUCCESS] * 6 + [Event.FAILURE, Event.UNKNOWN])


def whose(result: Result, kind: Kind) -> dict[BreakerScope, str]:
    """The keys of the breakers that count a result; one of a mode without a venue is its account's alone."""
    keys = {BreakerScope.FOLLOWER: str(result.follower_id)}
    if result.mode in VENUES:
        keys[BreakerScope.VENUE] = VENUES[result.mode]
        if kind is not Kind.CONSECUTIVE_LOSSES or result.mode != "PAPER":
            keys[BreakerScope.GLOBAL] = ""
    return keys


def one_by_one(results: list[Result], by: list[BreakerTerms], good: Event) -> dict[BreakerName, Circuit]:
    clock, found = VirtualClock(), {}
    for result in results:
        for each in by:
            key = whose(result, each.kind).get(each.scope)
            if key is not None:
                event = good if result.own and each.scope is not BreakerScope.FOLLOWER else result.event
                name = (each.kind, each.scope, key)
                found[name] = after(found.get(name, CLOSED), event, terms=each, now=clock.now())
    return found


def agree(results: list[Result], counts: Counts, circuits: Circuits, *, good: Event) -> None:
    """Counted lazily as one by one, the same breakers are open after each result."""
    by = list(circuits.terms.values())
    for number, result in enumerate(results, start=1):
        if result.event is good:
            counts.note_good(result.trade_id, result.follower_id, mode=result.mode)
        else:
            counts.note(result)
        expected = one_by_one(results[:number], by, good)
        assert set(circuits.holding) == {name for name, circuit in expected.items() if circuit.state is State.OPEN}


@given(results=RESULTS)
def test_the_same_breakers_open_as_if_each_result_were_counted_by_each(results: list[Result]) -> None:
    circuits = Circuits(VirtualClock(), TERMS, VENUES)
    agree(results, Counts(circuits, KINDS, good=Event.SUCCESS), circuits, good=Event.SUCCESS)


@given(results=results_of([Event.WIN, Event.LOSS, Event.LOSS]))
def test_so_do_those_of_losses_in_a_row_where_everybodys_are_of_real_money(results: list[Result]) -> None:
    circuits = Circuits(VirtualClock(), IN_A_ROW, VENUES)
    counts = Counts(circuits, (Kind.CONSECUTIVE_LOSSES,), good=Event.WIN, probes=False)
    agree(results, counts, circuits, good=Event.WIN)


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
