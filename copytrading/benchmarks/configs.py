"""`benchmark configs`: reading everybody's configs into memory, how long it takes and how large the process grows."""

import asyncio
import json
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from copytrading.benchmarks.cast import require_scratch
from copytrading.config_index import ConfigIndex, IndexTerms
from copytrading.models import CopyConfig, Follower, Leader
from copytrading.operations.cast import VARIETY, wallet_named
from copytrading.queries import Shard
from ledger.clock import Clock
from ledger.db import ThreadedDatabase
from ledger.system import SystemClock

Write = Callable[[str], object]

PROGRAM = Path(__file__).parents[2] / "manage.py"
CHUNK = 5_000
TERMS = IndexTerms(refresh_ms=500, reconcile_s=300)
CHANGES = 100


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--followers", type=int, default=10_000, help="default 10,000")
    parser.add_argument("--follows", type=int, default=10, help="leaders that each follows (default 10)")
    parser.add_argument("--leaders", type=int, default=1_000, help="leaders there are to choose from (default 1,000)")
    parser.add_argument("--json", action="store_true", help="print one JSON line")
    parser.add_argument("--read-only", action="store_true", help="measure what the database holds; what a run starts")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Seed, then measure in a fresh process, whose memory holds nothing of the seeding. Raises NotScratch."""
    if options["read_only"]:
        write(json.dumps(asyncio.run(_measured(SystemClock())), separators=(",", ":")))
        return
    require_scratch()
    _seed(options["followers"], options["follows"], options["leaders"])
    command = [sys.executable, str(PROGRAM), "benchmark", "configs", "--read-only"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  (this program)
    if options["json"]:
        write(told.strip())
        return
    found = json.loads(told)
    write(
        f"{found['configs']} configs of {found['leaders']} leaders: read in {found['load_ms']} ms, a further "
        f"{found['grown_mb']} MB of memory ({found['rss_mb']} MB in all); read anew and compared in "
        f"{found['reconcile_ms']} ms; an increment of {CHANGES} changes {found['increment_ms']} ms, of none "
        f"{found['idle_ms']} ms. The event loop never waited longer than {found['stall_ms']} ms."
    )


def _seed(followers: int, follows: int, leaders: int) -> None:
    Leader.objects.bulk_create([Leader(wallet=wallet_named(f"leader {n}")) for n in range(leaders)], batch_size=CHUNK)
    rows = (Follower(wallet=wallet_named(f"follower {n}")) for n in range(followers))
    made = Follower.objects.bulk_create(rows, batch_size=CHUNK)
    ids = list(Leader.objects.values_list("pk", flat=True))
    configs = (
        CopyConfig(follower=row, leader_id=ids[(n * 7 + each) % leaders], **VARIETY[(n + each) % len(VARIETY)])
        for n, row in enumerate(made)
        for each in range(min(follows, leaders))
    )
    CopyConfig.objects.bulk_create(configs, batch_size=CHUNK)


async def _measured(clock: Clock) -> dict[str, int | float]:
    database = ThreadedDatabase(2)
    index = ConfigIndex(database, clock, shard=Shard(), terms=TERMS)
    turning = asyncio.create_task(_longest_stall_ms(clock, ended := asyncio.Event()))
    before_mb = _resident_mb()
    load_ms = await _took_ms(clock, index.run_once())
    grown_mb = _resident_mb() - before_mb
    # What was seeded a moment ago lies inside the overlap, and is read once more by the first increment.
    await index.run_once()
    idle_ms = await _took_ms(clock, index.run_once())
    await database.run(_change, CHANGES)
    increment_ms = await _took_ms(clock, index.run_once())
    fresh = ConfigIndex(database, clock, shard=Shard(), terms=IndexTerms(refresh_ms=500, reconcile_s=0))
    await fresh.run_once()
    reconcile_ms = await _took_ms(clock, fresh.run_once())
    ended.set()
    stall_ms = await turning
    database.close()
    return {
        "configs": len(index),
        "leaders": len(index.leader_ids),
        "load_ms": load_ms,
        "grown_mb": round(grown_mb),
        "rss_mb": round(before_mb + grown_mb),
        "reconcile_ms": reconcile_ms,
        "increment_ms": increment_ms,
        "idle_ms": idle_ms,
        "stall_ms": stall_ms,
    }


def _change(number: int) -> None:
    ids = list(CopyConfig.objects.order_by("pk").values_list("pk", flat=True)[:number])
    CopyConfig.objects.filter(pk__in=ids).update(percentage_bps=77)


async def _took_ms(clock: Clock, work: Any) -> float:
    began_ms = clock.monotonic_ms()
    await work
    return round(clock.monotonic_ms() - began_ms, 1)


async def _longest_stall_ms(clock: Clock, ended: asyncio.Event) -> float:
    """How long the loop kept a task waiting that wanted to run every millisecond."""
    longest_ms, before_ms = 0.0, clock.monotonic_ms()
    while not ended.is_set():
        await clock.sleep(0.001)
        now_ms = clock.monotonic_ms()
        longest_ms, before_ms = max(longest_ms, now_ms - before_ms), now_ms
    return round(longest_ms, 1)


def _resident_mb() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1_024
    return 0.0
