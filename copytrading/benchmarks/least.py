"""What no order can be faster than on this machine: its two durable writes, bare, after a rest and without one.

The second figure beside the first tells how much of a latency is the machine's: what it needs to wake up, and to find
again in memory what others have driven out of its caches.
"""

import asyncio
from dataclasses import dataclass

from django.db import connection

from copytrading.benchmarks.timeline import Spread, spread
from copytrading.models import Leader
from ledger.clock import Clock
from ledger.db import Database, ThreadedDatabase
from ledger.system import SystemClock

ROUNDS = 60
WRITES = 2
"""The signal's rows and the copies' rows: neither can be left out, and the second waits for the first."""


@dataclass(frozen=True, slots=True)
class Least:
    """Milliseconds for both writes."""

    rested: Spread
    in_a_row: Spread


def least(*, rest_s: float, rounds: int = ROUNDS) -> Least:
    """Measure, with so much rest before each round. The database must hold a leader, who stays as he is."""
    return asyncio.run(_least(rest_s, rounds))


async def _least(rest_s: float, rounds: int) -> Least:
    database, clock = ThreadedDatabase(1), SystemClock()
    try:
        await _round(database, clock)  # connects
        rested = []
        for _ in range(rounds):
            await clock.sleep(rest_s)
            rested.append(await _round(database, clock))
        return Least(spread(rested), spread([await _round(database, clock) for _ in range(rounds)]))
    finally:
        database.close()


async def _round(database: Database, clock: Clock) -> float:
    began_ms = clock.monotonic_ms()
    for _ in range(WRITES):
        await database.run(_write)
    return clock.monotonic_ms() - began_ms


def _write() -> None:
    table = connection.ops.quote_name(Leader._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET id = id WHERE id = (SELECT min(id) FROM {table})")  # noqa: S608  (a model's)
