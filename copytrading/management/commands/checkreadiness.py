"""`manage.py checkreadiness [--wallet 0x…]`: what each account lacks to trade, and the next step."""

import asyncio
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from copytrading.accounts.readiness import blocking
from copytrading.console import one_line, require_migrated, wallet
from copytrading.wiring_accounts import Looked, look_at_accounts


class Command(BaseCommand):
    """Asks the venue now; nothing is sent and no order is made."""

    help = "Show what each trading account, or one, lacks to trade, and the next step."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("--wallet", type=wallet, help="of one follower, or the address of its key")
        parser.add_argument("--json", action="store_true", help="print one JSON line and nothing else")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Look; the exit code is 0 when nothing blocks any of them."""
        require_migrated()
        try:
            looked = asyncio.run(look_at_accounts(address=options["wallet"] or ""))
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        if not looked and options["wallet"]:
            raise CommandError("No trading account has this wallet or this key. `manage.py addaccount` makes one.")
        if options["json"]:
            self.stdout.write(one_line(_report(looked)))
        else:
            self.stdout.write("\n".join(_sentences(looked)))
        unready = [each for each in looked if blocking(each.lacks)]
        if unready:
            raise CommandError(f"{len(unready)} of {len(looked)} accounts are not ready.")


def _report(looked: Sequence[Looked]) -> dict[str, Any]:
    return {
        "ready": not any(blocking(each.lacks) for each in looked),
        "accounts": [
            {
                "follower": each.row.follower_id,
                "wallet": each.row.wallet,
                "signer": each.row.signer,
                "ready": not blocking(each.lacks),
                "missing": [lack.as_json() for lack in each.lacks],
            }
            for each in looked
        ],
    }


def _sentences(looked: Sequence[Looked]) -> list[str]:
    if not looked:
        return ["There are no trading accounts. `manage.py addaccount` gives a follower one."]
    told = []
    for each in looked:
        told.append(f"{each.row.wallet}: {'not ready' if blocking(each.lacks) else 'ready'}")
        told += [f"  {'-' if lack.blocks else '~'} {lack.sentence} {lack.next}" for lack in each.lacks]
    return told
