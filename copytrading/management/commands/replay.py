"""`manage.py replay FILE...`: recorded trades through the whole pipeline, on paper."""

from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from copytrading.console import one_line, require_migrated, run_engine
from copytrading.operations.cast import seed_configs, seed_followers, seed_leaders
from copytrading.shardlease import LeaseHeldByAnother
from copytrading.signals import LeaderAction
from copytrading.sources.files import UnreadableFile
from copytrading.sources.replay import Pace, ReplayFile, ReplaySource, load_files
from copytrading.wiring import build_supervisor
from copytrading.wiring_choices import Choices
from execution.books import BookError
from execution.quotes import RecordedBooks, read_snapshots
from ledger.system import SystemClock
from ledger.units import ONE

FOLLOWERS_MAX = 100_000


def recorded_books(path: Path, files: Sequence[ReplayFile]) -> RecordedBooks:
    """Recorded snapshots for the tokens that these files trade, by condition and outcome. Raises BookError."""
    readings = (reading for file in files for reading in file.readings)
    trades = (each for each in readings if isinstance(each, LeaderAction) and each.token_id is not None)
    tokens = {(each.condition_id, each.outcome.upper()): each.token_id for each in trades}
    named = {name: token for name, token in tokens.items() if token is not None}
    return RecordedBooks(SystemClock(), read_snapshots(path), tokens=named)


class Command(BaseCommand):
    """Follows every wallet of the files with N paper followers."""

    help = "Replay recorded trades (Data API arrays and envelopes, JSONL, activity-stream frames) on paper."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
        parser.add_argument("--followers", type=int, default=10, help="paper followers of every wallet (default 10)")
        parser.add_argument("--speed", choices=("max", "1"), default="max", help="max, or 1 for original times")
        parser.add_argument(
            "--books", type=Path, metavar="FILE", help="fill against recorded snapshots, not books around the leader"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON line at the end and nothing else")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Read everything first, then run: an unreadable file changes nothing."""
        if not 1 <= options["followers"] <= FOLLOWERS_MAX:
            raise CommandError(f"--followers must lie between 1 and {FOLLOWERS_MAX}.")
        try:
            files = load_files(options["files"])
            books = recorded_books(options["books"], files) if options["books"] else None
        except (UnreadableFile, BookError, OSError) as error:
            raise CommandError(str(error)) from None
        require_migrated()
        engine, supervisor = build_supervisor(Choices(live=False, remember=True, venue_latency=False, quotes=books))
        with Progress(console=Console(stderr=True), disable=options["json"] or not self.stderr.isatty()) as bar:
            task = bar.add_task("Replaying rows", total=None)
            source = ReplaySource(
                files,
                engine.intake,
                pace=Pace(clock=engine.clock) if options["speed"] == "1" else None,
                on_progress=lambda done, total: bar.update(task, completed=done, total=total),
            )
            self._seed(source.wallets(), options["followers"])
            try:
                drained, report = run_engine(engine, supervisor, lambda: source)
            except LeaseHeldByAnother as error:
                raise CommandError(f"{error}; stop it first, a replay runs its own.") from None
        self.stdout.write(one_line(report))
        if not drained or not source.finished:
            raise CommandError("The replay was stopped before everything was decided; run it again to go on.")

    def _seed(self, wallets: tuple[str, ...], followers: int) -> None:
        leaders = seed_leaders(dict.fromkeys(wallets, ""), holdings_complete=False)
        names = [f"Replay follower {number}" for number in range(1, followers + 1)]
        cash = settings.PAPER_START_USD * ONE
        seed_configs(leaders, seed_followers(names, label="replay", cash_micros=cash))
