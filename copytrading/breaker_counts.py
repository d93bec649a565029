"""Counts one family of results for everybody, for each venue and for each account; cheap while all of them are good."""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from copytrading.breaker_circuits import SHARED, Circuits, Kept
from guardrails.circuits import BreakerScope, Circuit, Event, Kind, State
from guardrails.queries import BreakerName

ACCOUNTS_MAX = 100_000
"""Accounts whose good results are remembered; beyond it the oldest one starts anew."""


class Result(NamedTuple):
    """What became of one order of an account; `own`: what is bad about it is the account's, the venue did well."""

    trade_id: int
    follower_id: int
    mode: str
    event: Event
    own: bool = False


class Counts:
    """The circuits of `kinds`, which count the same results; `good` is the event that is bad for none of them.

    Good results are only added up while they could change nothing: of the shared circuits while none of them could be
    opened by one, of accounts while they have nothing bad in their window. So an account without trouble is one number.
    A mode that no venue is known for counts for accounts alone. With `probes` a half-open circuit counts what became of
    its probes alone.
    """

    def __init__(self, circuits: Circuits, kinds: Sequence[Kind], *, good: Event, probes: bool = True) -> None:
        self._circuits, self._good, self._probes = circuits, good, probes
        shared = [kind for kind in kinds if any((kind, scope) in circuits.terms for scope in SHARED)]
        self._shared = {
            mode: [each for each in circuits.of_mode(mode) if each[0][0] in shared and circuits.counted(each[0], mode)]
            for mode in circuits.venues
        }
        self._kinds = [kind for kind in kinds if (kind, BreakerScope.FOLLOWER) in circuits.terms]
        self.counts = bool(shared or self._kinds)
        self._waiting: defaultdict[str, int] = defaultdict(int)
        self._clean: dict[int, int] = {}
        self._lazy, self._changes = False, -1

    def note_good(self, trade_id: int, follower_id: int, *, mode: str) -> None:
        """Count a good result, in the order in which they came: what nearly every order comes to, so it is quick."""
        circuits, clean = self._circuits, self._clean
        if not self._lazy or self._changes != circuits.changes or follower_id in circuits.accounts:
            self.note(Result(trade_id, follower_id, mode, self._good))
            return
        self._waiting[mode] += 1
        if follower_id in clean:
            clean[follower_id] += 1
        elif self._kinds:
            self._remember(follower_id)

    def note(self, result: Result) -> None:
        """Count one result, in the order in which they came."""
        good = result.event is self._good
        if (good or result.own) and self._lazy and self._changes == self._circuits.changes:
            self._waiting[result.mode] += 1
        else:
            self._note_shared(result)
        if not self._kinds:
            return
        if good and result.follower_id not in self._circuits.accounts:
            self._remember(result.follower_id)
        else:
            self._note_account(result)

    def fold(self) -> None:
        """Tell the shared circuits of the good results that were only added up."""
        sums: dict[BreakerName, int] = {}
        for mode, number in self._waiting.items():
            if number:
                self._waiting[mode] = 0
                for name, _kept in self._shared.get(mode, ()):
                    sums[name] = sums.get(name, 0) + number
        for name, number in sums.items():
            kept = self._circuits.kept[name]
            if kept.is_closed:
                self._circuits.tell(name, kept, self._good, times=number)

    def _note_shared(self, result: Result) -> None:
        self.fold()
        event = self._good if result.own else result.event
        for name, kept in self._shared.get(result.mode, ()):
            self._note_one(name, kept, result.trade_id, event)
        # A good result can open nothing where the number that it takes is reached, or nothing bad was counted.
        found = [kept for each in self._shared.values() for _name, kept in each]
        self._lazy = all(
            kept.is_closed and (not kept.circuit.marks or kept.circuit.seen >= kept.terms.least) for kept in found
        )
        self._changes = self._circuits.changes

    def _note_account(self, result: Result) -> None:
        circuits, key = self._circuits, str(result.follower_id)
        names: list[BreakerName] = [(kind, BreakerScope.FOLLOWER, key) for kind in self._kinds]
        known = any(name in circuits.kept for name in names)
        if result.event is self._good and not known:
            self._remember(result.follower_id)
            return
        clean = self._clean.pop(result.follower_id, 0)
        for name in names:
            kept = circuits.keep(name)
            if clean and kept.is_closed and not kept.circuit.seen:
                circuits.set(name, kept, Circuit(seen=min(clean, kept.terms.window)))
            self._note_one(name, kept, result.trade_id, result.event)
        if result.event is self._good:
            self._forget(result.follower_id, names)

    def _note_one(self, name: BreakerName, kept: Kept, trade_id: int, event: Event) -> None:
        if kept.circuit.state is State.HALF_OPEN and self._probes:
            if trade_id not in kept.probes:
                return
            kept.probes.discard(trade_id)
        self._circuits.tell(name, kept, event)

    def _remember(self, follower_id: int) -> None:
        clean = self._clean
        if follower_id not in clean and len(clean) >= ACCOUNTS_MAX:
            del clean[next(iter(clean))]
        clean[follower_id] = clean.get(follower_id, 0) + 1

    def _forget(self, follower_id: int, names: Sequence[BreakerName]) -> None:
        """An account whose last results are all good is one number again, unless it has rows."""
        kept = [self._circuits.kept[name] for name in names]
        untroubled = all(each.is_closed and not each.circuit.marks and not each.version for each in kept)
        if untroubled and self._circuits.unsaved.isdisjoint(names):
            self._clean[follower_id] = min(each.circuit.seen for each in kept)
            for name in names:
                self._circuits.forget(name)
