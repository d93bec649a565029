"""What was stamped of each signal, from the frame to the order's bytes, as stages that add up. Pure.

Stamps are milliseconds of one monotonic clock. Stages lie between consecutive marks, so that nothing is left out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PERCENTS = (50, 90, 99)

STAGES = (
    ("hear", "frame read and screened; the coalescing window and what is written together with it"),
    ("record", "the signal's rows, durable"),
    ("queue", "the wake-up through the queue"),
    ("gather", "the signal begun; switches, markets, holdings, accounts"),
    ("decide", "size, filters, rules, book, price, order hash"),
    ("prewrite", "the copies' rows with their orders, budgets and reservations, durable"),
    ("sign", "gate and signature, and in a fan-out the orders before"),
    ("write", "headers, a connection, the body's bytes"),
)
"""Of the last order's way; `write` ends where the last byte went to the socket."""


class Unpaired(Exception):
    """A signal's stamps are not complete; the message is a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """One moment: what happened, and for the orders' stamps whose (the order's salt)."""

    what: str
    at_ms: float
    salt: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Travelled:
    """One signal's way: the stages of its last order in milliseconds, and when the last answer came after its bytes."""

    stages_ms: Mapping[str, float]
    first_ms: float
    total_ms: float
    answered_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Percentiles by nearest rank, in milliseconds."""

    p50: float
    p90: float
    p99: float


def travelled(frame_ms: float, stamps: Sequence[Stamp], *, salts: frozenset[int], until_ms: float) -> Travelled:
    """The way of the signal whose frame came then and whose orders have these salts. Raises Unpaired.

    Stamps of others before the frame or behind `until_ms` are passed over: signals come one at a time.
    """
    inside = [each for each in stamps if frame_ms <= each.at_ms <= until_ms]
    asked, written, answered = (
        {each.salt: each.at_ms for each in inside if each.what == what and each.salt in salts}
        for what in ("asked", "written", "answered")
    )
    if not salts or not salts == asked.keys() == written.keys() == answered.keys():
        raise Unpaired(f"Of {len(salts)} orders {len(written)} were seen to be written and {len(answered)} answered.")
    last = max(written, key=written.__getitem__)
    before = [each for each in inside if each.at_ms <= asked[last]]
    recorded = _moments(before, "db.record_signals>")[0]
    begun = next(at_ms for at_ms in _moments(before, "begin>") if at_ms >= recorded)
    marks = [
        frame_ms,
        recorded,
        # The second frame of a trade may be written down after its signal is begun.
        next(at_ms for at_ms in reversed(_moments(before, "db.record_signals<")) if at_ms <= begun),
        begun,
        _moments(before, "decide>")[0],
        _moments(before, "plan<")[-1],
        _moments(before, "db.prewrite<")[-1],
        asked[last],
        written[last],
    ]
    stages = {name: marks[place + 1] - marks[place] for place, (name, _means) in enumerate(STAGES)}
    return Travelled(
        stages_ms=stages,
        first_ms=min(written.values()) - frame_ms,
        total_ms=written[last] - frame_ms,
        answered_ms=max(answered.values()) - written[last],
    )


def spread(values: Sequence[float]) -> Spread:
    """The percentiles of at least one value."""
    ordered = sorted(values)
    p50, p90, p99 = (round(ordered[-(-len(ordered) * percent // 100) - 1], 2) for percent in PERCENTS)
    return Spread(p50=p50, p90=p90, p99=p99)


def stage_spreads(found: Sequence[Travelled]) -> dict[str, Spread]:
    """The percentiles of each stage."""
    return {name: spread([each.stages_ms[name] for each in found]) for name, _means in STAGES}


def _moments(stamps: Sequence[Stamp], what: str) -> list[float]:
    """When this happened, in order. Raises Unpaired when it did not."""
    found = sorted(each.at_ms for each in stamps if each.what == what)
    if not found:
        raise Unpaired(f"Nothing was stamped of {what[:-1]}.")
    return found
