"""Counters and stage times of the engine: for Prometheus, the log, the replay's report and the dashboard."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Gauge, Histogram

from copytrading.states import Status
from guardrails.intents import Reason
from ledger.clock import Clock

STAGES = ("preflight", "guardrails", "pricing", "prewrite", "execution", "persistence")
"""Gather facts; decide; quote and plan; write before the send; send to answer; write the outcome."""

SAMPLES_MAX = 5_000
"""Newest samples kept for percentiles of each stage."""

NEWEST_MAX = 20
"""Copies shown with each dashboard event."""

CLASS_RATIO = 1.1
"""Each class of a spread is so much wider than the one before: a percentile read from it is right to 5 %."""

CLASS_MS_MIN = 0.1
"""Whatever was shorter is counted as this: the clock's noise is not worth classes of its own."""

# Milliseconds: from one database statement to the longest wait anybody accepts.
_BUCKETS = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

STAGE_MS = Histogram("slipstream_stage_milliseconds", "Time in a stage.", ["stage"], buckets=_BUCKETS)
SIGNALS_TOTAL = PrometheusCounter("slipstream_signals_total", "Signals recorded.")
COPIES_TOTAL = PrometheusCounter("slipstream_copies_total", "Copies by the status they were written with.", ["status"])
REFUSALS_TOTAL = PrometheusCounter("slipstream_refusals_total", "Reasons of skipped and failed copies.", ["reason"])
IN_FLIGHT_ORDERS = Gauge("slipstream_in_flight_orders", "Orders sent and not yet recorded.")
INDEXED_CONFIGS = Gauge("slipstream_indexed_configs", "Active configs in memory.")
CONFIG_AGE_MS = Gauge("slipstream_config_age_milliseconds", "Age of the configs in memory.")
CONFIG_LOAD_MS = Histogram(
    "slipstream_config_load_milliseconds", "Reading configs into memory.", ["kind"], buckets=_BUCKETS
)
QUEUED_SIGNALS = Gauge("slipstream_queued_signals", "Signals recorded and not yet decided.")
QUEUE_REFUSED_TOTAL = PrometheusCounter(
    "slipstream_queue_refused_total", "Offers of signals that the queue refused, by why.", ["reason"]
)
QUEUE_DOWN = Gauge("slipstream_queue_down", "1 while signals are taken from the database: the queue does not answer.")
STREAM_DEGRADED = Gauge("slipstream_stream_degraded", "1 while polling goes faster: the activity stream is not well.")
SHEDDING_LEVEL = Gauge("slipstream_shedding_level", "0 normal, 1 less fan-out, 2 mempool off, 3 old buys put off.")
BREAKERS_OPEN = Gauge(
    "slipstream_breakers_open",
    "Circuit breakers that are not closed; the venue is empty but for those of venues.",
    ["kind", "scope", "venue"],
)
BREAKER_OPENINGS_TOTAL = PrometheusCounter(
    "slipstream_breaker_openings_total", "Openings of circuit breakers by what was counted.", ["kind", "scope", "venue"]
)


_CLASSES_PER_E = 1 / math.log(CLASS_RATIO)


class Spread:
    """How many durations fell in each class. Spreads of shards and seconds add up; percentiles do not."""

    __slots__ = ("counts", "longest_ms")

    def __init__(self, samples: Iterable[float] = ()) -> None:
        self.counts: Counter[int] = Counter()
        self.longest_ms = 0.0
        for milliseconds in samples:
            self.add(milliseconds)

    def add(self, milliseconds: float) -> None:
        """Count one duration."""
        self.counts[class_of(milliseconds)] += 1
        self.longest_ms = max(self.longest_ms, milliseconds)

    def told(self) -> dict[str, Any]:
        """For an event's JSON: the classes that are not empty, and the longest duration as it was."""
        counts = {str(number): count for number, count in sorted(self.counts.items())}
        return {"counts": counts, "max": round(self.longest_ms, 1)}


class StageTimes:
    """Milliseconds spent in each stage, by the injected clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._observe = {stage: STAGE_MS.labels(stage).observe for stage in STAGES}
        self._since: dict[str, Spread] = {stage: Spread() for stage in STAGES}
        self._samples: dict[str, deque[float]] = {stage: deque(maxlen=SAMPLES_MAX) for stage in STAGES}
        self._counts: Counter[str] = Counter()
        self._largest: dict[str, float] = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Time a block, also when it raises."""
        began = self._clock.monotonic_ms()
        try:
            yield
        finally:
            self.add(stage, self._clock.monotonic_ms() - began)

    def add(self, stage: str, milliseconds: float) -> None:
        """Count one sample."""
        self._samples[stage].append(milliseconds)
        self._counts[stage] += 1
        self._largest[stage] = max(self._largest[stage], milliseconds)
        self._since[stage].add(milliseconds)
        self._observe[stage](milliseconds)

    def take_spreads(self) -> dict[str, Spread]:
        """The spread of each stage that was entered since the last call."""
        taken, self._since = self._since, {stage: Spread() for stage in STAGES}
        return {stage: spread for stage, spread in taken.items() if spread.counts}

    def summary(self) -> dict[str, dict[str, float]]:
        """Count, p50, p99 and max of every stage; percentiles over the newest samples."""
        return {
            stage: {
                "count": self._counts[stage],
                "p50": percentile(self._samples[stage], 50),
                "p99": percentile(self._samples[stage], 99),
                "max": round(self._largest[stage], 3),
            }
            for stage in STAGES
        }


class Tallies:
    """What the engine has done since it started."""

    def __init__(self) -> None:
        self.signals = 0
        self.copies: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.delays_ms: deque[float] = deque(maxlen=SAMPLES_MAX)
        self.newest: deque[int] = deque(maxlen=NEWEST_MAX)
        # Series at 0 from the start: `increase()` does not count the first event of one that appears with it.
        for status in Status:
            COPIES_TOTAL.labels(status.value)
        for reason in Reason:
            REFUSALS_TOTAL.labels(reason.value)

    def count_signals(self, number: int) -> None:
        """Signals recorded."""
        self.signals += number
        SIGNALS_TOTAL.inc(number)

    def take_delays(self) -> Spread:
        """How long the copies took that were filled since the last call, from detection to the recorded fill."""
        taken = Spread(self.delays_ms)
        self.delays_ms.clear()
        return taken

    def remember_newest(self, trade_ids: Iterable[int]) -> None:
        """Ids of copies that were written or moved, for the dashboard's list."""
        self.newest.extend(trade_ids)

    def count_copy(self, status: str, reasons: Iterable[str] = ()) -> None:
        """A copy reached a status; its reasons count where it was skipped or failed."""
        self.copies[status] += 1
        COPIES_TOTAL.labels(status).inc()
        target = {"SKIPPED": self.skipped, "FAILED": self.failed}.get(status)
        if target is None:
            return
        for reason in reasons:
            target[reason] += 1
            REFUSALS_TOTAL.labels(reason).inc()


def class_of(milliseconds: float) -> int:
    """The class of a duration: class n ends at CLASS_RATIO to the power of n, and the one before it at the last."""
    return math.ceil(math.log(max(milliseconds, CLASS_MS_MIN)) * _CLASSES_PER_E)


def percentile(samples: Iterable[float], percent: int) -> float:
    """The nearest-rank percentile, rounded to a microsecond; 0 without samples."""
    ordered = sorted(samples)
    if not ordered:
        return 0.0
    return round(ordered[max(0, -(-len(ordered) * percent // 100) - 1)], 3)


def difference(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """What was added to counters since an earlier copy of them."""
    return {key: value - before.get(key, 0) for key, value in now.items() if value != before.get(key, 0)}
