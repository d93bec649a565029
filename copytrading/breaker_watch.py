"""The circuit breakers of one engine: in memory, fed with what becomes of orders, and asked before every order.

Each engine counts for itself; a change of state becomes a row, and the rows of others are read every second, so
that an opening or a person's override counts everywhere. Every process grants its own probes.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.db import OperationalError

from copytrading.breaker_circuits import SHARED, Circuits, Kept
from copytrading.breaker_counts import Counts, Result
from copytrading.breaker_days import Days
from copytrading.pauses import sleep_or_stop
from guardrails.breakers import may_probe
from guardrails.circuits import BreakerScope, BreakerTerms, Event, Kind, State
from guardrails.operations import BreakerChange, change_breaker, ensure_breakers
from guardrails.queries import BreakerName, BreakerRow, breaker_named, breakers
from ledger.clock import Clock
from ledger.db import Database
from ledger.queries import realised_by
from ledger.units import Side

EVERY_S = 1.0

AGAIN = timedelta(minutes=1)
"""Accounts' rows that changed so long before the newest known one are read again: clocks of machines differ."""

UNREAD = timedelta(seconds=2 * EVERY_S)
"""What a person changed so long before an engine opened a breaker, the engine had seen, or it was no news to it."""

VENUES: Mapping[str, str] = {"PAPER": "paper", "EXCHANGE": "clob"}
"""The venue of each mode, where nothing else is routed."""

log = structlog.get_logger(__name__)


class Leaving(NamedTuple):
    """An order that asks whether it may leave."""

    trade_id: int
    follower_id: int
    side: Side
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBack:
    """What open breakers hold back at a moment, exits too or buys alone: of everybody, some modes, some followers."""

    everything: bool = False
    modes: frozenset[str] = frozenset()
    followers: frozenset[int] = frozenset()
    all_buys: bool = False
    buying_modes: frozenset[str] = frozenset()
    buyers: frozenset[int] = frozenset()

    def holds(self, side: Side, follower_id: int, mode: str) -> bool:
        """Whether such an order must not be sent."""
        if self.everything or mode in self.modes or follower_id in self.followers:
            return True
        return side is Side.BUY and (self.all_buys or mode in self.buying_modes or follower_id in self.buyers)


NOTHING_HELD = HeldBack()


class Breakers:
    """The breakers whose terms are given; a kind and scope without terms does not exist.

    `venues` are the names of the venues by the mode of the followers whose orders go there.
    """

    name = "breakers"

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        terms: Iterable[BreakerTerms] = (),
        venues: Mapping[str, str] = VENUES,
    ) -> None:
        self._database, self._clock = database, clock
        self._circuits = circuits = Circuits(clock, terms, venues)
        self.answers = Counts(circuits, (Kind.FAILURE_RATE, Kind.UNKNOWN_RATE), good=Event.SUCCESS)
        """Told what the venue answers, at once: what it opens holds back the very next order."""
        self.prices = Counts(circuits, (Kind.PRICE_DEVIATION,), good=Event.ON_PRICE)
        """Told whether prices were near the leader's."""
        # A sell ends what a buy began: of a follower that loses every result counts, not only a probe's own.
        self._losses = Counts(circuits, (Kind.CONSECUTIVE_LOSSES,), good=Event.WIN, probes=False)
        self._days = Days(circuits, database, clock)
        self._kinds = circuits.kinds_of(BreakerScope.FOLLOWER)
        self._held: tuple[int, HeldBack] = (-1, NOTHING_HELD)
        self._newest: datetime | None = None
        self._known = not circuits.terms
        self._busy = asyncio.Lock()
        self.counts_results = self._losses.counts or self._days.counts
        """Whether it wants to know what fills have realised."""
        apart = [each.apart_bps for each in circuits.terms.values() if each.kind is Kind.PRICE_DEVIATION]
        self.apart_bps: int | None = apart[0] if apart else None
        """From where on a price is off; None where prices are not counted."""

    @property
    def unsaved(self) -> bool:
        """Whether a change of state waits to be written."""
        return bool(self._circuits.unsaved)

    def state(self, kind: Kind, scope: BreakerScope = BreakerScope.GLOBAL, key: str = "") -> State:
        """The state of a breaker in this engine."""
        kept = self._circuits.kept.get((kind, scope, key))
        return kept.circuit.state if kept else State.CLOSED

    def held_back(self) -> HeldBack:
        """What is held back now; one that lets probes pass holds back nothing until they are used up."""
        circuits = self._circuits
        if not circuits.holding:
            return NOTHING_HELD
        circuits.tick()
        if self._held[0] != circuits.changes:
            self._held = (circuits.changes, _held_by(circuits))
        return self._held[1]

    def holds(self, leaving: Leaving) -> bool:
        """Whether this order must not leave now; one that has its probe may."""
        if not self._circuits.holding:
            return False
        self._circuits.tick()
        return any(not _lets(kept, leaving.trade_id) for _name, kept in self._asked(leaving))

    def grant(self, leaving: Leaving) -> bool:
        """Whether this order may leave; where a breaker is half open it takes one of its probes, once."""
        if not self._circuits.holding:
            return True
        self._circuits.tick()
        asked = self._asked(leaving)
        if not all(_lets(kept, leaving.trade_id) for _name, kept in asked):
            return False
        for name, kept in asked:
            # What it would not learn from passes beside its probes.
            if leaving.trade_id not in kept.probes and self._circuits.counted(name, leaving.mode):
                kept.probes.add(leaving.trade_id)
                self._circuits.tell(name, kept, Event.PROBE_GRANTED)
        return True

    def _asked(self, leaving: Leaving) -> list[tuple[BreakerName, Kept]]:
        """The breakers that are not closed and concern this order."""
        circuits, buy = self._circuits, leaving.side is Side.BUY
        asked = list(circuits.of_mode(leaving.mode)) if circuits.shared_holding else []
        if leaving.follower_id in circuits.accounts:
            names = [(kind, BreakerScope.FOLLOWER, str(leaving.follower_id)) for kind in self._kinds]
            asked += [(name, circuits.kept[name]) for name in names if name in circuits.kept]
        return [(name, kept) for name, kept in asked if not kept.is_closed and (buy or kept.holds_exits)]

    def void(self, trade_ids: Sequence[int]) -> None:
        """These orders ended without a fill: a probe of theirs that nothing was learnt from is granted anew."""
        if self._circuits.holding:
            self._circuits.void(trade_ids)

    async def note_fills(self, fills: Sequence[tuple[int, int, str, Side]]) -> None:
        """Count what these fills, (trade id, follower id, mode, side), have realised."""
        if not fills or not self.counts_results:
            return
        try:
            realised = await self._database.run(realised_by, [fill[0] for fill in fills])
        except OperationalError:
            log.warning("The database is away; what some fills realised is not counted.", action="breaker")
            return
        results = [(*fill, realised.get(fill[0], 0)) for fill in fills]
        for trade_id, follower_id, mode, side, micros in results:
            if side is Side.SELL and self._losses.counts:
                self._losses.note(Result(trade_id, follower_id, mode, Event.LOSS if micros < 0 else Event.WIN))
        if self._days.counts:
            self._days.note((follower_id, mode, micros) for _trade, follower_id, mode, _side, micros in results)

    async def ready(self) -> None:
        """Read the rows once before the first order: a breaker that was open when the process ended still is."""
        if not self._known:
            async with self._busy:
                if not self._known:
                    await self._database.run(
                        ensure_breakers, [name for name in self._circuits.kept if name[1] in SHARED]
                    )
                    await self._read()
                    await self._days.read()
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
            await self._days.read()
        self._circuits.tick()
        await self.save()

    async def save(self) -> None:
        """Write the changes of state; whoever wrote first wins, and is followed. Without a database they wait."""
        async with self._busy:
            while self._circuits.unsaved:
                name = self._circuits.unsaved.pop()
                try:
                    await self._save(name)
                except OperationalError:
                    self._circuits.unsaved.add(name)
                    log.warning("The database is away; a breaker's change waits in memory.", action="breaker")
                    return

    async def _save(self, name: BreakerName) -> None:
        kept = self._circuits.kept[name]
        change = BreakerChange(name=name, circuit=kept.circuit, version=kept.version, why=kept.why)
        if not await self._database.run(change_breaker, change, now=self._clock.now()):
            self._circuits.unsaved.discard(name)
            self._follow(await self._database.run(breaker_named, name))
            return
        kept.version = change.version + 1
        self._note_moment(name, self._clock.now())
        tell = log.warning if change.circuit.state is State.OPEN else log.info
        kind, scope, key = name
        about = {"breaker": kind.value, "scope": scope.value, "key": key, "state": change.circuit.state.value}
        tell("A circuit breaker changed.", action="breaker", why=change.why, **about)

    async def _read(self) -> None:
        """Follow the rows that others have changed."""
        rows = await self._database.run(breakers, since=self._newest and self._newest - AGAIN)
        for row in rows:
            self._adopt(row)
            self._note_moment(row.name, row.changed_at)

    def _note_moment(self, name: BreakerName, changed_at: datetime) -> None:
        if name[1] is BreakerScope.FOLLOWER:
            self._newest = max(self._newest or changed_at, changed_at)

    def _follow(self, row: BreakerRow) -> None:
        """Somebody's change came before ours: theirs counts, unless it says nothing against opening it now."""
        kept = self._circuits.keep(row.name)
        opened_at = kept.circuit.opened_at
        unread = row.changed_by and (opened_at is None or row.changed_at > opened_at - UNREAD)
        if kept.circuit.state is State.OPEN and row.circuit.state is State.CLOSED and not unread:
            kept.version = row.version
            self._circuits.unsaved.add(row.name)
        else:
            self._adopt(row)

    def _adopt(self, row: BreakerRow) -> None:
        circuits, name = self._circuits, row.name
        if name[:2] not in circuits.terms or name in circuits.unsaved:
            return
        kept = circuits.kept.get(name)
        if kept is None:
            if row.circuit.state is State.CLOSED:
                return
            kept = circuits.keep(name)
        if row.version <= kept.version:
            return
        kept.version = row.version
        # Two engines that are half open at once each have their own probes.
        if not (row.circuit.state is kept.circuit.state is State.HALF_OPEN):
            circuits.set(name, kept, row.circuit)
        if name[0] is Kind.DAILY_DRAWDOWN and row.changed_by and kept.is_closed:
            self._days.pardon(name, row.changed_at)


def _lets(kept: Kept, trade_id: int) -> bool:
    return may_probe(kept.circuit, kept.terms) or (kept.circuit.state is State.HALF_OPEN and trade_id in kept.probes)


def _held_by(circuits: Circuits) -> HeldBack:
    accounts: dict[bool, set[int]] = {True: set(), False: set()}
    shared: dict[bool, set[str]] = {True: set(), False: set()}
    for name, kept in circuits.holding.items():
        if not may_probe(kept.circuit, kept.terms):
            if name[1] is BreakerScope.FOLLOWER:
                accounts[kept.holds_exits].add(int(name[2]))
            else:
                shared[kept.holds_exits].add(name[2])
    safe, buys = shared[True], shared[False]
    return HeldBack(
        everything="" in safe,
        modes=frozenset(mode for mode, venue in circuits.venues.items() if venue in safe),
        followers=frozenset(accounts[True]),
        all_buys="" in buys,
        buying_modes=frozenset(mode for mode, venue in circuits.venues.items() if venue in buys),
        buyers=frozenset(accounts[False]),
    )
