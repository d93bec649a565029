"""`manage.py deadletters list|replay|purge`: the signals that were put aside after too many tries."""

from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from copytrading.console import one_line, require_migrated
from copytrading.dead_letters import DeadLetter, count_dead_letters, dead_letters
from copytrading.operations.bulk import retry_signals
from copytrading.operations.dead_letters import purge_dead_letters
from ledger.audit import plain
from ledger.bulk import Done
from ledger.texts import price_text, share_text

CHUNK = 500
"""Signals in one transaction."""

LISTED = 100
WHO = "the command line"


class Command(BaseCommand):
    """Lists them, opens them again, or gives them up; every change is in the audit log."""

    help = "List the signals that were put aside after too many tries, replay them, or give them up."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="list|replay|purge")
        listing = verbs.add_parser("list", help="show them, oldest first")
        listing.add_argument("--limit", type=int, default=LISTED, metavar="N", help=f"show so many (default {LISTED})")
        listing.add_argument("--json", action="store_true", help="print one JSON line and nothing else")
        for verb, what in (
            ("replay", "open them again: they are decided by the rules of now, their age included"),
            ("purge", "give them up; the rows and an audit entry for each stay"),
        ):
            changing = verbs.add_parser(verb, help=what)
            changing.add_argument("signals", nargs="*", type=int, metavar="SIGNAL", help="as `list` shows them")
            changing.add_argument("--all", action="store_true", help="every dead letter there is")
            changing.add_argument("--dry-run", action="store_true", help="only say what would be done")
            changing.add_argument("--who", default=WHO, help=f"for the audit log (default: {WHO})")
            changing.add_argument("--why", default="", help="for the audit log")
            changing.add_argument("--json", action="store_true", help="print one JSON line and nothing else")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Do it; the exit code is 1 when a signal was named that is no dead letter."""
        require_migrated()
        if options["verb"] == "list":
            self._list(limit=options["limit"], as_json=options["json"])
            return
        if bool(options["signals"]) == options["all"]:
            raise CommandError("Name signals, or give --all; `manage.py deadletters list` shows them.")
        self._change(options, retry_signals if options["verb"] == "replay" else purge_dead_letters)

    def _list(self, *, limit: int, as_json: bool) -> None:
        found, total = dead_letters(limit=max(0, limit)), count_dead_letters()
        if as_json:
            rows = [{name: plain(value) for name, value in asdict(each).items()} for each in found]
            self.stdout.write(one_line({"dead_letters": total, "shown": rows}))
            return
        for each in found:
            self.stdout.write(_line(each))
        self.stdout.write(f"{total} dead letters; {len(found)} shown." if total else "There are no dead letters.")

    def _change(self, options: dict[str, Any], work: Callable[..., Done]) -> None:
        wanted = None if options["all"] else sorted(set(options["signals"]))
        dead = [each.signal_id for each in dead_letters(signal_ids=wanted)]
        left = [] if wanted is None else [f"Signal {each} is no dead letter." for each in wanted if each not in dead]
        changed = 0
        for some in () if options["dry_run"] else _chunks(dead):
            done = work(some, who=options["who"], why=options["why"])
            changed += done.changed
            left += done.refused
        self._tell(options, found=len(dead), changed=changed, left=left)
        if left:
            raise CommandError(f"{len(left)} of the signals named are no dead letters; nothing was done with them.")

    def _tell(self, options: dict[str, Any], *, found: int, changed: int, left: Sequence[str]) -> None:
        verb, dry = options["verb"], options["dry_run"]
        if options["json"]:
            report = {"verb": verb, "dry_run": dry, "found": found, "changed": changed, "refused": list(left)}
            self.stdout.write(one_line(report))
            return
        for each in left:
            self.stderr.write(each)
        self.stdout.write(_sentence(verb, found if dry else changed, dry=dry))


def _sentence(verb: str, number: int, *, dry: bool) -> str:
    signals = "1 signal" if number == 1 else f"{number} signals"
    if verb == "replay":
        done = f"{signals} would be opened again" if dry else f"{signals} opened again"
        return f"{done}: engines offer each once within a second, and decide by the rules of now, its age included."
    done = f"{signals} would be given up" if dry else f"{signals} given up"
    return f"{done}: the rows stay, and an audit entry for each."


def _line(letter: DeadLetter) -> str:
    trade = f"{letter.side} {share_text(letter.size_micros)} @ {price_text(letter.price_micros)}"
    when = f"detected {letter.detected_at:%Y-%m-%d %H:%M:%S}, given up {letter.dead_since:%Y-%m-%d %H:%M:%S}"
    tries = f"after {letter.attempts} tries, {letter.copies} copies decided"
    return f"{letter.signal_id}  {letter.leader}  {trade}  {when} UTC, {tries}"


def _chunks(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), CHUNK):
        yield ids[start : start + CHUNK]
