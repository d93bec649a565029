"""`manage.py follow ADDRESS... --followers N`: paper followers of real wallets; `--clean` takes them back."""

import asyncio
import re
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from copytrading.console import one_line, require_migrated
from copytrading.models import CopyConfig, ShardLease
from copytrading.operations.following import Followed, TakenBack, deactivate, follow, made_configs, take_back
from ledger.clock import Clock
from ledger.sql import database_now
from ledger.system import SystemClock
from ledger.units import BPS, MAX_MICROS, ONE

FOLLOWERS_MAX = 100_000
WALLET = re.compile(r"0x[0-9a-fA-F]{40}")
MARGIN_MS = 500
"""Beyond the age of the engines' config cache: a batch that began with the old configs has ended then."""

PERCENT = BPS // 100

NEEDED = {"PERCENTAGE": "", "BANKROLL": "", "FIXED_AMOUNT": "amount", "RANGE": "cap", "SHARES": "shares"}
"""The sizings that need no more than a number, and the option that each cannot do without."""


def dollars(text: str) -> int:
    """Pretend dollars in micros. Raises ArgumentTypeError with a sentence."""
    return _scaled(text, ONE, most=MAX_MICROS, what="an amount of dollars above zero, such as 100 or 2.50")


def shares(text: str) -> int:
    """Shares in micros. Raises ArgumentTypeError with a sentence."""
    return _scaled(text, ONE, most=MAX_MICROS, what="a number of shares above zero, such as 20 or 5.5")


def percentage(text: str) -> int:
    """Percent in basis points. Raises ArgumentTypeError with a sentence."""
    return _scaled(text, PERCENT, most=100 * BPS, what="a percentage above 0 and up to 10000, such as 10 or 2.5")


class Command(BaseCommand):
    """Makes leaders, paper followers, their cash and their configs; or removes what it made."""

    help = "Follow wallets with N paper followers. Running it again adds only what is missing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("addresses", nargs="*", metavar="ADDRESS", help="wallets to follow: 0x and 40 hex digits")
        parser.add_argument("--followers", type=int, default=1, metavar="N", help="paper followers of each (default 1)")
        parser.add_argument("--cash", type=dollars, metavar="USD", help="of each new follower (PAPER_START_USD)")
        parser.add_argument("--sizing", choices=list(NEEDED), default="PERCENTAGE", help="default PERCENTAGE")
        parser.add_argument(
            "--percentage",
            type=percentage,
            default=10 * PERCENT,
            help="of the leader's shares, or BANKROLL: of the own money (10)",
        )
        parser.add_argument("--amount", type=dollars, metavar="USD", help="FIXED_AMOUNT: of each copy")
        parser.add_argument("--floor", type=dollars, metavar="USD", help="RANGE: least of a copy")
        parser.add_argument("--cap", type=dollars, metavar="USD", help="RANGE: most of a copy")
        parser.add_argument("--shares", type=shares, metavar="N", help="SHARES: of each copy")
        parser.add_argument("--max-trade", type=dollars, metavar="USD", help="cuts every copy to this much")
        parser.add_argument(
            "--clean", action="store_true", help="take back what this command made: of these wallets, or everything"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON line")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Check everything first: nothing is half-written."""
        wallets = self._wallets(options["addresses"])
        if options["clean"]:
            require_migrated()
            self._clean(wallets or None, as_json=options["json"])
            return
        if not wallets:
            raise CommandError("Name at least one wallet to follow, or --clean.")
        if not 1 <= options["followers"] <= FOLLOWERS_MAX:
            raise CommandError(f"--followers must lie between 1 and {FOLLOWERS_MAX}.")
        cash = options["cash"] or settings.PAPER_START_USD * ONE
        if not cash:
            raise CommandError("Followers without cash copy nothing: give --cash, or set PAPER_START_USD.")
        require_migrated()
        done = follow(wallets, followers=options["followers"], cash_micros=cash, terms=_terms(options))
        pairs = len(wallets) * options["followers"]
        self._tell(asdict(done), _added(done, pairs=pairs), as_json=options["json"])

    def _clean(self, wallets: Sequence[str] | None, *, as_json: bool) -> None:
        configs = made_configs(wallets)
        if deactivate(configs) and _engines_run():
            asyncio.run(_until_forgotten(SystemClock()))
        done = take_back(configs)
        self._tell(asdict(done), _removed(done), as_json=as_json)

    def _wallets(self, addresses: Sequence[str]) -> list[str]:
        wrong = [address for address in addresses if not WALLET.fullmatch(address)]
        if wrong:
            told = ", ".join(repr(address[:60]) for address in wrong[:5])
            raise CommandError(f"No wallet: {told}. A wallet is 0x and 40 hexadecimal digits. Nothing was changed.")
        return list(dict.fromkeys(address.lower() for address in addresses))

    def _tell(self, done: Mapping[str, int], sentence: str, *, as_json: bool) -> None:
        self.stdout.write(one_line(dict(done)) if as_json else sentence)


def _added(done: Followed, *, pairs: int) -> str:
    """What people read; `pairs` of leader and follower were asked for, and each has its config now."""
    sentence = (
        f"{_counted(done.leaders, 'leader')}, {_counted(done.followers, 'paper follower')} and "
        f"{_counted(done.configs, 'config')} added"
    )
    sentence += f", {_counted(done.activated, 'config')} active again." if done.activated else "."
    if old := pairs - done.configs:
        sentence += (
            f" {_counted(old, 'config')} existed already, with terms that stay as they were; the admin changes them."
        )
    return sentence


def _removed(done: TakenBack) -> str:
    sentence = (
        f"{_counted(done.configs, 'config')}, {_counted(done.followers, 'paper follower')} and "
        f"{_counted(done.leaders, 'leader')} removed."
    )
    if done.deactivated:
        sentence += f" Only deactivated, for copies name them: {_counted(done.deactivated, 'config')}."
    if done.followers_kept:
        sentence += (
            f" Kept, for copies, ledger rows or other configs name them: {_counted(done.followers_kept, 'follower')}."
        )
    return sentence


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _terms(options: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of each config. Raises CommandError when they do not fit together."""
    terms = {
        "sizing": options["sizing"],
        "percentage_bps": options["percentage"],
        "amount_micros": options["amount"] or 0,
        "floor_micros": options["floor"] or 0,
        "cap_micros": options["cap"] or 0,
        "shares_micros": options["shares"] or 0,
        "max_trade_micros": options["max_trade"],
    }
    needed = NEEDED[options["sizing"]]
    if needed and not options[needed]:
        raise CommandError(f"--sizing {options['sizing']} needs --{needed}.")
    try:
        CopyConfig(**terms).full_clean(exclude=["follower", "leader"])
    except ValidationError as error:
        raise CommandError(f"These terms do not fit together: {'; '.join(error.messages)}") from None
    return terms


def _engines_run() -> bool:
    return ShardLease.objects.exclude(holder="").filter(expires_at__gt=database_now()).exists()


async def _until_forgotten(clock: Clock) -> None:
    """Until no engine has the configs in its cache: a copy for a config that is gone would end its process."""
    await clock.sleep((settings.COPY_TRADING_CONFIG_REFRESH_MS + MARGIN_MS) / 1_000)


def _scaled(text: str, scale: int, *, most: int, what: str) -> int:
    try:
        number = Decimal(text) * scale
    except InvalidOperation:
        raise ArgumentTypeError(f"{text!r} is not {what}") from None
    if not number.is_finite() or number != number.to_integral_value() or not 0 < number <= most:
        raise ArgumentTypeError(f"{text!r} is not {what}")
    return int(number)
