"""The circuit breaker as a transition function."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.breakers import after, is_tripped, may_probe, off_price, reason, transition
from guardrails.circuits import (
    CLOSED,
    BreakerTerms,
    Circuit,
    DayResult,
    Event,
    Kind,
    Override,
    State,
    circuit_of,
    counts_of,
)
from ledger.units import ONE

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
GOOD, BAD, LOST = Event.SUCCESS, Event.FAILURE, Event.UNKNOWN
NEAR, OFF = Event.ON_PRICE, Event.OFF_PRICE
WIN, LOSS, TICK, PROBE, VOID = Event.WIN, Event.LOSS, Event.TICK, Event.PROBE_GRANTED, Event.PROBE_VOID


def terms(kind: Kind = Kind.FAILURE_RATE, **changed: Any) -> BreakerTerms:
    """Opens above 50 % of 10 answers with at least 4; a minute of cool-down, at most ten; 2 probes."""
    usual = {"least": 4, "window": 10, "open_bps": 5_000, "cooldown_s": 60, "cooldown_max_s": 600, "probes": 2}
    if kind is Kind.DAILY_DRAWDOWN:
        usual["loss_micros"] = 100 * ONE
    return BreakerTerms(kind=kind, **{**usual, **changed})


def told(
    *events: Event | DayResult | Override, circuit: Circuit = CLOSED, at: datetime = NOW, by: BreakerTerms | None = None
) -> Circuit:
    for event in events:
        circuit = after(circuit, event, terms=by or terms(), now=at)
    return circuit


OPEN = told(BAD, BAD, BAD, BAD)
LATER = NOW + timedelta(seconds=60)
HALF_OPEN = told(TICK, circuit=OPEN, at=LATER)


@pytest.mark.parametrize(
    ("kind", "events", "state"),
    [
        (Kind.FAILURE_RATE, [BAD, BAD, BAD], State.CLOSED),  # fewer than 4
        (Kind.FAILURE_RATE, [BAD, BAD, BAD, BAD], State.OPEN),
        (Kind.FAILURE_RATE, [GOOD, GOOD, BAD, BAD], State.CLOSED),  # half is not more than half
        (Kind.FAILURE_RATE, [GOOD, GOOD, BAD, BAD, BAD], State.OPEN),
        (Kind.FAILURE_RATE, [BAD, BAD, BAD, GOOD], State.OPEN),  # the fourth answer makes the number
        (Kind.FAILURE_RATE, [BAD, BAD, BAD, LOST, LOST], State.CLOSED),  # a lost answer is none
        (Kind.FAILURE_RATE, [LOSS] * 20, State.CLOSED),
        (Kind.UNKNOWN_RATE, [LOST, LOST, LOST, BAD], State.OPEN),
        (Kind.UNKNOWN_RATE, [BAD] * 20, State.CLOSED),  # a no is an answer
        (Kind.UNKNOWN_RATE, [LOST, LOST, BAD, GOOD], State.CLOSED),
        (Kind.CONSECUTIVE_LOSSES, [LOSS, LOSS, LOSS, WIN, LOSS, LOSS, LOSS], State.CLOSED),
        (Kind.CONSECUTIVE_LOSSES, [WIN, LOSS, LOSS, LOSS, LOSS], State.OPEN),
        (Kind.CONSECUTIVE_LOSSES, [BAD] * 20, State.CLOSED),
        (Kind.PRICE_DEVIATION, [OFF, OFF, OFF, NEAR], State.OPEN),
        (Kind.PRICE_DEVIATION, [OFF, OFF, NEAR, NEAR], State.CLOSED),
        (Kind.PRICE_DEVIATION, [BAD, LOST, LOSS] * 10, State.CLOSED),  # a refused order has no price
        (Kind.FAILURE_RATE, [OFF] * 20, State.CLOSED),
        (Kind.DAILY_DRAWDOWN, [BAD, LOST, LOSS, OFF] * 5, State.CLOSED),  # it knows money alone
    ],
)
def test_when_it_opens(kind: Kind, events: list[Event], state: State) -> None:
    assert told(*events, by=terms(kind)).state is state


def test_it_opens_with_the_one_answer_that_is_too_many() -> None:
    before = told(*[GOOD] * 4, *[BAD] * 4)
    now = told(BAD, circuit=before)

    assert (before.state, now.state) == (State.CLOSED, State.OPEN)
    assert (now.opened_at, now.probe_at, now.openings) == (NOW, NOW + timedelta(seconds=60), 1)


def test_answers_older_than_the_window_are_forgotten() -> None:
    circuit = told(BAD, BAD, *[GOOD] * 10)

    assert (circuit.bad, circuit.seen) == (0, 10)
    assert told(GOOD, circuit=circuit) is circuit  # nothing to count any more


@pytest.mark.parametrize("event", [GOOD, BAD, LOST, WIN, LOSS, PROBE])
def test_what_is_answered_while_it_is_open_was_sent_before(event: Event) -> None:
    assert told(event, circuit=OPEN) is OPEN


@pytest.mark.parametrize(("seconds", "state"), [(59, State.OPEN), (60, State.HALF_OPEN), (9_000, State.HALF_OPEN)])
def test_it_is_half_open_after_its_cool_down(seconds: int, state: State) -> None:
    assert told(TICK, circuit=OPEN, at=NOW + timedelta(seconds=seconds)).state is state


def test_it_grants_no_more_probes_than_its_terms_say() -> None:
    circuit = told(PROBE, PROBE, PROBE, circuit=HALF_OPEN)

    assert (circuit.granted, may_probe(circuit, terms())) == (2, False)
    assert may_probe(HALF_OPEN, terms())
    assert not may_probe(OPEN, terms()) and not may_probe(CLOSED, terms())


def test_all_good_probes_close_it_and_everything_is_forgotten() -> None:
    circuit = told(PROBE, PROBE, GOOD, circuit=HALF_OPEN)

    assert (circuit.state, circuit.good) == (State.HALF_OPEN, 1)
    assert told(GOOD, circuit=circuit) == CLOSED


@pytest.mark.parametrize("event", [BAD, LOST])
def test_one_bad_probe_opens_it_again_for_twice_as_long(event: Event) -> None:
    circuit = told(PROBE, PROBE, GOOD, event, circuit=HALF_OPEN, at=LATER)

    assert (circuit.state, circuit.openings) == (State.OPEN, 2)
    assert circuit.probe_at == LATER + timedelta(seconds=120)


def test_the_cool_down_has_an_end() -> None:
    circuit, at = OPEN, NOW
    for _ in range(40):
        at += timedelta(seconds=600)
        circuit = told(TICK, PROBE, BAD, circuit=circuit, at=at)

    assert circuit.probe_at == at + timedelta(seconds=600)


def test_an_answer_without_a_probe_neither_closes_nor_opens_it() -> None:
    assert told(GOOD, BAD, circuit=HALF_OPEN) is HALF_OPEN


def test_a_loss_opens_a_losing_followers_breaker_again_whenever_its_buy_was_made() -> None:
    by = terms(Kind.CONSECUTIVE_LOSSES)
    half_open = told(TICK, circuit=told(*[LOSS] * 4, by=by), at=LATER, by=by)

    assert told(LOSS, circuit=half_open, by=by).state is State.OPEN


def test_probes_that_nobody_answered_are_granted_anew_after_the_same_wait() -> None:
    waiting = told(PROBE, PROBE, circuit=HALF_OPEN, at=LATER)
    at = LATER + timedelta(seconds=60)
    circuit = told(TICK, circuit=waiting, at=at)

    assert told(TICK, circuit=waiting, at=at - timedelta(seconds=1)) is waiting
    assert (circuit.state, circuit.openings, circuit.probe_at) == (State.OPEN, 1, at + timedelta(seconds=60))


def test_a_probe_without_a_result_is_granted_anew() -> None:
    circuit = told(PROBE, PROBE, VOID, circuit=HALF_OPEN)

    assert (circuit.state, circuit.granted, may_probe(circuit, terms())) == (State.HALF_OPEN, 1, True)
    assert told(VOID, circuit=HALF_OPEN) is HALF_OPEN
    answered = told(PROBE, GOOD, circuit=HALF_OPEN)
    assert told(VOID, circuit=answered) is answered


def test_probes_may_take_longer_than_the_cool_down_where_the_terms_say_so() -> None:
    by = terms(Kind.PRICE_DEVIATION, answer_s=600)
    opened = told(*[OFF] * 4, by=by)
    half_open = told(TICK, PROBE, circuit=opened, at=LATER, by=by)

    assert told(TICK, circuit=half_open, at=LATER + timedelta(seconds=599), by=by) is half_open
    assert told(NEAR, PROBE, NEAR, circuit=half_open, at=LATER + timedelta(seconds=599), by=by) == CLOSED


def lost(dollars: int, *, at: datetime = NOW) -> DayResult:
    return DayResult(at.date(), -dollars * ONE)


DRAWDOWN = terms(Kind.DAILY_DRAWDOWN)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
SPENT = told(lost(101), by=DRAWDOWN)


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (lost(-500), State.CLOSED),
        (lost(100), State.CLOSED),  # the bound itself is allowed
        (DayResult(NOW.date(), -100 * ONE - 1), State.OPEN),
        (lost(900, at=NOW - timedelta(days=1)), State.CLOSED),  # yesterday is over
    ],
)
def test_what_a_day_may_lose(result: DayResult, state: State) -> None:
    assert told(result, by=DRAWDOWN).state is state
    assert told(result) is CLOSED  # no other kind knows money


def test_a_days_loss_is_over_with_the_utc_day() -> None:
    assert (SPENT.state, SPENT.lost_micros, SPENT.probe_at) == (State.OPEN, 101 * ONE, MIDNIGHT)
    assert told(TICK, circuit=SPENT, at=MIDNIGHT - timedelta(seconds=1), by=DRAWDOWN) is SPENT
    assert told(TICK, circuit=SPENT, at=MIDNIGHT, by=DRAWDOWN) == CLOSED
    assert transition(SPENT, CLOSED, DRAWDOWN) == "A new UTC day began."
    assert reason(SPENT, DRAWDOWN) == "Since midnight UTC $101.00 were lost, which is more than $100.00."


def test_a_day_is_that_of_utc_wherever_the_clock_is() -> None:
    late = datetime(2026, 11, 21, 23, 30, tzinfo=UTC).astimezone(timezone(timedelta(hours=5)))

    assert told(lost(101), by=DRAWDOWN, at=late).probe_at == MIDNIGHT


def test_probing_by_hand_a_further_loss_opens_it_again_until_midnight_and_the_day_ends_it() -> None:
    probing = told(Override(State.HALF_OPEN), TICK, PROBE, circuit=SPENT, by=DRAWDOWN)

    assert (probing.state, probing.wakes_at) == (State.HALF_OPEN, MIDNIGHT)
    assert told(lost(101), lost(90), circuit=probing, by=DRAWDOWN) is probing
    assert told(lost(102), circuit=probing, by=DRAWDOWN).state is State.OPEN
    assert told(TICK, circuit=probing, at=MIDNIGHT, by=DRAWDOWN) == CLOSED


@pytest.mark.parametrize(
    ("price", "leader", "buy", "off"),
    [
        (520_000, 500_000, True, False),  # 4 %
        (525_000, 500_000, True, False),  # the bound itself
        (530_000, 500_000, True, True),
        (470_000, 500_000, True, False),  # better than the leader's
        (530_000, 500_000, False, False),
        (470_000, 500_000, False, True),
        (30_000, 20_000, True, False),  # half as much again, but only one tick
        (40_000, 20_000, True, True),
    ],
)
def test_a_price_is_off_when_it_is_worse_by_more_than_the_bound_and_a_tick(
    price: int, leader: int, buy: bool, off: bool
) -> None:
    assert off_price(price, leader, buy=buy, apart_bps=500, tick_micros=10_000) is off


def test_half_open_without_orders_waits_for_them() -> None:
    assert told(TICK, circuit=HALF_OPEN, at=NOW + timedelta(days=30)) is HALF_OPEN


@pytest.mark.parametrize("circuit", [CLOSED, OPEN, HALF_OPEN, told(PROBE, circuit=HALF_OPEN)])
def test_a_person_closes_it_from_any_state(circuit: Circuit) -> None:
    assert told(Override(State.CLOSED), circuit=circuit) == CLOSED


@pytest.mark.parametrize("circuit", [CLOSED, OPEN, HALF_OPEN])
def test_opened_by_a_person_it_stays_open(circuit: Circuit) -> None:
    opened = told(Override(State.OPEN), circuit=circuit)

    assert (opened.state, opened.probe_at) == (State.OPEN, None)
    assert told(TICK, circuit=opened, at=NOW + timedelta(days=365)) is opened


@pytest.mark.parametrize("circuit", [CLOSED, OPEN, told(Override(State.OPEN))])
def test_half_opened_by_a_person_it_grants_probes_from_the_next_tick_on(circuit: Circuit) -> None:
    assert told(Override(State.HALF_OPEN), TICK, circuit=circuit).state is State.HALF_OPEN


def test_it_says_why_it_changed() -> None:
    closed_before = told(BAD, BAD, BAD)
    again = told(PROBE, BAD, circuit=HALF_OPEN, at=LATER)
    silent = told(PROBE, TICK, circuit=HALF_OPEN, at=LATER + timedelta(seconds=60))

    assert transition(closed_before, OPEN, terms()) == "4 of the last 4 orders were refused, which is more than 50 %."
    assert transition(OPEN, HALF_OPEN, terms()) == "The cool-down is over: 2 probes may pass."
    assert transition(HALF_OPEN, again, terms()) == "A probe failed."
    assert transition(HALF_OPEN, silent, terms()) == "The probes were not answered."
    assert transition(HALF_OPEN, CLOSED, terms()) == "All 2 probes were good."
    assert reason(told(*[LOSS] * 4, by=terms(Kind.CONSECUTIVE_LOSSES)), terms(Kind.CONSECUTIVE_LOSSES)) == (
        "4 sells in a row realised a loss."
    )
    assert reason(OPEN, terms(Kind.PRICE_DEVIATION, apart_bps=300)) == (
        "4 of the last 4 prices were more than 3 % worse than the leader's, which is more than 50 %."
    )
    assert "had a lost answer, which is more than 12.5 %." in reason(OPEN, terms(Kind.UNKNOWN_RATE, open_bps=1_250))


@pytest.mark.parametrize("circuit", [CLOSED, OPEN, HALF_OPEN, SPENT, told(PROBE, circuit=HALF_OPEN)])
def test_a_row_gives_the_circuit_back(circuit: Circuit) -> None:
    read = circuit_of(circuit.state, counts_of(circuit), opened_at=circuit.opened_at, probe_at=circuit.probe_at)

    assert read == circuit


@pytest.mark.parametrize(
    "wrong",
    [
        {"least": 0},
        {"least": 11},
        {"window": 10_001},
        {"cooldown_s": 0},
        {"cooldown_max_s": 59},
        {"probes": 0},
        {"loss_micros": 1},
        {"kind": Kind.DAILY_DRAWDOWN, "loss_micros": 0},
    ],
)
def test_terms_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="A breaker"):
        terms(**wrong)


KINDS = st.sampled_from(Kind)
RESULTS = st.builds(DayResult, st.just(NOW.date()), st.integers(-200 * ONE, 50 * ONE))
EVENTS = st.one_of(st.sampled_from(Event), st.sampled_from(State).map(Override), RESULTS)
STEPS = st.lists(st.tuples(EVENTS, st.integers(0, 400)), max_size=60)
BY = st.builds(
    lambda kind, least, more, bps, probes: terms(kind, least=least, window=least + more, open_bps=bps, probes=probes),
    KINDS,
    st.integers(1, 6),
    st.integers(0, 6),
    st.integers(0, 9_999),
    st.integers(1, 4),
)


@given(by=BY, steps=STEPS)
def test_whatever_happens_probes_are_bounded_and_only_they_or_a_person_close_it(
    by: BreakerTerms, steps: list[tuple[Event | DayResult | Override, int]]
) -> None:
    circuit, at = CLOSED, NOW
    for event, seconds in steps:
        at += timedelta(seconds=seconds)
        before, circuit = circuit, after(circuit, event, terms=by, now=at)

        assert circuit.good <= circuit.granted <= by.probes
        assert circuit.bad <= circuit.seen <= by.window
        assert (circuit.state is State.CLOSED) == (circuit.opened_at is None)
        if before.state is not State.CLOSED and circuit.state is State.CLOSED:
            by_person = event == Override(State.CLOSED)
            by_day = (
                by.kind is Kind.DAILY_DRAWDOWN and before.opened_at is not None and at.date() > before.opened_at.date()
            )
            assert by_person or by_day or (before.state is State.HALF_OPEN and before.granted == by.probes)
        if before.state is State.OPEN and circuit.state is State.HALF_OPEN:
            assert event is TICK and before.probe_at is not None and at >= before.probe_at
        if circuit.state is State.CLOSED and by.kind is not Kind.DAILY_DRAWDOWN:
            assert not is_tripped(circuit, by)


@given(
    by=BY,
    events=st.lists(st.sampled_from([GOOD, BAD, LOST, NEAR, OFF, WIN, LOSS]), max_size=30),
    times=st.integers(1, 30),
)
def test_a_run_of_good_answers_counts_as_one_by_one(by: BreakerTerms, events: list[Event], times: int) -> None:
    circuit = told(*events, by=by)
    good = {Kind.CONSECUTIVE_LOSSES: WIN, Kind.PRICE_DEVIATION: NEAR}.get(by.kind, GOOD)

    assert after(circuit, good, terms=by, now=NOW, times=times) == told(*[good] * times, circuit=circuit, by=by)
