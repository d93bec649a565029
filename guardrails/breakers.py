"""The circuit breaker as a transition function: (circuit, event, now) -> circuit. Pure.

CLOSED lets pass and counts. OPEN lets nothing pass until its cool-down is over. HALF_OPEN lets a few probes
through: all of them good closes it, one bad opens it again for twice as long. What is answered while it is
OPEN was sent before, and changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from ledger.units import BPS, ONE, text_from_micros

WINDOW_MAX = 10_000
"""Answers that a window may hold; it is one integer of so many bits."""

DOUBLINGS_MAX = 20
"""A cool-down is not doubled more often: a second has become twelve days."""


class Kind(StrEnum):
    """What a breaker counts."""

    FAILURE_RATE = "FAILURE_RATE"
    UNKNOWN_RATE = "UNKNOWN_RATE"
    CONSECUTIVE_LOSSES = "CONSECUTIVE_LOSSES"


class State(StrEnum):
    """Whether orders pass."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Event(StrEnum):
    """What a circuit is told. Each kind counts its own; what it does not count changes nothing.

    Answers of the venue: SUCCESS, FAILURE (a definite no) and UNKNOWN (the answer was lost). Sells that realised a
    profit or a loss: WIN and LOSS. TICK: time has passed. PROBE_GRANTED: an order was let through half open.
    """

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    UNKNOWN = "UNKNOWN"
    WIN = "WIN"
    LOSS = "LOSS"
    TICK = "TICK"
    PROBE_GRANTED = "PROBE_GRANTED"


@dataclass(frozen=True, slots=True)
class Override:
    """A person's word, which is stronger than anything that was counted.

    Opened by hand it stays open until a person says otherwise; HALF_OPEN ends its cool-down now.
    """

    to: State


COUNTED: Mapping[Kind, Mapping[Event, bool]] = {
    # A lost answer is no answer: it says nothing about how often the venue refuses.
    Kind.FAILURE_RATE: {Event.SUCCESS: False, Event.FAILURE: True},
    Kind.UNKNOWN_RATE: {Event.SUCCESS: False, Event.FAILURE: False, Event.UNKNOWN: True},
    Kind.CONSECUTIVE_LOSSES: {Event.WIN: False, Event.LOSS: True},
}
"""The events that each kind counts, and whether they are bad ones."""

BAD_PROBES: Mapping[Kind, frozenset[Event]] = {
    Kind.FAILURE_RATE: frozenset({Event.FAILURE, Event.UNKNOWN}),
    Kind.UNKNOWN_RATE: frozenset({Event.UNKNOWN}),
    Kind.CONSECUTIVE_LOSSES: frozenset({Event.LOSS}),
}
"""What makes a probe a bad one: of a venue that refused, a lost answer is no good sign either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTerms:
    """When a breaker opens, and how it comes back.

    A rate opens it above `open_bps` of the last `window` answers, once there are `least`. Losses open it when
    the last `least` results were all bad: their window is `least` and `open_bps` means nothing.
    """

    kind: Kind
    least: int
    window: int = 0
    open_bps: int = 0
    cooldown_s: int
    cooldown_max_s: int
    probes: int

    def __post_init__(self) -> None:
        if min(self.least, self.cooldown_s, self.probes) < 1:
            raise ValueError("A breaker needs at least one answer, one second of cool-down and one probe.")
        if self.kind is Kind.CONSECUTIVE_LOSSES:
            object.__setattr__(self, "window", self.least)
        if not self.least <= self.window <= WINDOW_MAX:
            raise ValueError(f"A breaker's window must lie between its {self.least} answers and {WINDOW_MAX}.")
        if self.cooldown_max_s < self.cooldown_s:
            raise ValueError("A breaker's longest cool-down cannot be shorter than its first.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A breaker's state and what it has counted.

    `marks` are the last `seen` results, the newest in the lowest bit, 1 for a bad one. `openings` are those since it
    was last closed. `granted` and `good` count the probes of this half-open, and `probe_at` is when OPEN ends, or by
    when the probes must have been answered.
    """

    state: State = State.CLOSED
    marks: int = 0
    seen: int = 0
    openings: int = 0
    granted: int = 0
    good: int = 0
    opened_at: datetime | None = None
    probe_at: datetime | None = None

    @property
    def wakes_at(self) -> datetime | None:
        """When a tick could change it; None while only an event or a person can."""
        waiting = self.state is State.OPEN or (self.state is State.HALF_OPEN and self.granted > self.good)
        return self.probe_at if waiting else None

    @property
    def bad(self) -> int:
        """How many of the last results were bad."""
        return self.marks.bit_count()


CLOSED = Circuit()
"""A new breaker."""


def after(circuit: Circuit, event: Event | Override, *, terms: BreakerTerms, now: datetime, times: int = 1) -> Circuit:
    """The circuit after an event, the same object where nothing changed.

    `times` folds that many SUCCESS or WIN events in a row into one.
    """
    if isinstance(event, Override):
        return overridden(circuit, event.to, now=now)
    if circuit.state is State.CLOSED:
        return _counted(circuit, event, terms, now=now, times=times)
    if circuit.state is State.OPEN:
        due = event is Event.TICK and circuit.probe_at is not None and now >= circuit.probe_at
        return _half_opened(circuit, terms, now) if due else circuit
    return _probed(circuit, event, terms, now=now, times=times)


def overridden(circuit: Circuit, to: State, *, now: datetime) -> Circuit:
    """The circuit as a person wants it; it becomes HALF_OPEN at the next tick."""
    if to is State.CLOSED:
        return CLOSED
    probe_at = now if to is State.HALF_OPEN else None
    opened_at = circuit.opened_at if circuit.state is not State.CLOSED else now
    return replace(circuit, state=State.OPEN, granted=0, good=0, opened_at=opened_at or now, probe_at=probe_at)


def may_probe(circuit: Circuit, terms: BreakerTerms) -> bool:
    """Whether a circuit that is half open has a probe left to grant."""
    return circuit.state is State.HALF_OPEN and circuit.granted < terms.probes


def is_tripped(circuit: Circuit, terms: BreakerTerms) -> bool:
    """Whether what was counted is more than the terms allow."""
    if circuit.seen < terms.least:
        return False
    if terms.kind is Kind.CONSECUTIVE_LOSSES:
        return circuit.bad == terms.least
    return circuit.bad * BPS > circuit.seen * terms.open_bps


def reason(circuit: Circuit, terms: BreakerTerms) -> str:
    """Why it opened, for people; only of a circuit that still has what it counted."""
    if terms.kind is Kind.CONSECUTIVE_LOSSES:
        return f"{circuit.bad} sells in a row realised a loss."
    what = "were refused" if terms.kind is Kind.FAILURE_RATE else "had a lost answer"
    most = text_from_micros(terms.open_bps * ONE // 100)
    return f"{circuit.bad} of the last {circuit.seen} orders {what}, which is more than {most} %."


def transition(before: Circuit, now: Circuit, terms: BreakerTerms) -> str:
    """Why a circuit went from one state to another by itself, for people."""
    if now.state is State.CLOSED:
        return f"All {terms.probes} probes were good."
    if now.state is State.HALF_OPEN:
        return f"The cool-down is over: {terms.probes} probes may pass."
    if before.state is State.CLOSED:
        return reason(now, terms)
    return "A probe failed." if now.openings > before.openings else "The probes were not answered."


def counts_of(circuit: Circuit) -> dict[str, int]:
    """What a row keeps of the counts."""
    return {
        "bad": circuit.bad,
        "seen": circuit.seen,
        "openings": circuit.openings,
        "granted": circuit.granted,
        "good": circuit.good,
    }


def circuit_of(
    state: State, counts: Mapping[str, int], *, opened_at: datetime | None, probe_at: datetime | None
) -> Circuit:
    """The circuit that a row describes; which of the last results were bad is not kept, only how many."""
    if state is State.CLOSED:
        return CLOSED
    return Circuit(
        state=state,
        marks=(1 << counts.get("bad", 0)) - 1,
        seen=counts.get("seen", 0),
        openings=counts.get("openings", 0),
        granted=counts.get("granted", 0),
        good=counts.get("good", 0),
        opened_at=opened_at,
        probe_at=probe_at,
    )


def _counted(circuit: Circuit, event: Event, terms: BreakerTerms, *, now: datetime, times: int) -> Circuit:
    bad = COUNTED[terms.kind].get(event)
    if bad is None or (not bad and not circuit.marks and circuit.seen == terms.window):
        return circuit
    first = terms.least - circuit.seen
    if 0 < first < times:
        # Where the number that it takes is reached the rate is looked at, as if they came one by one.
        reached = _counted(circuit, event, terms, now=now, times=first)
        return reached if reached.state is State.OPEN else _counted(reached, event, terms, now=now, times=times - first)
    kept = (1 << terms.window) - 1
    marks = (circuit.marks << 1 | 1) & kept if bad else (circuit.marks << min(times, terms.window)) & kept
    seen = min(circuit.seen + (1 if bad else times), terms.window)
    # Closed it holds nothing else; `replace` takes three times as long.
    counted = Circuit(marks=marks, seen=seen)
    # Good results only lower a rate, but they can complete the number that it takes.
    return _opened(counted, terms, now) if is_tripped(counted, terms) else counted


def _probed(circuit: Circuit, event: Event, terms: BreakerTerms, *, now: datetime, times: int) -> Circuit:
    if event is Event.PROBE_GRANTED:
        return replace(circuit, granted=circuit.granted + 1) if may_probe(circuit, terms) else circuit
    awaited = circuit.granted > circuit.good
    if event in BAD_PROBES[terms.kind]:
        # A sell that loses is a bad sign whenever its buy was made; an answer of the venue is one for a probe only.
        return _opened(circuit, terms, now) if awaited or event is Event.LOSS else circuit
    if COUNTED[terms.kind].get(event) is False:
        good = min(circuit.good + times, circuit.granted)
        if good >= terms.probes:
            return CLOSED
        return circuit if good == circuit.good else replace(circuit, good=good)
    if event is Event.TICK and awaited and circuit.probe_at is not None and now >= circuit.probe_at:
        # No answer is no bad sign: it waits for as long as before, and then grants new probes.
        return _opened(replace(circuit, openings=max(circuit.openings - 1, 0)), terms, now)
    return circuit


def _opened(circuit: Circuit, terms: BreakerTerms, now: datetime) -> Circuit:
    openings = circuit.openings + 1
    doubled = terms.cooldown_s << min(openings - 1, DOUBLINGS_MAX)
    return replace(
        circuit,
        state=State.OPEN,
        openings=openings,
        granted=0,
        good=0,
        opened_at=now,
        probe_at=now + timedelta(seconds=min(doubled, terms.cooldown_max_s)),
    )


def _half_opened(circuit: Circuit, terms: BreakerTerms, now: datetime) -> Circuit:
    answered_by = now + timedelta(seconds=terms.cooldown_s)
    return replace(circuit, state=State.HALF_OPEN, granted=0, good=0, probe_at=answered_by)
