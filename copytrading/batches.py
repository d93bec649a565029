"""Cuts waiting signals into batches that may be decided together. Pure.

Two signals share a batch unless the later one depends on the earlier: parts of one group (what was decided
counts), one of them sells in the market of the other (a follower may copy both, also with the market's other
token, and what is left counts), or somebody carries what is under the minimum from one to the next.
A signal that was begun before is decided alone, so that a poisoned one takes no other with it.
"""

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

    An id, not a position: configs may come and go between two batches.
    """

    signal: SignalFacts
    after: int = 0
    alone: bool = False


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


def next_batch(waiting: Sequence[Waiting], subscribers: Subscribers, *, copies_max: int) -> tuple[Batch, list[Waiting]]:
    """The next batch of at most `copies_max` pairs, and what waits after it. Order is kept."""
    pairs: list[Pair] = []
    finished: list[int] = []
    lonely: list[int] = []
    signals: list[SignalFacts] = []
    for index, item in enumerate(waiting):
        configs = _left(item, subscribers)
        room = copies_max - len(pairs)
        apart = item.alone or (index > 0 and waiting[0].alone)
        if room <= 0 or (signals and apart) or _depends(item.signal, configs, signals):
            return _batch(pairs, finished, lonely, signals), list(waiting[index:])
        if not configs and not item.after:
            lonely.append(item.signal.signal_id)
            continue
        signals.append(item.signal)
        pairs += [(item.signal, config) for config in configs[:room]]
        if room < len(configs):
            rest = [replace(item, after=configs[room - 1].config_id), *waiting[index + 1 :]]
            return _batch(pairs, finished, lonely, signals), rest
        finished.append(item.signal.signal_id)
    return _batch(pairs, finished, lonely, signals), []


def _left(item: Waiting, subscribers: Subscribers) -> list[Config]:
    only, after = item.signal.only_config, item.after
    configs = subscribers.get(item.signal.leader_id, ())
    return [each for each in configs if each.config_id > after and only in (None, each.config_id)]


def _depends(signal: SignalFacts, configs: Sequence[Config], earlier: Sequence[SignalFacts]) -> bool:
    for before in earlier:
        if before.group_key == signal.group_key:
            return True
        if before.condition_id != signal.condition_id:
            continue
        if Side.SELL in (before.side, signal.side):
            return True
        if before.leader_id == signal.leader_id and any(map(_carries, configs)):
            return True
    return False


def _carries(config: Config) -> bool:
    return config.terms.below_minimum is BelowMinimum.ACCUMULATE


def _batch(pairs: list[Pair], finished: list[int], lonely: list[int], signals: list[SignalFacts]) -> Batch:
    return Batch(pairs=tuple(pairs), finished=tuple(finished), without_followers=tuple(lonely), signals=tuple(signals))
