"""What the commands share: arguments, running an engine under signals, and telling of it in JSON or sentences."""

import asyncio
import json
import re
import signal
from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import Any

from django.core.management.base import CommandError

from copytrading.readiness import OK, database_states
from copytrading.report import run_report
from copytrading.supervisor import Engine, Source, Supervisor
from ledger.system import tuned_interpreter

WALLET = re.compile(r"0x[0-9a-fA-F]{40}")


def run_engine(
    engine: Engine, supervisor: Supervisor, make_source: Callable[[], Source], *, stop_after_s: float | None = None
) -> tuple[bool, dict[str, Any]]:
    """Run until the source ends, SIGTERM or SIGINT comes, or the time is over; then the run's report.

    The boolean says whether everything was drained.
    """
    with tuned_interpreter():
        return asyncio.run(_run(engine, supervisor, make_source, stop_after_s))


def require_migrated() -> None:
    """Raises CommandError with one sentence unless the database answers and has every migration of this program."""
    states = database_states()
    if states["database"] != OK:
        raise CommandError(f"The database {states['database']}; see DATABASE_URL.")
    if states["migrations"] != OK:
        raise CommandError("The database is not migrated: run `manage.py migrate`.")


def wallet(text: str) -> str:
    """An argument that is an address, in lower case.

    Raises ArgumentTypeError with a sentence that repeats nothing of it: it might be a key.
    """
    if not WALLET.fullmatch(text):
        raise ArgumentTypeError("a wallet is 0x and 40 hexadecimal digits")
    return text.lower()


def one_line(report: dict[str, Any]) -> str:
    """The report as the commands print it."""
    return json.dumps(report, separators=(",", ":"))


async def _run(
    engine: Engine, supervisor: Supervisor, make_source: Callable[[], Source], stop_after_s: float | None
) -> tuple[bool, dict[str, Any]]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if stop_after_s is not None:
        loop.call_later(stop_after_s, stop.set)
    began_ms = engine.clock.monotonic_ms()
    try:
        drained = await supervisor.run(make_source(), stop)
        elapsed_ms = engine.clock.monotonic_ms() - began_ms
        report = await engine.database.run(run_report, engine.intake.counts, engine.stages, elapsed_ms=elapsed_ms)
    finally:
        await engine.stores.close()
        engine.database.close()
    return drained, report
