"""`manage.py runsandbox`: a Polymarket-compatible world on this machine, with trades of its own and faults to order."""

import asyncio
import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from copytrading.console import one_line
from execution.sandbox.anvil import ChainUnavailable, missing_parts
from execution.sandbox.chain_doors import chain_doors
from execution.sandbox.faults import UnknownFault, parse_fault
from execution.sandbox.leaders import LEADERS, LEADERS_MAX
from execution.sandbox.on_chain import OnChain, SettlementFailed
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.system import SeededRandomness, SystemClock

NOISE_MAX = 20_000
RATE_MAX = 1_000
PORT_MAX = 65_535


class Command(BaseCommand):
    """Prints where its doors are, and plays until SIGTERM, Ctrl-C or the end of its time."""

    help = "Run a Polymarket-compatible world on 127.0.0.1: feeds, books, Data API, and faults at each door."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("--port", type=int, default=0, help="of all doors (default: a free one)")
        parser.add_argument("--seed", type=int, default=1, help="the same seed, the same happenings")
        parser.add_argument("--rate", type=float, default=1.0, help="1 is about 3 leader trades a second, 0 none")
        parser.add_argument("--noise", type=int, default=0, help="frames a second of wallets that nobody knows")
        parser.add_argument("--leaders", type=int, default=LEADERS, help=f"how many (default {LEADERS})")
        parser.add_argument("--seconds", type=float, default=None, help="stop by itself after so long")
        parser.add_argument("--delays", type=float, default=1.0, help="factor of all delays; 0 shows at once")
        parser.add_argument("--chain", choices=("auto", "on", "off"), default="auto", help="settle on a real chain")
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="DOOR:KIND[=VALUE]",
            help="such as activity:drop=20%%, data-api:429=3, activity:delay=2s; may be repeated",
        )
        parser.add_argument("--json", action="store_true", help="print one JSON line when it is up and one at the end")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Refuse what cannot be meant, then run."""
        for name, low, high in (
            ("port", 0, PORT_MAX),
            ("rate", 0, RATE_MAX),
            ("noise", 0, NOISE_MAX),
            ("leaders", 1, LEADERS_MAX),
            ("delays", 0, RATE_MAX),
        ):
            # Written this way round, so that "not a number" is refused too.
            if not low <= options[name] <= high:
                raise CommandError(f"--{name} must lie between {low} and {high}.")
        try:
            for words in options["fault"]:
                parse_fault(words)
            asyncio.run(self._run(options))
        except UnknownFault as error:
            raise CommandError(f"{error}") from None
        except (ChainUnavailable, SettlementFailed) as error:
            raise CommandError(f"The sandbox's chain: {error}") from None
        except BrokenPipeError:
            raise CommandError("Nobody reads any more what the sandbox says; it ended.") from None
        except OSError as error:
            raise CommandError(f"The sandbox cannot listen: {error.strerror or error}.") from None

    async def _run(self, options: dict[str, Any]) -> None:
        clock = SystemClock()
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        chosen = SandboxOptions(
            seed=options["seed"],
            leaders=options["leaders"],
            rate=options["rate"],
            delay_factor=options["delays"],
            noise=options["noise"],
            port=options["port"],
            # The same happenings again, in new transactions: an engine that met them before must not know these.
            run=clock.now().isoformat(),
            faults=tuple(options["fault"]),
        )
        chain = self._chain(options["chain"], clock)
        doors = None if chain is None else chain_doors(chain)
        async with open_sandbox(clock, SeededRandomness, chosen, settlement=chain, attachment=doors) as sandbox:
            self._greet(sandbox, as_json=options["json"])
            await self._wait(sandbox, stop, options["seconds"])
            if options["json"]:
                self.stdout.write(one_line(dict(sandbox.summary())))

    def _chain(self, choice: str, clock: SystemClock) -> OnChain | None:
        """A real chain where it is wanted and there is one. Raises CommandError where it must be and is not."""
        missing = missing_parts()
        if choice == "on" and missing:
            raise CommandError(missing)
        if choice == "auto" and missing:
            self.stderr.write(missing, style_func=str)
        return None if choice == "off" or missing else OnChain(clock)

    async def _wait(self, sandbox: Sandbox, stop: asyncio.Event, seconds: float | None) -> None:
        """Until told to stop, the time is over, or something in the background fails."""
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(sandbox.until_broken())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()

    def _greet(self, sandbox: Sandbox, *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(one_line(dict(sandbox.summary())))
        else:
            self.stdout.write("# The sandbox is up; point Slipstream at it with:")
            for name, value in sandbox.environment().items():
                self.stdout.write(f"export {name}={value}")
            self.stdout.write(f"# Truth, faults, and more: {sandbox.urls.control}")
            for leader in sandbox.leaders[:LEADERS]:
                self.stdout.write(f"# Leader {leader.name}: {leader.wallet}")
        self.stdout.flush()
