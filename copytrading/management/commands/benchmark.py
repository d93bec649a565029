"""`manage.py benchmark …`: what a copy costs, and how live hearing does, on an empty scratch database."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from copytrading.benchmarks import (
    configs,
    cost,
    fanout,
    first_seen,
    latency,
    messages,
    pages,
    replay,
    signing,
    soak,
    takeover,
)
from copytrading.benchmarks.cast import NotScratch
from copytrading.benchmarks.runs import Unfinished
from copytrading.benchmarks.soak import SoakFailed
from copytrading.console import require_migrated
from copytrading.shardlease import LeaseHeldByAnother
from copytrading.sources.files import UnreadableFile

SUBCOMMANDS = {
    "configs": configs,
    "cost": cost,
    "fanout": fanout,
    "first-seen": first_seen,
    "latency": latency,
    "messages": messages,
    "pages": pages,
    "replay": replay,
    "signing": signing,
    "soak": soak,
    "takeover": takeover,
}
WITHOUT_DATABASE = frozenset({"messages", "signing"})


class Command(BaseCommand):
    """Each subcommand is a module of `copytrading.benchmarks`."""

    help = (
        "Measure the engine with every budget and guardrail on. Writes thousands of rows that nothing removes: "
        "name an empty, migrated scratch database with DATABASE_URL; with REDIS_URL its queue is in Redis."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """One parser for each subcommand."""
        chosen = parser.add_subparsers(dest="subcommand", required=True)
        for name, module in SUBCOMMANDS.items():
            module.add_arguments(chosen.add_parser(name, help=(module.__doc__ or "").strip()))

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the subcommand. Figures are no verdict: the exit code is 0 whatever they are, but for `soak`, a test."""
        if options["subcommand"] not in WITHOUT_DATABASE:
            require_migrated()
        try:
            SUBCOMMANDS[options["subcommand"]].run(options, self.stdout.write)
        except (NotScratch, UnreadableFile, LeaseHeldByAnother, Unfinished, SoakFailed, OSError) as error:
            raise CommandError(str(error)) from None
