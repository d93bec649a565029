"""Counters of what this package asks and remembers, for Prometheus."""

from prometheus_client import Counter, Gauge

MARKETS_CACHED = Gauge("slipstream_markets_cached", "Markets whose description is in memory.")
MARKETS_EVICTED_TOTAL = Counter(
    "slipstream_markets_evicted_total", "Descriptions that left the memory, for room or for age.", ["why"]
)
MARKETS_ASKED_TOTAL = Counter(
    "slipstream_markets_asked_total", "Markets that the venue was asked for, by what came of it.", ["outcome"]
)
