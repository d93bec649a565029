"""`manage.py verify CHECK`: one of `CHECKS`, PASS or FAIL by step, on the database given; nothing stays."""

import signal
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from copytrading.console import one_line, require_migrated
from copytrading.verification.checks import CHECKS, in_force, run_check, stale_orders
from copytrading.verification.database import NotPrivate
from copytrading.verification.steps import Result, report
from ledger.system import SystemIds

INTERRUPTED = 130
"""What a shell reports for Ctrl-C."""


class Command(BaseCommand):
    """Proves a promise of this installation; each check is one, and `--help` lists them."""

    help = "Verify, in a schema and key prefix of its own, what this installation promises. Leaves nothing behind."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("check", choices=list(CHECKS), help="the promise to prove; docs/operations.md says more")
        parser.add_argument("--json", action="store_true", help="print one JSON line and nothing else")
        parser.add_argument(
            "--read-only",
            action="store_true",
            help="with prewrite: only count the installation's own orders that are past their expiry without an answer",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run the check; the exit code is 0 when every step passed."""
        check: str = options["check"]
        if options["read_only"]:
            self._count_stale(check, as_json=options["json"])
            return
        if settings.ENABLE_REAL_TRADING:
            raise CommandError("verify does not run where ENABLE_REAL_TRADING is set: it makes up leaders and orders.")
        results = self._run(check, as_json=options["json"])
        told = report(check, results)
        if options["json"]:
            self.stdout.write(one_line(told))
        if not told["passed"]:
            failed = [result.step for result in results if not result.passed]
            raise CommandError(f"{len(failed)} of {len(results)} steps failed: {'; '.join(failed)}.")

    def _count_stale(self, check: str, *, as_json: bool) -> None:
        if check != "prewrite":
            raise CommandError("--read-only goes with `verify prewrite`.")
        require_migrated()
        try:
            stale = stale_orders()
        except DatabaseError as error:
            raise CommandError(f"The orders could not be counted: {error}") from None
        if as_json:
            self.stdout.write(one_line({"check": check, "passed": True, "stale": stale}))
        else:
            self.stdout.write(f"PASS  {stale} orders (PENDING or UNKNOWN) are past their expiry without an answer.")

    def _run(self, name: str, *, as_json: bool) -> Sequence[Result]:
        check, token = CHECKS[name], SystemIds().token()
        prefix = f"{settings.REDIS_PREFIX}:verify:{token}"
        try:
            with in_force({**check.settings, "REDIS_PREFIX": prefix}), _asked_to_stop() as asked:

                def tell(result: Result) -> None:
                    if not as_json:
                        self.stdout.write(str(result))
                        self.stdout.flush()
                    if asked:
                        raise KeyboardInterrupt

                return run_check(check, token, tell=tell)
        except KeyboardInterrupt:
            raise CommandError("Interrupted; what was made up is deleted.", returncode=INTERRUPTED) from None
        except (DatabaseError, NotPrivate) as error:
            raise CommandError(f"The check could not run: {error}") from None


@contextmanager
def _asked_to_stop() -> Iterator[list[int]]:
    """The Ctrl-Cs and SIGTERMs so far, to be looked at between steps, which take a second; a second one interrupts.

    An interrupt amid a statement leaves a connection on which nothing can be deleted any more.
    """
    asked: list[int] = []

    def ask(number: int, _frame: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, action in before.items():
            signal.signal(number, action)
