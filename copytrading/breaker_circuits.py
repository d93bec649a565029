"""The circuits that one engine keeps in memory: what they are told, which hold something back, and what is unsaved."""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from copytrading.metrics import BREAKER_OPENINGS_TOTAL, BREAKERS_OPEN
from guardrails.breakers import after, transition
from guardrails.circuits import (
    CLOSED,
    HOLDS_EVERYTHING,
    OF_MONEY,
    BreakerScope,
    BreakerTerms,
    Circuit,
    DayResult,
    Event,
    Kind,
    State,
)
from guardrails.queries import BreakerName
from ledger.clock import Clock

SHARED = (BreakerScope.GLOBAL, BreakerScope.VENUE)

PRETEND = "PAPER"
"""The mode that trades with pretend money."""


@dataclass(slots=True)
class Kept:
    """A breaker as this engine has it, the version of the row it knows, and the orders that leave as its probes."""

    terms: BreakerTerms
    circuit: Circuit = CLOSED
    version: int = 0
    why: str = ""
    probes: set[int] = field(default_factory=set)
    holds_exits: bool = field(init=False)

    def __post_init__(self) -> None:
        # Kept, because the hash of a member of an enumeration takes longer than all else that is asked of it.
        self.holds_exits = self.terms.kind in HOLDS_EVERYTHING

    @property
    def is_closed(self) -> bool:
        """Whether it lets everything pass."""
        return self.circuit.state is State.CLOSED


class Circuits:
    """Breakers by name: those of everybody and of venues from the start, those of accounts only where there is cause.

    `venues` are the names of the venues by the mode of the followers whose orders go there.
    """

    def __init__(self, clock: Clock, terms: Iterable[BreakerTerms], venues: Mapping[str, str]) -> None:
        self._clock, self.venues = clock, venues
        self.terms = {(each.kind, each.scope): each for each in terms}
        self.kept: dict[BreakerName, Kept] = {}
        self.holding: dict[BreakerName, Kept] = {}
        self.unsaved: set[BreakerName] = set()
        self.accounts: Counter[int] = Counter()
        """How many circuits are kept of an account, by its follower; all others are closed and have nothing bad."""
        self.changes = 0
        """Rises with each change of what is held back, and with each result that a shared circuit was told."""
        self.shared_holding = 0
        """How many of those of everybody and of venues are not closed."""
        self._wakes: list[tuple[datetime, BreakerName]] = []
        self._open: Counter[tuple[str, str, str]] = Counter()
        for kind, scope in self.terms:
            if scope is not BreakerScope.FOLLOWER:
                for key in {""} if scope is BreakerScope.GLOBAL else set(venues.values()):
                    self.keep((kind, scope, key))
        self._of_mode = {mode: self._shared_by(venue) for mode, venue in venues.items()}
        self._earnest = frozenset(venues) - {PRETEND} or frozenset(venues)

    def _shared_by(self, venue: str) -> tuple[tuple[BreakerName, Kept], ...]:
        return tuple((name, kept) for name, kept in self.kept.items() if name[2] in ("", venue))

    def of_mode(self, mode: str) -> tuple[tuple[BreakerName, Kept], ...]:
        """The breakers of everybody and of the venue where this mode's orders go."""
        return self._of_mode.get(mode, ())

    def counted(self, name: BreakerName, mode: str) -> bool:
        """Whether a breaker that holds back this mode's orders counts them too.

        Everybody's losses are those of real money, which pretend ones would hide or exaggerate; where only paper is
        traded they are paper's.
        """
        return name[1] is not BreakerScope.GLOBAL or name[0] not in OF_MONEY or mode in self._earnest

    def kinds_of(self, scope: BreakerScope) -> tuple[Kind, ...]:
        """The kinds that exist in a scope."""
        return tuple(kind for kind, its in self.terms if its is scope)

    def keep(self, name: BreakerName) -> Kept:
        """The breaker of this name, which has terms; a new one is closed."""
        kept = self.kept.get(name)
        if kept is None:
            kept = self.kept[name] = Kept(self.terms[name[0], name[1]])
            if name[1] is BreakerScope.FOLLOWER:
                self.accounts[int(name[2])] += 1
        return kept

    def forget(self, name: BreakerName) -> None:
        """Let go of an account's breaker that is closed, has nothing bad and no row."""
        del self.kept[name]
        follower_id = int(name[2])
        self.accounts[follower_id] -= 1
        if not self.accounts[follower_id]:
            del self.accounts[follower_id]

    def tick(self) -> None:
        """Tell those that wait that time has passed; asked for every order, so it looks only at what is due."""
        if not self._wakes:
            return
        now = self._clock.now()
        while self._wakes and self._wakes[0][0] <= now:
            _at, name = heapq.heappop(self._wakes)
            kept = self.holding.get(name)
            if kept is not None:
                self.tell(name, kept, Event.TICK)

    def tell(self, name: BreakerName, kept: Kept, event: Event | DayResult, *, times: int = 1) -> None:
        """One circuit hears of an event; a change of state is unsaved from then on."""
        before = kept.circuit
        now = after(before, event, terms=kept.terms, now=self._clock.now(), times=times)
        if now is before:
            return
        if now.state is not before.state:
            kept.why = transition(before, now, kept.terms)
            self.unsaved.add(name)
        self.set(name, kept, now)

    def void(self, trade_ids: Iterable[int]) -> None:
        """These orders ended without a result: what they took as probes may be granted to others."""
        for name, kept in [(name, kept) for name, kept in self.holding.items() if kept.probes]:
            for trade_id in kept.probes.intersection(trade_ids):
                kept.probes.discard(trade_id)
                self.tell(name, kept, Event.PROBE_VOID)

    def set(self, name: BreakerName, kept: Kept, circuit: Circuit) -> None:
        """Put a circuit in the place of another, whoever says so."""
        before, kept.circuit = kept.circuit, circuit
        if circuit.state is State.CLOSED and before.state is State.CLOSED:
            self.changes += name[1] in SHARED
            return
        self.changes += 1
        if circuit.state is not State.HALF_OPEN:
            kept.probes.clear()
        if circuit.state is State.CLOSED:
            self.holding.pop(name, None)
        else:
            self.holding[name] = kept
            if circuit.wakes_at is not None and circuit.wakes_at != before.wakes_at:
                heapq.heappush(self._wakes, (circuit.wakes_at, name))
        self._count(name, before, circuit)

    def _count(self, name: BreakerName, before: Circuit, now: Circuit) -> None:
        kind, scope, key = name
        # No follower is ever a label: of accounts it says how many.
        labels = (kind.value, scope.value, key if scope is BreakerScope.VENUE else "")
        more = (now.state is not State.CLOSED) - (before.state is not State.CLOSED)
        self._open[labels] += more
        self.shared_holding += more if scope in SHARED else 0
        BREAKERS_OPEN.labels(*labels).set(self._open[labels])
        if now.state is State.OPEN and before.state is not State.OPEN:
            BREAKER_OPENINGS_TOTAL.labels(*labels).inc()
