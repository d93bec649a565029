"""Cuts waiting signals into batches that may be decided together. Pure.

Two signals share a batch unless the later one depends on the earlier: parts of one group (what was decided
counts), one of them sells in the market of the other (a follower may copy both, also with the market's other
token, and what is left counts), or somebody carries what is under the minimum from one to the next.
What depends is passed over, with all that comes after it in its market, and is first in line for the next batch.
A signal that was begun before is decided alone, so that a poisoned one takes no other with it.

Leaders share a batch fairly: one whose copies do not all fit gets no more than any other that still wants some, so
that a leader with a thousand followers and many signals does not keep the others waiting.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from copytrading.decide import Config, SignalFacts
from copytrading.sizing import BelowMinimum
from ledger.units import Side

Pair = tuple[SignalFacts, Config]
"""One follower's question: this signal, under this config."""

Subscribers = Mapping[int, tuple[Config, ...]]
"""Active configs by leader id, in the order of granting."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A signal not yet decided for all: the configs with ids above `after` are left.

    An id, not a position: configs may come and go between two batches. `tried` when its try has been counted.
    """

    signal: SignalFacts
    after: int = 0
    alone: bool = False
    tried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Pairs to decide in one go. `finished` signals have no follower left after it."""

    pairs: tuple[Pair, ...]
    finished: tuple[int, ...]
    without_followers: tuple[int, ...]
    signals: tuple[SignalFacts, ...]

    def exits(self) -> frozenset[str]:
        """Conditions of its sells: earlier copies in these must have ended, for a sell divides what they left."""
        return frozenset(each.condition_id for each in self.signals if each.side is Side.SELL)


def next_batch(
    waiting: Sequence[Waiting], subscribers: Subscribers, *, copies_max: int, fan_out_max: int | None = None
) -> tuple[Batch, list[Waiting]]:
    """The next batch of at most `copies_max` pairs, and what waits after it, in the order given.

    The first that waits is always in it. One that depends on an earlier one is passed over with everything behind it
    in its market, so that order within a market is kept and other markets do not wait for it. While several leaders
    wait each has its fair share, and at most `fan_out_max` pairs.
    """
    shares = _shares(waiting, subscribers, copies_max=copies_max, fan_out_max=fan_out_max)
    pairs: list[Pair] = []
    finished: list[int] = []
    lonely: list[int] = []
    taken, passed = _Taken(), list[Waiting]()
    for index, item in enumerate(waiting):
        configs = _left(item, subscribers)
        free = copies_max - len(pairs)
        apart = item.alone or (index > 0 and waiting[0].alone)
        if free <= 0 or (taken.signals and apart):
            return _batch(pairs, finished, lonely, taken.signals), [*passed, *waiting[index:]]
        if not configs and not item.after:
            lonely.append(item.signal.signal_id)
            continue
        room = min(free, shares.get(item.signal.leader_id, free))
        if not taken.admits(item.signal, configs) or room <= 0:
            taken.close(item.signal)
            passed.append(item)
            continue
        taken.add(item.signal)
        pairs += [(item.signal, config) for config in configs[:room]]
        if item.signal.leader_id in shares:
            shares[item.signal.leader_id] -= min(room, len(configs))
        if room < len(configs):
            taken.close(item.signal)
            passed.append(replace(item, after=configs[room - 1].config_id, tried=True))
            continue
        finished.append(item.signal.signal_id)
    return _batch(pairs, finished, lonely, taken.signals), passed


class _Taken:
    """The signals of a batch so far, by what later ones could depend on."""

    def __init__(self) -> None:
        self.signals: list[SignalFacts] = []
        self._groups: set[str] = set()
        self._buyers: dict[str, set[int]] = {}
        self._closed: set[str] = set()

    def admits(self, signal: SignalFacts, configs: Sequence[Config]) -> bool:
        """True when the signal depends on none of these and on none that was passed over."""
        if signal.condition_id in self._closed or signal.group_key in self._groups:
            return False
        buyers = self._buyers.get(signal.condition_id)
        if buyers is None:
            return True
        return signal.side is Side.BUY and not (signal.leader_id in buyers and any(map(_carries, configs)))

    def add(self, signal: SignalFacts) -> None:
        """Take the signal in; after a sell its market is closed."""
        self.signals.append(signal)
        self._groups.add(signal.group_key)
        if signal.side is Side.SELL:
            self._closed.add(signal.condition_id)
        else:
            self._buyers.setdefault(signal.condition_id, set()).add(signal.leader_id)

    def close(self, signal: SignalFacts) -> None:
        """Pass the signal over: whatever comes after it in its market waits behind it."""
        self._closed.add(signal.condition_id)


def _shares(
    waiting: Sequence[Waiting], subscribers: Subscribers, *, copies_max: int, fan_out_max: int | None
) -> dict[int, int]:
    """How many pairs each leader may have, at least one; empty where nobody needs a bound."""
    wanted: Counter[int] = Counter()
    for item in waiting:
        wanted[item.signal.leader_id] += len(_left(item, subscribers))
    most = copies_max if fan_out_max is None else fan_out_max
    if len(wanted) < 2 or (wanted.total() <= copies_max and max(wanted.values()) <= most):
        return {}
    shares, free = {}, copies_max
    for done, (leader, number) in enumerate(reversed(wanted.most_common())):
        # Whoever wants less than an equal part leaves the rest to those who want more.
        shares[leader] = max(1, min(number, most, free // (len(wanted) - done)))
        free -= shares[leader]
    return shares


def _left(item: Waiting, subscribers: Subscribers) -> Sequence[Config]:
    only, after = item.signal.only_config, item.after
    configs = subscribers.get(item.signal.leader_id, ())
    if only is None and not after:
        return configs
    return [each for each in configs if each.config_id > after and only in (None, each.config_id)]


def _carries(config: Config) -> bool:
    return config.terms.below_minimum is BelowMinimum.ACCUMULATE


def _batch(pairs: list[Pair], finished: list[int], lonely: list[int], signals: list[SignalFacts]) -> Batch:
    return Batch(pairs=tuple(pairs), finished=tuple(finished), without_followers=tuple(lonely), signals=tuple(signals))
