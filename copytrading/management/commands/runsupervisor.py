"""`manage.py runsupervisor --shard i/n`: one shard's engine, until SIGTERM."""

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from copytrading.console import one_line, require_migrated, run_engine
from copytrading.operations.leases import LeaseLost
from copytrading.queries import open_on_the_venue
from copytrading.readiness import Examination
from copytrading.selftest import SelfTestDoors, SelfTestFailed, run_selftest
from copytrading.shardlease import LeaseHeldByAnother
from copytrading.sources.files import UnreadableFile
from copytrading.sources.replay import Pace, ReplaySource, load_files
from copytrading.sources.silent import SilentSource
from copytrading.supervisor import Engine, Source, Supervisor
from copytrading.vitals import PortTaken, Vitals, VitalsServer
from copytrading.wiring import build_stores, build_supervisor
from copytrading.wiring_choices import Choices, refuse_unsafe_shards
from copytrading.wiring_live import build_live_supervisor

SHARDS_MAX = 256
SOURCES = ("live", "none", "replay")

EXPECTED = (ImproperlyConfigured, LeaseHeldByAnother, PortTaken, SelfTestFailed, UnreadableFile, ValueError)
"""What ends the command with its own sentence."""

log = structlog.get_logger(__name__)


def shard(text: str) -> tuple[int, int]:
    """Parse 'i/n'. Raises ArgumentTypeError with a sentence."""
    index, _slash, of = text.partition("/")
    if not (index.isascii() and of.isascii() and index.isdigit() and of.isdigit()):
        raise ArgumentTypeError(f"{text!r} is not of the form i/n, such as 0/1")
    if not (0 < int(of) <= SHARDS_MAX and int(index) < int(of)):
        raise ArgumentTypeError(f"{text!r}: i must lie below n, and n between 1 and {SHARDS_MAX}")
    return int(index), int(of)


class Command(BaseCommand):
    """Runs the engine on what the database holds; to try it, on recorded files."""

    help = "Run the engine of one shard until SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        default = f"{settings.SUPERVISOR_SHARD_INDEX}/{settings.SUPERVISOR_SHARD_COUNT}"
        parser.add_argument("--shard", type=shard, default=default, metavar="i/n", help=f"default {default}")
        parser.add_argument("--dry-run", action="store_true", help="plan and sign, send nothing")
        parser.add_argument(
            "--source",
            choices=SOURCES,
            default="live",
            help="of new signals. live (default): the venue, by the sources that the settings choose; none: hear "
            "nobody, work off what the database holds; replay: the files of --file at their original times",
        )
        parser.add_argument("--file", type=Path, action="append", default=[], help="with --source replay; repeatable")
        parser.add_argument("--seed", type=int, default=1, help="of what the paper venue does wrong (default 1)")
        parser.add_argument("--seconds", type=float, default=None, help="stop after so long")
        parser.add_argument("--json", action="store_true", help="print the report of the run as one JSON line")
        parser.add_argument(
            "--metrics-port", type=int, metavar="PORT", help="serve /metrics, /healthz and /readyz on 127.0.0.1"
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run; the exit code is 0 after a stop within the drain's bound, and non-zero otherwise."""
        _index, of = options["shard"]
        try:
            refuse_unsafe_shards(of)
            require_migrated()
            if settings.SUPERVISOR_SELFTEST or settings.SUPERVISOR_SELFTEST_EXIT:
                self._test()
            if settings.SUPERVISOR_SELFTEST_EXIT:
                return
            drained, report, engine = self._run(options)
            while engine.lease.outdated:
                # Handed over to a newer number of shards: this process waits behind it, and is not restarted into it.
                drained, report, engine = self._run(options, since=engine.lease.since)
        except EXPECTED as error:
            raise CommandError(str(error)) from None
        except LeaseLost as error:
            raise CommandError(f"Another supervisor took the shard over; stopped. {error}") from None
        except BaseExceptionGroup as group:
            lost = group.subgroup(LeaseLost)
            if lost is None:
                raise
            raise CommandError(f"Another supervisor took the shard over; stopped. {lost.exceptions[0]}") from None
        if options["json"]:
            self.stdout.write(one_line(report))
        if not drained:
            log.warning("Stopped at the drain's bound; open signals and orders go on at the next start.", action="stop")

    def _test(self) -> None:
        took_ms = run_selftest(SelfTestDoors(seconds_max=settings.SUPERVISOR_SELFTEST_MAX_S))
        log.info("The self-test passed; nothing of it was written.", action="selftest", milliseconds=took_ms)

    def _run(self, options: dict[str, Any], *, since: datetime | None = None) -> tuple[bool, dict[str, Any], Engine]:
        index, of = options["shard"]
        _tell_of_open_orders()
        choices = Choices(
            shard=index,
            of=of,
            live=options["source"] != "replay",
            dry_run=options["dry_run"],
            remember=options["json"],
            seed=options["seed"],
            stands_by=True,
            since=since,
        )
        if options["source"] == "live":
            engine, supervisor, hearing = build_live_supervisor(choices)
            with self._watched(_port(options), engine, supervisor):
                return *run_engine(engine, supervisor, lambda: hearing, stop_after_s=options["seconds"]), engine
        engine, supervisor = build_supervisor(choices)
        with self._watched(_port(options), engine, supervisor):
            source = self._source(options, engine)
            return *run_engine(engine, supervisor, lambda: source, stop_after_s=options["seconds"]), engine

    def _source(self, options: dict[str, Any], engine: Engine) -> Source:
        if options["source"] == "replay":
            return self._replayed(options["file"], engine)
        return SilentSource()

    @contextmanager
    def _watched(self, port: int, engine: Engine, supervisor: Supervisor) -> Iterator[None]:
        if not port:
            yield
            return
        shard = engine.lease.shard
        stores = (lambda: build_stores(engine.clock, shard=shard.index, of=shard.of)) if settings.REDIS_URL else None
        examination = Examination(engine.database, engine.clock, stores=stores)
        supervisor.vitals = Vitals(
            engine.clock,
            examination,
            holds_shard=engine.lease.trusted,
            stands_by=lambda: engine.lease.waiting,
        )
        with VitalsServer(supervisor.vitals, port):
            yield

    def _replayed(self, files: list[Path], engine: Engine) -> Source:
        if not files:
            raise CommandError("--source replay needs at least one --file.")
        return ReplaySource(load_files(files), engine.intake, pace=Pace(clock=engine.clock))


def _tell_of_open_orders() -> None:
    """Orders that nobody asks about hold money: whoever switched real trading off should know."""
    if not settings.ENABLE_REAL_TRADING and (left := open_on_the_venue()):
        log.error(
            "Orders on the venue are open, and nobody asks about them while ENABLE_REAL_TRADING is off.",
            action="start",
            orders=left,
        )


def _port(options: dict[str, Any]) -> int:
    """Of the signs of life; 0 is none. Several shards of one machine share the setting, so each adds its index."""
    asked: int | None = options["metrics_port"]
    if asked is not None:
        return asked
    first: int = settings.SUPERVISOR_METRICS_PORT
    return first + int(options["shard"][0]) if first else 0
