"""What each source delivered: for the metrics, the dashboard and the judgement which source is well."""

from collections import Counter, deque
from dataclasses import dataclass

from prometheus_client import Counter as PrometheusCounter
from prometheus_client import Histogram

from copytrading.metrics import percentile

LAGS_MAX = 2_000
"""Newest lags kept for percentiles: minutes of a busy feed."""

KINDS = (
    *("received", "foreign", "undecodable", "duplicate", "history", "late", "accepted", "missed", "gaps"),
    *("first", "increases", "overcounts"),
)
"""What is counted, in the order in which a row meets it.

received: rows or frames read; foreign: of wallets nobody follows; undecodable: not to be trusted; duplicate: shown by
this source before; history: from before the wallet was followed; late: older than copies may be; accepted: given to
the intake; missed: known to exist and not read any more; gaps: times in which a feed without a memory was not heard,
so that whatever came then is unknown to it; first: actions that this source showed before every other;
increases: parts that it added to an action already known; overcounts: acted on more than the chain has.
"""

_LAG_MS = (100, 250, 500, 1_000, 1_500, 2_000, 2_500, 3_000, 4_000, 5_000, 7_500, 10_000, 30_000, 60_000, 600_000)

ROWS_TOTAL = PrometheusCounter("slipstream_source_rows_total", "What a source delivered.", ["source", "kind"])
LAG_MS = Histogram(
    "slipstream_source_lag_milliseconds", "From the block's time to hearing.", ["source"], buckets=_LAG_MS
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTold:
    """One source's totals since the start, its lag percentiles in milliseconds, and the age of its newest fresh row."""

    name: str
    counts: dict[str, int]
    lag_p50_ms: float
    lag_p95_ms: float
    fresh_ms: float | None


class SourceStats:
    """The counters of one source."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.counts: Counter[str] = Counter()
        self._lags_ms: deque[float] = deque(maxlen=LAGS_MAX)
        self._fresh_at_ms: float | None = None
        self._mirrors = {kind: ROWS_TOTAL.labels(name, kind) for kind in KINDS}
        self._observe = LAG_MS.labels(name).observe

    def received(self, number: int = 1) -> None:
        """Rows or frames read."""
        self.count("received", number)

    def foreign(self, number: int = 1) -> None:
        """Of wallets that nobody follows."""
        self.count("foreign", number)

    def duplicate(self, number: int = 1) -> None:
        """Shown by this source before."""
        self.count("duplicate", number)

    def undecodable(self, number: int = 1) -> None:
        """Not to be trusted."""
        self.count("undecodable", number)

    def missed(self, number: int = 1) -> None:
        """Known to exist, and not read any more."""
        self.count("missed", number)

    def gap(self) -> None:
        """The feed was lost; nobody can say how much came until it was heard again."""
        self.count("gaps")

    def count(self, kind: str, number: int = 1) -> None:
        """Count one of KINDS."""
        self.counts[kind] += number
        self._mirrors[kind].inc(number)

    def lag(self, milliseconds: float) -> None:
        """How long after the block's time a row was heard; the venue's clock may be ahead by the block time."""
        self._lags_ms.append(max(0.0, milliseconds))
        self._observe(max(0.0, milliseconds))

    def alive(self, now_ms: float) -> None:
        """Fresh data arrived at this moment of the monotonic clock."""
        self._fresh_at_ms = now_ms

    def fresh_ms(self, now_ms: float) -> float | None:
        """How old the newest sign of fresh data is; None before the first."""
        return None if self._fresh_at_ms is None else now_ms - self._fresh_at_ms

    def lag_percentile(self, percent: int) -> float:
        """Over the newest lags; 0 without any."""
        return percentile(self._lags_ms, percent)

    def told(self, now_ms: float) -> SourceTold:
        """A copy for the metrics and the dashboard."""
        return SourceTold(
            name=self.name,
            counts=dict(self.counts),
            lag_p50_ms=self.lag_percentile(50),
            lag_p95_ms=self.lag_percentile(95),
            fresh_ms=self.fresh_ms(now_ms),
        )
