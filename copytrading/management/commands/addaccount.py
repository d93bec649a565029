"""`manage.py addaccount`: gives a follower an account on the venue. The key is typed or piped in, and stored sealed."""

import getpass
import sys
from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from copytrading.console import one_line, require_migrated, wallet
from copytrading.operations.accounts import AccountRefused, NewAccount, account_trouble, add_account
from copytrading.wiring_signer import build_vault, trading_address
from execution.models import TradingAccount
from execution.ports import SignerRefused
from execution.signing import address_of, private_key_from
from execution.vault.keks import KekError
from execution.vault.vault import VaultError
from ledger.system import SystemClock

WHO = "manage.py addaccount"
KEY_CHARACTERS_MAX = 200
TYPES = range(4)


def moment(text: str) -> datetime:
    """A moment as ISO 8601; without a zone it is UTC. Raises ArgumentTypeError with a sentence."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text[:40]!r} is no moment such as 2027-01-31T12:00") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    """The private key is never an argument and never in the environment: others could read both."""

    help = (
        "Give a follower an account on the venue: reads the private key from the terminal or from stdin, stores it "
        "sealed, and lets the follower's copies become real orders where ENABLE_REAL_TRADING is set."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("--follower", type=wallet, required=True, metavar="WALLET", help="whose funds are traded")
        parser.add_argument("--kind", choices=TradingAccount.Kind.values, required=True, help="whose key it is")
        parser.add_argument(
            "--signature-type",
            type=int,
            choices=TYPES,
            help="0 EOA, 1 POLY_PROXY, 2 POLY_GNOSIS_SAFE, 3 POLY_1271 (default: 0, for a session key 3)",
        )
        parser.add_argument("--valid-until", type=moment, metavar="MOMENT", help="SESSION: until when its key signs")
        parser.add_argument(
            "--trading-key", action="store_true", help="the key is TRADING_PRIVATE_KEY: read no other, store none"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON line")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Everything is checked before anything is written."""
        require_migrated()
        try:
            vault = build_vault()
            if options["trading_key"]:
                secret, signer = None, trading_address()
            else:
                vault.keks.current()  # Nobody types a key that cannot be stored then.
                secret = self._ask()
                signer = address_of(secret).lower()
            new = _account(options, signer)
            account = add_account(new, secret, vault=vault, actor=WHO)
        except (AccountRefused, ImproperlyConfigured, KekError, SignerRefused, VaultError) as error:
            raise CommandError(f"{error} Nothing was changed.") from None
        told = {"follower": new.wallet, "signer": new.signer, "kind": account.kind, "type": account.signature_type}
        self.stdout.write(one_line(told) if options["json"] else _sentence(account, new))

    def _ask(self) -> bytes:
        if sys.stdin.isatty():
            try:
                text = getpass.getpass("Private key (nothing is shown): ")
            except (EOFError, KeyboardInterrupt):
                raise SignerRefused("No key was typed.") from None
        else:
            try:
                text = sys.stdin.readline(KEY_CHARACTERS_MAX)
            except UnicodeDecodeError:
                raise SignerRefused("What came from stdin is no text; a key is written in hexadecimal.") from None
        if not text.strip():
            raise SignerRefused("No key came from stdin; type it at the terminal, or pipe it in.")
        return private_key_from(text)


def _account(options: dict[str, Any], signer: str) -> NewAccount:
    if not signer:
        raise AccountRefused("TRADING_PRIVATE_KEY is not set.")
    kind = TradingAccount.Kind(options["kind"])
    usual = 3 if kind == TradingAccount.Kind.SESSION else 0
    chosen = options["signature_type"]
    new = NewAccount(
        wallet=options["follower"],
        signer=signer,
        kind=kind,
        signature_type=usual if chosen is None else chosen,
        valid_until=options["valid_until"],
    )
    trouble = account_trouble(new, now=SystemClock().now())
    if trouble is not None:
        raise AccountRefused(trouble)
    return new


def _sentence(account: TradingAccount, new: NewAccount) -> str:
    until = f" until {new.valid_until:%Y-%m-%d %H:%M} UTC" if new.valid_until else ""
    return (
        f"The account of {new.wallet} is made: {account.kind}, signature type {account.signature_type}, key "
        f"{new.signer}{until}. `manage.py checkreadiness` says what is missing before it can trade."
    )
