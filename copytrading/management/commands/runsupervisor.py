"""`manage.py runsupervisor --shard i/n`: one shard's engine, until SIGTERM."""

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

import structlog
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from prometheus_client import start_http_server

from copytrading.console import one_line, run_engine
from copytrading.operations.cast import seed_leaders
from copytrading.operations.leases import LeaseLost
from copytrading.shardlease import LeaseHeldByAnother
from copytrading.sources.files import UnreadableFile
from copytrading.sources.generated_quotes import GeneratedQuotes
from copytrading.sources.generator import GeneratorSource, MarketGenerator
from copytrading.sources.replay import Pace, ReplaySource, load_files
from copytrading.supervisor import Engine, Source
from copytrading.wiring import Choices, build_supervisor
from ledger.system import SeededRandomness, SystemClock

SHARDS_MAX = 256

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
    """Runs the engine on the seeded generator, or on recorded files at their original times."""

    help = "Run the engine of one shard until SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("--shard", type=shard, required=True, metavar="i/n")
        parser.add_argument("--dry-run", action="store_true", help="plan and sign, send nothing")
        parser.add_argument("--source", choices=("generator", "replay"), default="generator")
        parser.add_argument("--file", type=Path, action="append", default=[], help="with --source replay; repeatable")
        parser.add_argument("--seed", type=int, default=1, help="of the generator and the paper venue (default 1)")
        parser.add_argument("--rate", type=float, default=1.0, help="1 is about 3 signals a second over all leaders")
        parser.add_argument("--seconds", type=float, default=None, help="stop after so long")
        parser.add_argument("--json", action="store_true", help="print the report of the run as one JSON line")
        parser.add_argument("--metrics-port", type=int, default=0, help="serve Prometheus metrics on 127.0.0.1")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run; the exit code is 0 after a stop within the drain's bound, and non-zero otherwise."""
        if options["metrics_port"]:
            start_http_server(options["metrics_port"], addr="127.0.0.1")
        try:
            drained, report = self._run(options)
        except (ImproperlyConfigured, LeaseHeldByAnother, UnreadableFile, ValueError) as error:
            raise CommandError(str(error)) from None
        except BaseExceptionGroup as group:
            lost = group.subgroup(LeaseLost)
            if lost is None:
                raise
            raise CommandError(f"Another supervisor took the shard over; stopped. {lost.exceptions[0]}") from None
        if options["json"]:
            self.stdout.write(one_line(report))
        if not drained:
            log.warning("Stopped at the drain's bound; open signals and orders go on at the next start.", action="stop")

    def _run(self, options: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
        index, of = options["shard"]
        generator = MarketGenerator(options["seed"], SeededRandomness(options["seed"]), rate=options["rate"])
        generated = options["source"] == "generator"
        engine, supervisor = build_supervisor(
            Choices(
                shard=index,
                of=of,
                live=generated,
                dry_run=options["dry_run"],
                remember=options["json"],
                seed=options["seed"],
                quotes=GeneratedQuotes(generator, SystemClock()) if generated else None,
            )
        )
        source = self._generated(generator, engine) if generated else self._replayed(options["file"], engine)
        return run_engine(engine, supervisor, lambda: source, stop_after_s=options["seconds"])

    def _generated(self, generator: MarketGenerator, engine: Engine) -> Source:
        # The generator's leaders begin with nothing, so that all they hold is known from their first trade.
        seed_leaders({each.wallet: each.name for each in generator.leaders()}, holdings_complete=True)
        return GeneratorSource(generator, engine.intake, clock=engine.clock)

    def _replayed(self, files: list[Path], engine: Engine) -> Source:
        if not files:
            raise CommandError("--source replay needs at least one --file.")
        return ReplaySource(load_files(files), engine.intake, pace=Pace(clock=engine.clock))
