"""`manage.py approveaccount --wallet 0x…`: lets the exchanges settle the trades of a wallet that is its own key."""

import asyncio
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from copytrading.accounts.approving import NotApproved
from copytrading.console import require_migrated, wallet
from copytrading.operations.accounts import AccountRefused
from copytrading.wiring_approvals import Person, approve_account

WHO = "manage.py approveaccount"


class Command(BaseCommand):
    """Reads what is approved from the chain, and sends what is missing, one transaction after another."""

    help = (
        "Send the approvals that an EOA account lacks to trade: pUSD (approve) and shares (setApprovalForAll), for the "
        "venue's exchanges alone. The wallet pays the fees in POL. An interrupted run is run again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("--wallet", type=wallet, required=True, help="whose money and shares are approved")
        chosen = parser.add_mutually_exclusive_group()
        chosen.add_argument("--dry-run", action="store_true", help="only say what is missing")
        chosen.add_argument("--yes", action="store_true", help="send without asking")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Say what is missing, ask, send; the exit code is 0 when nothing is missing in the end, or after a dry run."""
        require_migrated()
        if not (options["dry_run"] or options["yes"] or sys.stdin.isatty()):
            raise CommandError("There is nobody to ask here: give --yes to send, or --dry-run to look.")
        agrees = None if options["dry_run"] else lambda number: options["yes"] or self._asked(number)
        person = Person(name=WHO, say=self.stdout.write, agrees=agrees)
        try:
            asyncio.run(approve_account(options["wallet"], person))
        except (AccountRefused, ImproperlyConfigured, NotApproved) as error:
            raise CommandError(str(error)) from None

    def _asked(self, number: int) -> bool:
        self.stdout.write(f"Send {number} transactions, whose fees the wallet pays? Type yes: ", ending="")
        self.stdout.flush()
        return sys.stdin.readline().strip().lower() == "yes"
