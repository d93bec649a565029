"""`manage.py loadmarkets FILE...`: what the venue says about its markets, from answers of its Gamma interface."""

import json
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from copytrading.console import require_migrated
from copytrading.sources.files import UnreadableFile
from copytrading.sources.market_files import Undescribed, read_markets
from execution.gamma import MarketDescription
from execution.operations import Loaded, load_markets
from ledger.sql import database_now

BATCH = 500
"""Markets in one transaction: their rows are locked until its end, and prewrites wait for them."""

NAMED_MAX = 20
"""How many bad objects are named; the rest is counted."""


class Command(BaseCommand):
    """Reads everything first, then writes: an unreadable file changes nothing."""

    help = "Load what the venue says about markets: Gamma objects as arrays, envelopes, events or JSONL, gzip or not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("files", nargs="+", metavar="FILE", type=Path)
        parser.add_argument("--json", action="store_true", help="print one JSON line and nothing else")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Load the good ones and name the bad ones; exit 1 when a file is no JSON, or no object of all is good."""
        try:
            read = [each for path in options["files"] for each in read_markets(path)]
        except UnreadableFile as error:
            raise CommandError(str(error)) from None
        require_migrated()
        good = [each for each in read if isinstance(each, MarketDescription)]
        bad = [each for each in read if isinstance(each, Undescribed)]
        loaded = _load(good)
        self._tell_json(loaded, bad) if options["json"] else self._tell(loaded, bad)
        if not good:
            raise CommandError("No market could be read.")

    def _tell(self, loaded: Loaded, bad: Sequence[Undescribed]) -> None:
        counts = f"{loaded.new} new, {loaded.changed} changed, {loaded.same} as before"
        self.stdout.write(f"{counts}; {len(bad)} unreadable.")
        for each in bad[:NAMED_MAX]:
            self.stderr.write(f"{each.place}: {each.sentence}")
        if len(bad) > NAMED_MAX:
            self.stderr.write(f"... and {len(bad) - NAMED_MAX} more.")

    def _tell_json(self, loaded: Loaded, bad: Sequence[Undescribed]) -> None:
        named = [{"place": each.place, "why": each.sentence} for each in bad[:NAMED_MAX]]
        counts = {"new": loaded.new, "changed": loaded.changed, "same": loaded.same}
        self.stdout.write(json.dumps({**counts, "bad": len(bad), "named": named}, separators=(",", ":")))


def _load(descriptions: Sequence[MarketDescription]) -> Loaded:
    batches = (descriptions[start : start + BATCH] for start in range(0, len(descriptions), BATCH))
    told = [load_markets(batch, database_now()) for batch in batches]
    return Loaded(
        new=sum(each.new for each in told),
        changed=sum(each.changed for each in told),
        same=sum(each.same for each in told),
    )
