"""Events as the engine writes them."""

from typing import Any

from copytrading.operations.events import publish


def tick(**fields: Any) -> int:
    """Publish a tick like the engine's; returns its sequence."""
    payload = {
        "shard": "0/1",
        "interval_ms": 250,
        "signals": 3,
        "copies": {"EXECUTED": 10, "SKIPPED": 4},
        "skipped": {"BELOW_MINIMUM": 4},
        "failed": {},
        "latency_ms": {"p50": 12.5, "p99": 40.1, "max": 55.0},
        "queue": 2,
        "in_flight": 12,
        "paused": False,
        "totals": {
            "signals": 1_000,
            "copies": {"EXECUTED": 2_345, "SKIPPED": 400, "FAILED": 7},
            "skipped": {"BELOW_MINIMUM": 400},
            "failed": {"NO_FILL": 7},
        },
        "newest": [],
    }
    return publish("tick", payload | fields)


def story(number: int, **fields: Any) -> dict[str, Any]:
    """One copy as a tick tells it."""
    told = {
        "id": number,
        "at": "2026-11-21T12:00:00.000Z",
        "follower": "Fay",
        "leader": "Lena",
        "side": "BUY",
        "market": "Will it rain?",
        "outcome": "Yes",
        "size": "196.07",
        "limit": "0.51",
        "status": "EXECUTED",
        "fill_size": "196.07",
        "fill_price": "0.5",
        "fee": "0",
        "reasons": [],
        "delay_ms": 12,
    }
    return told | fields
