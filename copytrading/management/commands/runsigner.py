"""`manage.py runsigner --socket PATH`: the process that holds the keys and signs what its policy allows."""

import asyncio
import signal
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from copytrading.console import require_migrated
from copytrading.wiring_signer import build_local_signer, build_vault, refuse_lost_keys
from execution.signer.hardening import hide_memory
from execution.signer.server import SignerServer, SocketTaken
from execution.vault.vault import PRIVATE_KEY
from ledger.db import ThreadedDatabase
from ledger.system import SystemClock

DATABASE_THREADS = 2
"""One reads the accounts while the other opens a key."""

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    """Serves until SIGTERM or Ctrl-C. Engines ask it where SIGNER_SOCKET names its socket."""

    # The others are an engine's: a signer may have the single trader's key, and needs no key of API credentials. What
    # it needs itself is asked below.
    requires_system_checks = ["key-files"]

    help = "Hold the keys in this process, and sign orders, logins and approvals for engines on a Unix socket."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument(
            "--socket",
            type=Path,
            default=Path(settings.SIGNER_SOCKET) if settings.SIGNER_SOCKET else None,
            metavar="PATH",
            help="where to listen (default: SIGNER_SOCKET); only this user may connect",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Refuse what would sign nothing, hide the memory, then serve."""
        if options["socket"] is None:
            raise CommandError("Where shall the signer listen? Give --socket PATH, or set SIGNER_SOCKET.")
        # Before the first key is opened.
        if not hide_memory():
            log.warning("Other programs of this user can read the signer's memory here.", action="signer-visible")
        require_migrated()
        try:
            refuse_lost_keys(build_vault(), PRIVATE_KEY)
            asyncio.run(_serve(options["socket"]))
        except (ImproperlyConfigured, SocketTaken) as error:
            raise CommandError(str(error)) from None


async def _serve(path: Path) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    database = ThreadedDatabase(DATABASE_THREADS)
    try:
        await SignerServer(build_local_signer(database, SystemClock()), path).run(stop)
    finally:
        database.close()
