"""A circuit breaker's values: what it counts and for whom, when it opens, its state, and what it is told. Pure.

`guardrails.breakers` has the transitions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

WINDOW_MAX = 10_000
"""Results that a window may hold; it is one integer of so many bits."""


class Kind(StrEnum):
    """What a breaker counts."""

    FAILURE_RATE = "FAILURE_RATE"
    UNKNOWN_RATE = "UNKNOWN_RATE"
    PRICE_DEVIATION = "PRICE_DEVIATION"
    CONSECUTIVE_LOSSES = "CONSECUTIVE_LOSSES"
    DAILY_DRAWDOWN = "DAILY_DRAWDOWN"


HOLDS_EVERYTHING = frozenset({Kind.FAILURE_RATE, Kind.UNKNOWN_RATE})
"""While one of these is open sending is not safe: exits wait too. The others hold back buys alone."""

OF_MONEY = frozenset({Kind.CONSECUTIVE_LOSSES, Kind.DAILY_DRAWDOWN})
"""These count what was won and lost."""


class BreakerScope(StrEnum):
    """Whose orders it counts and holds back; its key is empty, a venue's name or a follower's id."""

    GLOBAL = "GLOBAL"
    VENUE = "VENUE"
    FOLLOWER = "FOLLOWER"


class State(StrEnum):
    """Whether orders pass."""

    CLOSED = "CLOSED"
    OPEN = "OPEN"
    HALF_OPEN = "HALF_OPEN"


class Event(StrEnum):
    """What a circuit is told. Each kind counts its own; what it does not count changes nothing.

    Answers of the venue: SUCCESS, FAILURE (a definite no) and UNKNOWN (the answer was lost). Prices of fills, or of the
    book for an order that found nobody: ON_PRICE and OFF_PRICE. Sells that realised a profit or a loss: WIN and LOSS.
    TICK: time has passed. PROBE_GRANTED: an order was let through half open; PROBE_VOID: it ended without a result.
    """

    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    UNKNOWN = "UNKNOWN"
    ON_PRICE = "ON_PRICE"
    OFF_PRICE = "OFF_PRICE"
    WIN = "WIN"
    LOSS = "LOSS"
    TICK = "TICK"
    PROBE_GRANTED = "PROBE_GRANTED"
    PROBE_VOID = "PROBE_VOID"


@dataclass(frozen=True, slots=True)
class Override:
    """A person's word, which is stronger than anything that was counted.

    Opened by hand it stays open until a person says otherwise; HALF_OPEN ends its cool-down now.
    """

    to: State


@dataclass(frozen=True, slots=True)
class DayResult:
    """What a UTC day has realised so far, after fees, in micros; a loss is negative."""

    day: date
    micros: int


COUNTED: Mapping[Kind, Mapping[Event, bool]] = {
    # A lost answer is no answer: it says nothing about how often the venue refuses.
    Kind.FAILURE_RATE: {Event.SUCCESS: False, Event.FAILURE: True},
    Kind.UNKNOWN_RATE: {Event.SUCCESS: False, Event.FAILURE: False, Event.UNKNOWN: True},
    Kind.PRICE_DEVIATION: {Event.ON_PRICE: False, Event.OFF_PRICE: True},
    Kind.CONSECUTIVE_LOSSES: {Event.WIN: False, Event.LOSS: True},
    Kind.DAILY_DRAWDOWN: {},
}
"""The events that each kind counts, and whether they are bad ones; a day's drawdown is told of its `DayResult`."""

BAD_PROBES: Mapping[Kind, frozenset[Event]] = {
    Kind.FAILURE_RATE: frozenset({Event.FAILURE, Event.UNKNOWN}),
    Kind.UNKNOWN_RATE: frozenset({Event.UNKNOWN}),
    Kind.PRICE_DEVIATION: frozenset({Event.OFF_PRICE}),
    Kind.CONSECUTIVE_LOSSES: frozenset({Event.LOSS}),
    Kind.DAILY_DRAWDOWN: frozenset(),
}
"""What makes a probe a bad one: of a venue that refused, a lost answer is no good sign either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerTerms:
    """When the breakers of one kind and scope open, and how they come back.

    A rate opens it above `open_bps` of the last `window` results, once there are `least`. Losses open it when the last
    `least` results were all bad: their window is `least` and `open_bps` means nothing. A day's drawdown opens it when
    the day has lost more than `loss_micros`, until the next UTC day; `least` and the cool-down mean nothing then.
    A price is off when it is worse than the leader's by more than `apart_bps`. Probes must be answered within
    `answer_s`, where that is longer than the cool-down.
    """

    kind: Kind
    scope: BreakerScope = BreakerScope.GLOBAL
    least: int = 1
    window: int = 0
    open_bps: int = 0
    apart_bps: int = 0
    loss_micros: int = 0
    cooldown_s: int
    cooldown_max_s: int
    probes: int
    answer_s: int = 0

    def __post_init__(self) -> None:
        if min(self.least, self.cooldown_s, self.probes) < 1:
            raise ValueError("A breaker needs at least one answer, one second of cool-down and one probe.")
        if self.kind in OF_MONEY:
            object.__setattr__(self, "window", self.least)
        if (self.kind is Kind.DAILY_DRAWDOWN) != (self.loss_micros > 0):
            raise ValueError("A breaker of the day's drawdown, and no other, needs a bound in money above zero.")
        if not self.least <= self.window <= WINDOW_MAX:
            raise ValueError(f"A breaker's window must lie between its {self.least} answers and {WINDOW_MAX}.")
        if self.cooldown_max_s < self.cooldown_s:
            raise ValueError("A breaker's longest cool-down cannot be shorter than its first.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Circuit:
    """A breaker's state and what it has counted.

    `marks` are the last `seen` results, the newest in the lowest bit, 1 for a bad one. `openings` are those since it
    was last closed. `granted` and `good` count the probes of this half-open, and `probe_at` is when OPEN ends, or by
    when the probes must have been answered. `lost_micros` is the loss at which a day's drawdown opened it.
    """

    state: State = State.CLOSED
    marks: int = 0
    seen: int = 0
    openings: int = 0
    granted: int = 0
    good: int = 0
    lost_micros: int = 0
    opened_at: datetime | None = None
    probe_at: datetime | None = None

    @property
    def wakes_at(self) -> datetime | None:
        """When a tick could change it; None while only an event or a person can."""
        # What a day has lost is over with the day, whatever became of its probes.
        probing = self.state is State.HALF_OPEN and (self.granted > self.good or self.lost_micros > 0)
        return self.probe_at if self.state is State.OPEN or probing else None

    @property
    def bad(self) -> int:
        """How many of the last results were bad."""
        return self.marks.bit_count()


CLOSED = Circuit()
"""A new breaker."""


def counts_of(circuit: Circuit) -> dict[str, int]:
    """What a row keeps of the counts."""
    counts = {
        "bad": circuit.bad,
        "seen": circuit.seen,
        "openings": circuit.openings,
        "granted": circuit.granted,
        "good": circuit.good,
    }
    return counts | {"lost_micros": circuit.lost_micros} if circuit.lost_micros else counts


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
        lost_micros=counts.get("lost_micros", 0),
        opened_at=opened_at,
        probe_at=probe_at,
    )
