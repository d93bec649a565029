"""Faults at the doors: what is set, whom it strikes next, and how often it struck. Seeded, and exact in its counts."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ledger.clock import Clock, Randomness

DROP = "drop"
DUPLICATE = "duplicate"
REORDER = "reorder"
DELAY = "delay"
SILENCE = "silence"
HALF_OPEN = "half-open"
DISCONNECT = "disconnect"
TOO_MANY = "429"
SERVER_ERROR = "5xx"
CLAMP = "clamp"
STALE = "stale"

WORDS = re.compile(r"(?P<door>[a-z][a-z-]*):(?P<kind>[0-9a-z][0-9a-z_-]*)(=(?P<value>[0-9a-z.,%]+))?")
PART = re.compile(r"(?P<number>[0-9]+(\.[0-9]+)?)(?P<unit>%|ms|s|)")
DECK = 100
"""A share is exact in every so many chances; which of them it strikes is drawn."""


class UnknownFault(ValueError):
    """No such door or kind, or an unreadable value; the message is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What goes wrong at a door.

    With `count` it strikes the next so many chances, with `share_percent` that share of them, else all. `ms` is how
    long a delay holds something back; of most other kinds, after how long the fault lifts itself. `amount` is the count
    for kinds that act at once (the depth of a reorg, the lag of a node).
    """

    door: str
    kind: str
    share_percent: int | None = None
    count: int | None = None
    ms: int | None = None

    @property
    def amount(self) -> int:
        """The count, or one."""
        return 1 if self.count is None else self.count


Act = Callable[[Fault], Awaitable[None]]


class DoorFaults:
    """The faults of one door. A door asks `strike` once for each thing that could go wrong."""

    def __init__(self, door: str, kinds: Iterable[str], *, clock: Clock, chance: Randomness) -> None:
        self.door = door
        self.kinds = frozenset(kinds)
        self.struck: Counter[str] = Counter()
        self._clock = clock
        self._chance = chance
        self._set: dict[str, Fault] = {}
        self._ends_ms: dict[str, float] = {}
        self._decks: dict[str, list[bool]] = {}
        self._acts: dict[str, Act] = {}
        self._lifted = asyncio.Event()
        self.durations = {DELAY}
        """Kinds whose time is how long they hold something back."""
        self.when_set: dict[str, Callable[[], object]] = {}
        """Called as soon as a lasting kind is set."""

    def on(self, kind: str, act: Act) -> None:
        """A kind that is done at once when it is asked for, such as a disconnect."""
        self.kinds |= {kind}
        self._acts[kind] = act

    async def apply(self, fault: Fault) -> None:
        """Do what is done at once; anything else lasts until it is used up, over or lifted."""
        if fault.kind not in self.kinds:
            raise UnknownFault(f"The door {self.door} knows {', '.join(sorted(self.kinds))}, not {fault.kind}.")
        act = self._acts.get(fault.kind)
        if act is not None:
            self.struck[fault.kind] += 1
            await act(fault)
            return
        self._set[fault.kind] = fault
        self._decks.pop(fault.kind, None)
        self._ends_ms.pop(fault.kind, None)
        if fault.ms is not None and fault.kind not in self.durations:
            self._ends_ms[fault.kind] = self._clock.monotonic_ms() + fault.ms
        if fault.kind in self.when_set:
            self.when_set[fault.kind]()

    def lift(self, kind: str | None = None) -> None:
        """End one kind, or all."""
        for each in [kind] if kind is not None else list(self._set):
            self._set.pop(each, None)
            self._ends_ms.pop(each, None)
        self._lifted.set()
        self._lifted = asyncio.Event()

    def strike(self, kind: str) -> Fault | None:
        """The fault, if it strikes this chance; uses one of its count, or draws from its share."""
        fault = self._current(kind)
        if fault is None or (fault.share_percent is not None and not self._drawn(fault)):
            return None
        if fault.count is not None:
            left = replace(fault, count=fault.count - 1)
            self._set[kind] = left
            if not left.count:
                self.lift(kind)
        self.struck[kind] += 1
        return fault

    def lasts(self, kind: str) -> Fault | None:
        """The fault while it is set, without using it up."""
        return self._current(kind)

    async def until_lifted(self, kind: str) -> None:
        """Return once the kind is no longer set."""
        while self._current(kind) is not None:
            lifted = asyncio.ensure_future(self._lifted.wait())
            ends = self._ends_ms.get(kind)
            timer = None if ends is None else asyncio.ensure_future(self._sleep_until(ends))
            waits = [each for each in (lifted, timer) if each is not None]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()

    def now_set(self) -> tuple[Fault, ...]:
        """Everything that is set and not over."""
        return tuple(fault for kind in list(self._set) if (fault := self._current(kind)) is not None)

    def _current(self, kind: str) -> Fault | None:
        fault = self._set.get(kind)
        if fault is None:
            return None
        ends = self._ends_ms.get(kind)
        if ends is not None and self._clock.monotonic_ms() >= ends:
            self.lift(kind)
            return None
        return fault

    async def _sleep_until(self, ends_ms: float) -> None:
        await self._clock.sleep(max(0.0, (ends_ms - self._clock.monotonic_ms()) / 1_000))

    def _drawn(self, fault: Fault) -> bool:
        deck = self._decks.get(fault.kind)
        if not deck:
            hits = fault.share_percent or 0
            deck = [index < hits for index in range(DECK)]
            for index in range(DECK - 1, 0, -1):
                other = self._chance.below(index + 1)
                deck[index], deck[other] = deck[other], deck[index]
            self._decks[fault.kind] = deck
        return deck.pop()


class Faults:
    """The doors' faults by name; a door, also one that is built elsewhere, gets its own by `door`."""

    def __init__(self, clock: Clock, chance: Randomness) -> None:
        self._clock = clock
        self._chance = chance
        self.doors: dict[str, DoorFaults] = {}

    def door(self, name: str, *, kinds: Sequence[str] = ()) -> DoorFaults:
        """The faults of a door, made at the first call; further kinds are added."""
        if name not in self.doors:
            self.doors[name] = DoorFaults(name, kinds, clock=self._clock, chance=self._chance)
        self.doors[name].kinds |= frozenset(kinds)
        return self.doors[name]

    async def apply(self, fault: Fault | str) -> None:
        """Set a fault, given as a value or in words. Raises UnknownFault."""
        asked = parse_fault(fault) if isinstance(fault, str) else fault
        if asked.door not in self.doors:
            raise UnknownFault(f"No door is called {asked.door}; there are {', '.join(sorted(self.doors))}.")
        await self.doors[asked.door].apply(asked)

    def lift(self, door: str | None = None, kind: str | None = None) -> None:
        """End a kind at a door, a door's faults, or all. Raises UnknownFault for a door that is not there."""
        if door is not None and door not in self.doors:
            raise UnknownFault(f"No door is called {door}; there are {', '.join(sorted(self.doors))}.")
        for name, each in self.doors.items():
            if door in (None, name):
                each.lift(kind)

    def as_json(self) -> dict[str, object]:
        """By door: the kinds it knows, what is set, and how often each kind struck."""
        return {
            name: {
                "kinds": sorted(door.kinds),
                "set": [_as_json(fault) for fault in door.now_set()],
                "struck": dict(door.struck),
            }
            for name, door in self.doors.items()
        }


def parse_fault(words: str) -> Fault:
    """`DOOR:KIND`, or `DOOR:KIND=VALUE` with VALUE of parts parted by commas: `20%` a share, `3` the next three, `2s`
    or `500ms` a time. Raises UnknownFault.
    """
    match = WORDS.fullmatch(words.strip().lower())
    if match is None:
        raise UnknownFault(
            f"{words[:60]!r} is no fault; write DOOR:KIND or DOOR:KIND=VALUE, such as activity:drop=20%."
        )
    fault = Fault(door=match["door"], kind=match["kind"])
    for text in (match["value"] or "").split(",") if match["value"] else ():
        fault = _with_part(fault, text)
    return fault


def _with_part(fault: Fault, text: str) -> Fault:
    part = PART.fullmatch(text)
    if part is None or ("." in part["number"] and part["unit"] != "s"):
        raise UnknownFault(f"{text!r} is neither a share (20%), nor a count (3), nor a time (2s, 500ms).")
    if part["unit"] == "%":
        share = int(part["number"])
        if not 0 < share <= 100:
            raise UnknownFault(f"A share lies between 1% and 100%, not {text}.")
        return replace(fault, share_percent=share)
    if part["unit"] == "":
        if not int(part["number"]):
            raise UnknownFault("A count is at least one.")
        return replace(fault, count=int(part["number"]))
    whole, _, fraction = part["number"].partition(".")
    ms = int(whole) * (1_000 if part["unit"] == "s" else 1) + int((fraction + "000")[:3])
    return replace(fault, ms=ms)


def _as_json(fault: Fault) -> dict[str, object]:
    named = {"kind": fault.kind, "share_percent": fault.share_percent, "count": fault.count, "ms": fault.ms}
    return {name: value for name, value in named.items() if value is not None}
