"""The circuit breakers of one engine: in memory, fed with answers, and asked before every order.

Each engine counts for itself; a change of state becomes a row, and the rows of others are read every second, so
that an opening or a person's override counts everywhere. Every process grants its own probes.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from django.db import OperationalError

from copytrading.pauses import sleep_or_stop
from guardrails.breakers import CLOSED, BreakerTerms, Circuit, Event, Kind, State, after, may_probe, transition
from guardrails.models import Scope
from guardrails.operations import BreakerChange, change_breaker, ensure_breakers
from guardrails.queries import BreakerRow, breakers
from ledger.clock import Clock
from ledger.db import Database
from ledger.queries import realised_by
from ledger.units import Side

EVERY_S = 1.0

RATES = (Kind.FAILURE_RATE, Kind.UNKNOWN_RATE)
"""Breakers of the venue: while one is open sending is not safe, so it holds back everything, exits too."""

Name = tuple[Kind, str]
"""A breaker by its kind and key; the key of a venue's breaker is empty, that of the others a follower's id."""

_SUCCESS = Event.SUCCESS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class HeldBack:
    """What open breakers hold back at a moment: everything, or the buys of some followers."""

    everything: bool = False
    buyers: frozenset[int] = frozenset()

    def holds(self, side: Side, follower_id: int) -> bool:
        """Whether such an order must not be sent."""
        return self.everything or (side is Side.BUY and follower_id in self.buyers)


NOTHING_HELD = HeldBack()


@dataclass(slots=True)
class _Kept:
    """A breaker as this engine has it, and the version of the row it knows."""

    terms: BreakerTerms
    circuit: Circuit = CLOSED
    version: int = 0
    why: str = ""
    probes: set[int] = field(default_factory=set)


class Breakers:
    """The breakers whose terms are given; a kind without terms does not exist."""

    name = "breakers"

    def __init__(self, database: Database, clock: Clock, *, terms: Iterable[BreakerTerms] = ()) -> None:
        self._database, self._clock = database, clock
        self._terms = {each.kind: each for each in terms}
        self._kept: dict[Name, _Kept] = {(kind, ""): _Kept(self._terms[kind]) for kind in RATES if kind in self._terms}
        self._rates = tuple(self._kept.items())
        self._holding: dict[Name, _Kept] = {}
        self._held: HeldBack | None = None
        self._wakes_at: datetime | None = None
        self._unsaved: set[Name] = set()
        self._known = not self._terms
        self._busy = asyncio.Lock()

    @property
    def counts_answers(self) -> bool:
        """Whether it wants to know what the venue answers."""
        return bool(self._rates)

    @property
    def counts_results(self) -> bool:
        """Whether it wants to know what sells have realised."""
        return Kind.CONSECUTIVE_LOSSES in self._terms

    def state(self, kind: Kind, key: str = "") -> State:
        """The state of a breaker in this engine."""
        kept = self._kept.get((kind, key))
        return kept.circuit.state if kept else State.CLOSED

    def held_back(self) -> HeldBack:
        """What is held back now; one that lets probes pass holds back nothing until they are used up."""
        if not self._holding:
            return NOTHING_HELD
        self._tick()
        if self._held is None:
            names = [name for name, kept in self._holding.items() if not may_probe(kept.circuit, kept.terms)]
            buyers = frozenset(int(key) for kind, key in names if kind not in RATES)
            self._held = HeldBack(any(kind in RATES for kind, _key in names), buyers)
        return self._held

    def grant(self, trade_id: int, side: Side, *, follower_id: int) -> bool:
        """Whether this order may leave; where a breaker is half open it takes one of its probes."""
        if not self._holding:
            return True
        self._tick()
        names: list[Name] = [name for name, _kept in self._rates]
        if side is Side.BUY:
            names.append((Kind.CONSECUTIVE_LOSSES, str(follower_id)))
        asked = [(name, kept) for name in names if (kept := self._holding.get(name)) is not None]
        if not all(may_probe(kept.circuit, kept.terms) for _name, kept in asked):
            return False
        for name, kept in asked:
            kept.probes.add(trade_id)
            self._tell(name, kept, Event.PROBE_GRANTED)
        return True

    def note_answers(self, answers: Sequence[tuple[int, Event]]) -> bool:
        """Count what the venue answered, by trade id and in order; whether there is something to save."""
        events = [event for _trade_id, event in answers]
        all_good = not self._holding and events.count(_SUCCESS) == len(events)
        for name, kept in self._rates:
            if all_good:
                self._tell(name, kept, _SUCCESS, times=len(events))
            else:
                self._note(name, kept, answers)
        return bool(self._unsaved)

    def _note(self, name: Name, kept: _Kept, answers: Sequence[tuple[int, Event]]) -> None:
        good = 0
        for trade_id, event in answers:
            if event is _SUCCESS and kept.circuit.state is State.CLOSED:
                good += 1
                continue
            self._tell(name, kept, _SUCCESS, times=good)
            good = 0
            if kept.circuit.state is not State.HALF_OPEN or trade_id in kept.probes:
                kept.probes.discard(trade_id)
                self._tell(name, kept, event)
        self._tell(name, kept, _SUCCESS, times=good)

    async def note_sells(self, sells: Sequence[tuple[int, int]]) -> bool:
        """Count what these filled sells, (trade id, follower id), have realised; whether there is something to save."""
        if not sells:
            return False
        try:
            realised = await self._database.run(realised_by, [trade_id for trade_id, _follower_id in sells])
        except OperationalError:
            log.warning("The database is away; what some sells realised is not counted.", action="breaker")
            return False
        return self.note_results([(follower_id, realised.get(trade_id, 0)) for trade_id, follower_id in sells])

    def note_results(self, results: Iterable[tuple[int, int]]) -> bool:
        """Count results, (follower id, micros after fees); whether there is something to save."""
        terms = self._terms[Kind.CONSECUTIVE_LOSSES]
        for follower_id, micros in results:
            name = (Kind.CONSECUTIVE_LOSSES, str(follower_id))
            kept = self._kept.setdefault(name, _Kept(terms))
            self._tell(name, kept, Event.LOSS if micros < 0 else Event.WIN)
        return bool(self._unsaved)

    async def ready(self) -> None:
        """Read the rows once before the first order: a breaker that was open when the process ended still is."""
        if not self._known:
            async with self._busy:
                if not self._known:
                    venue = [(kind, Scope.GLOBAL.value, "") for (kind, _key), _kept in self._rates]
                    await self._database.run(ensure_breakers, venue)
                    await self._read()
                    self._known = True

    async def run(self, stop: asyncio.Event) -> None:
        """Read, tick and save every second until stopped; what could not be written waits for the next round."""
        while not stop.is_set():
            try:
                await self.run_once()
            except OperationalError:
                log.warning("The database is away; breakers go on in memory.", action="breakers")
            await sleep_or_stop(self._clock, stop, EVERY_S)

    async def run_once(self) -> None:
        """One round."""
        await self.ready()
        async with self._busy:
            await self._read()
        self._tick()
        await self.save()

    async def save(self) -> None:
        """Write the changes of state; whoever wrote first wins, and is followed. Without a database they wait."""
        async with self._busy:
            while self._unsaved:
                name = self._unsaved.pop()
                try:
                    await self._save(name)
                except OperationalError:
                    self._unsaved.add(name)
                    log.warning("The database is away; a breaker's change waits in memory.", action="breaker")
                    return

    async def _save(self, name: Name) -> None:
        kept, (kind, key) = self._kept[name], name
        change = BreakerChange(
            kind=kind,
            scope=(Scope.GLOBAL if kind in RATES else Scope.FOLLOWER).value,
            key=key,
            circuit=kept.circuit,
            version=kept.version,
            why=kept.why,
        )
        if await self._database.run(change_breaker, change, now=self._clock.now()):
            kept.version += 1
            tell = log.warning if change.circuit.state is State.OPEN else log.info
            state = change.circuit.state.value
            tell("A circuit breaker changed.", action="breaker", breaker=kind.value, key=key, state=state, why=kept.why)
        else:
            self._unsaved.discard(name)
            await self._read(lost=name)

    async def _read(self, *, lost: Name | None = None) -> None:
        """Follow the rows; `lost` is a breaker whose change somebody else's came before."""
        followers = [key for kind, key in self._holding if kind not in RATES]
        for row in await self._database.run(breakers, followers):
            kept = self._kept.get((row.kind, row.key))
            stale = (row.kind, row.key) == lost and row.circuit.state is State.CLOSED and not row.changed_by
            if kept is not None and stale and kept.circuit.state is State.OPEN:
                # Another engine had it open and closed it unseen by us: that says nothing against opening it now.
                kept.version = row.version
                self._unsaved.add((row.kind, row.key))
            else:
                self._adopt(row)

    def _adopt(self, row: BreakerRow) -> None:
        name = (row.kind, row.key)
        terms = self._terms.get(row.kind)
        if terms is None or name in self._unsaved:
            return
        kept = self._kept.setdefault(name, _Kept(terms))
        if row.version <= kept.version:
            return
        kept.version = row.version
        # Two engines that are half open at once each have their own probes.
        if not (row.circuit.state is kept.circuit.state is State.HALF_OPEN):
            self._set(name, kept, row.circuit)

    def _tick(self) -> None:
        """Tell those that wait that time has passed; asked for every order, so it looks only when one is due."""
        if self._wakes_at is None or self._clock.now() < self._wakes_at:
            return
        self._wakes_at = None
        for name, kept in list(self._holding.items()):
            self._tell(name, kept, Event.TICK)
            self._wait_for(kept.circuit)

    def _wait_for(self, circuit: Circuit) -> None:
        at = circuit.wakes_at
        if at is not None and (self._wakes_at is None or at < self._wakes_at):
            self._wakes_at = at

    def _tell(self, name: Name, kept: _Kept, event: Event, *, times: int = 1) -> None:
        before = kept.circuit
        now = after(before, event, terms=kept.terms, now=self._clock.now(), times=times) if times else before
        if now is before:
            return
        if now.state is not before.state:
            kept.why = transition(before, now, kept.terms)
            self._unsaved.add(name)
        self._set(name, kept, now)

    def _set(self, name: Name, kept: _Kept, circuit: Circuit) -> None:
        if circuit.state is State.CLOSED and kept.circuit.state is State.CLOSED:
            kept.circuit = circuit
            return
        kept.circuit, self._held = circuit, None
        if circuit.state is not State.HALF_OPEN:
            kept.probes.clear()
        if circuit.state is State.CLOSED:
            self._holding.pop(name, None)
        else:
            self._holding[name] = kept
            self._wait_for(circuit)
