"""One run of the live engine with its doors stamped, until SIGTERM."""

from functools import partial
from typing import Any

from copytrading.benchmarks.timed_doors import StampedHttp, StampedSockets, StampedSteps, Stamps
from copytrading.console import run_engine
from copytrading.wiring_choices import Choices
from copytrading.wiring_exchange import order_pool
from copytrading.wiring_live import build_live_supervisor
from ledger.system import SystemClock


def run() -> dict[str, Any]:
    """Run; what was stamped, as JSON has it."""
    stamps = Stamps(SystemClock())
    engine, supervisor, hearing = build_live_supervisor(
        Choices(costs=StampedSteps(stamps)),
        sockets=StampedSockets(stamps),
        orders=order_pool(partial(StampedHttp, stamps)),
    )
    run_engine(engine, supervisor, lambda: hearing)
    return {
        "stamps": [[each.what, each.at_ms, each.salt] for each in stamps.found],
        "frames": [[at_ms, frame.decode(errors="replace")] for at_ms, frame in stamps.frames],
    }
