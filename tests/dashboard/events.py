"""Events as the engine writes them."""

from typing import Any

from copytrading.metrics import Spread
from copytrading.operations.events import publish

DELAYS = Spread([12.5] * 9 + [40.0])
"""Ten copies: nine took 12.5 ms, one took 40."""


def source(name: str, *, fresh_ms: int | None = 400, lag_ms: int = 2_000, **counts: int) -> dict[str, Any]:
    """What the engine tells of a source; its lag at the 95th percentile is twice the median."""
    return {
        "name": name,
        "counts": counts,
        "lag_p50_ms": lag_ms,
        "lag_p95_ms": 2 * lag_ms,
        "fresh_ms": fresh_ms,
    }


def tick(**fields: Any) -> int:
    """Publish a tick like the engine's; returns its sequence."""
    return publish("tick", payload(**fields))


def payload(**fields: Any) -> dict[str, Any]:
    """What the engine's tick says."""
    told = {
        "shard": "0/1",
        "interval_ms": 250,
        "signals": 3,
        "copies": {"EXECUTED": 10, "SKIPPED": 4},
        "skipped": {"BELOW_MINIMUM": 4},
        "failed": {},
        "delay": DELAYS.told(),
        "stages": {"prewrite": Spread([8.0]).told()},
        "queue": 2,
        "queue_max": 1_000,
        "in_flight": 12,
        "in_flight_max": 2_000,
        "queue_down": 0,
        "shedding_level": 0,
        "configs": 30,
        "paused": False,
        "totals": {
            "signals": 1_000,
            "copies": {"EXECUTED": 2_345, "SKIPPED": 400, "FAILED": 7},
            "skipped": {"BELOW_MINIMUM": 400},
            "failed": {"NO_FILL": 7},
        },
        "newest": [],
        "sources": [],
    }
    return told | fields
