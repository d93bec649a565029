"""The engine's last minutes for a page that opens: ticks of a shard within one second become one tick. Pure.

A tick that was folded has the same fields as one that the engine wrote, so that pages know only one kind.
"""

from collections import OrderedDict
from datetime import datetime
from typing import Any

WINDOW_S = 300
"""What a page's charts show; `WINDOW_S` of picture.js is the same."""

STAGES_S = 60
"""The stages' table shows so much, and older ticks are told without them."""

COUNTS = ("copies", "skipped", "failed")
GAUGES = ("queue", "in_flight", "queue_max", "in_flight_max")

Tick = dict[str, Any]


class History:
    """The last `WINDOW_S` seconds, and the newest tick of every shard whatever its age."""

    def __init__(self) -> None:
        self._seconds: OrderedDict[tuple[int, str], Tick] = OrderedDict()
        self._newest: dict[str, Tick] = {}

    def add(self, at: datetime, payload: Tick) -> None:
        """Fold a tick in, the oldest first; what is older than the window falls out."""
        second, shard = int(at.timestamp()), str(payload.get("shard", ""))
        self._newest[shard] = {"at": at, "payload": payload, "sources": self._sources(shard, at, payload)}
        folded = self._seconds.get((second, shard))
        if folded is None:
            folded = self._seconds[second, shard] = {"at": at, "shard": shard, "signals": 0}
        fold(folded, payload)
        while self._seconds and next(iter(self._seconds))[0] <= second - WINDOW_S:
            self._seconds.popitem(last=False)

    def newest(self) -> tuple[Tick, ...]:
        """The newest tick of every shard, with its moment: they hold the totals.

        `sources` is what a shard last told of them, with the moment of that: not every tick tells it.
        """
        return tuple(self._newest.values())

    def _sources(self, shard: str, at: datetime, payload: Tick) -> Tick | None:
        if "sources" in payload:
            return {"at": at, "told": payload["sources"]}
        known = self._newest.get(shard)
        return known["sources"] if known else None

    def ticks(self) -> tuple[Tick, ...]:
        """One tick for each second and shard that reported, oldest first; the stages only of the newest minute."""
        last = next(reversed(self._seconds))[0] if self._seconds else 0
        return tuple(
            tick if second > last - STAGES_S else {name: told for name, told in tick.items() if name != "stages"}
            for (second, _shard), tick in self._seconds.items()
        )


def fold(folded: Tick, payload: Tick) -> None:
    """Add a tick to the second it belongs to: counts add up, spreads too, of a gauge the highest stays."""
    folded["signals"] += payload.get("signals", 0)
    for name in COUNTS:
        if payload.get(name):
            _add_counts(folded.setdefault(name, {}), payload[name])
    for name in GAUGES:
        if name in payload:
            folded[name] = max(folded.get(name, 0), payload[name])
    if payload.get("delay", {}).get("counts"):
        _add_spread(folded.setdefault("delay", {"counts": {}, "max": 0}), payload["delay"])
    for stage, spread in payload.get("stages", {}).items():
        _add_spread(folded.setdefault("stages", {}).setdefault(stage, {"counts": {}, "max": 0}), spread)


def _add_spread(total: Tick, spread: Tick) -> None:
    _add_counts(total["counts"], spread["counts"])
    total["max"] = max(total["max"], spread["max"])


def _add_counts(total: dict[str, int], counts: dict[str, int]) -> None:
    for name, count in counts.items():
        total[name] = total.get(name, 0) + count
