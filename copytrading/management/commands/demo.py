"""`manage.py demo`: a whole installation on a venue of its own, on one machine, with nothing to install.

The venue is the sandbox, which trades by itself; everything else runs as it would for real.
"""

import fcntl
import json
import os
import selectors
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, socket  # noqa: TID251  (only to see whether a local port is free)
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from copytrading.operations.cast import seed_configs, seed_followers, seed_leaders
from execution.sandbox.anvil import missing_parts
from ledger.system import SystemIds
from ledger.units import ONE

FOLLOWERS = 50
OPERATOR = "olga"
FOLDER = ".demo"
LOGS = ("engine", "sandbox", "web")
LOCK = "SLIPSTREAM_DEMO_LOCK"
"""Names the descriptor of the lock file: every process of the demo holds it, and the last to end lets it go."""
STOP_WAIT_S = 30
"""How long a child may take to stop: the engine's drain bound and a little more."""

FRAMES = ("--websocket-max-message-size", "65536", "--websocket-max-frame-size", "65536")

# Of the venue: nothing that a person has set for an installation may lead elsewhere than into the sandbox.
HEARING = {
    "ENABLE_REAL_TRADING": "false",
    "CHAIN_ID": "137",
    "RPC_URLS": "",
    "COPY_TRADING_ENABLE_MARKET_EVENTS": "true",
}
ADDRESSES = "CONTRACT_"

# A market with a little latency and trouble, so that the dashboard has all colours.
PAPER = {
    "PAPER_LATENCY_MS": "40",
    "PAPER_JITTER_MS": "60",
    "PAPER_REJECT_BPS": "100",
    "PAPER_LOST_ANSWER_BPS": "50",
    "PAPER_LOST_REQUEST_BPS": "20",
}
NAMES = (
    "Ada",
    "Ben",
    "Cleo",
    "Dan",
    "Eva",
    "Fay",
    "Gus",
    "Hana",
    "Ivo",
    "Jun",
    "Kai",
    "Lia",
    "Max",
    "Nia",
    "Oto",
    "Pia",
    "Quin",
    "Rosa",
    "Sam",
    "Tea",
    "Uma",
    "Vik",
    "Xia",
    "Yan",
    "Zoe",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """The running sandbox: whom one can follow there (names by wallet), and the settings that lead there."""

    leaders: Mapping[str, str]
    environment: Mapping[str, str]


class Command(BaseCommand):
    """Runs itself again as sandbox, web and supervisor with a database of the demo's own."""

    help = "Try Slipstream: a venue of its own, 50 followers, the dashboard. Ctrl-C ends it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The command's options."""
        parser.add_argument("--seconds", type=float, default=None, help="stop by itself after so long")
        parser.add_argument("--json", action="store_true", help="print the report of the run as one JSON line")
        parser.add_argument("--port", type=int, default=0, help="of the web pages (default: 8000, or a free one)")
        parser.add_argument("--seed", type=int, default=1, help="of what happens on the venue")
        parser.add_argument("--rate", type=float, default=1.0, help="1 is about 3 trades a second")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Migrate, seed, start both processes, wait, and leave nothing running."""
        folder = settings.BASE_DIR / FOLDER
        if os.environ.get("SLIPSTREAM_DEMO") != "child":
            raise SystemExit(self._again(folder))
        port = options["port"] or _free_port(8000)
        # Until the engine is waited for, a signal ends this command; the stack stops what was started by then.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        report = ""
        with suppress(KeyboardInterrupt), ExitStack() as started:
            report = self._play(options, folder, port=port, started=started)
        if options["json"] and report:
            self.stdout.write(report)

    def _play(self, options: dict[str, Any], folder: Path, *, port: int, started: ExitStack) -> str:
        """Start everything, and wait for the engine's report."""
        sandbox = self._start_sandbox(options, folder)
        started.callback(_stop, sandbox)
        # While the sandbox, and its chain, are coming up.
        call_command("migrate", verbosity=0)
        venue = _venue(sandbox)
        password = self._seed(venue.leaders)
        web = ("daphne", *FRAMES, "-b", "127.0.0.1", "-p", str(port), "config.asgi:application")
        started.callback(_stop, _start(*web, log=folder / "web.log", venue=venue.environment))
        engine = self._start_engine(options, folder, venue=venue.environment)
        started.callback(_stop, engine)
        self._greet(port, password)
        return self._wait(engine, sandbox)

    def _again(self, folder: Path) -> int:
        """Run this command once more with the demo's own database and settings in its environment."""
        folder.mkdir(exist_ok=True)
        lock = _lock(folder / "lock")
        for old in folder.glob("demo.sqlite3*"):
            old.unlink()
        own = {
            "SLIPSTREAM_DEMO": "child",
            LOCK: str(lock),
            "DATABASE_URL": f"sqlite:///{folder / 'demo.sqlite3'}",
            "REDIS_URL": "",
            "SECRET_KEY": SystemIds().token() * 2,
            "DEBUG": "false",
        }
        # A secret named by a file would win over the demo's own value.
        own |= HEARING | PAPER
        inherited = {
            key: value
            for key, value in os.environ.items()
            if key.removesuffix("_FILE") not in own and not key.startswith(ADDRESSES)
        }
        child = subprocess.Popen([sys.executable, *sys.argv], env={**inherited, **own}, pass_fds=[lock])  # noqa: S603
        # Ctrl-C reaches the whole group; this process only waits for its child's own end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda *_signal: child.terminate())
        return child.wait()

    def _seed(self, wallets: Mapping[str, str]) -> str:
        # What they hold is read from the venue, as for everybody.
        leaders = seed_leaders(wallets, holdings_complete=False)
        names = [f"{NAMES[index % len(NAMES)]} {index // len(NAMES) + 1}" for index in range(FOLLOWERS)]
        followers = seed_followers(names, label="demo", cash_micros=settings.PAPER_START_USD * ONE)
        seed_configs(leaders, followers)
        connection.close()
        password = SystemIds().token()[:12]
        get_user_model().objects.create_superuser(OPERATOR, password=password)
        return password

    def _greet(self, port: int, password: str) -> None:
        """On stderr, which is the people's half of the output, but not in the red of its errors."""
        for line in (
            f"Dashboard: http://127.0.0.1:{port}/   login: {OPERATOR}   password: {password}",
            *filter(None, [missing_parts()]),
            f"Logs: {', '.join(f'{FOLDER}/{name}.log' for name in LOGS)}. Ctrl-C ends the demo.",
        ):
            self.stderr.write(line, style_func=str)

    def _start_sandbox(self, options: dict[str, Any], folder: Path) -> "subprocess.Popen[str]":
        words = ["manage.py", "runsandbox", "--json", "--seed", str(options["seed"]), "--rate", str(options["rate"])]
        return _start(*words, log=folder / "sandbox.log", module=False)

    def _start_engine(
        self, options: dict[str, Any], folder: Path, *, venue: Mapping[str, str]
    ) -> "subprocess.Popen[str]":
        words = ["manage.py", "runsupervisor", "--shard", "0/1", "--json", "--source", "live"]
        if options["seconds"] is not None:
            words += ["--seconds", str(options["seconds"])]
        return _start(*words, log=folder / "engine.log", module=False, venue=venue)

    def _wait(self, engine: "subprocess.Popen[str]", sandbox: "subprocess.Popen[str]") -> str:
        """Until the engine ends, by itself or by Ctrl-C; then its report. Raises CommandError when one failed."""
        asked: list[int] = []

        def stop(number: int, _frame: Any) -> None:
            asked.append(number)
            engine.terminate()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        if _first_to_speak(engine, sandbox) is sandbox and not asked:
            raise CommandError(f"The sandbox ended; see {FOLDER}/sandbox.log.")
        report, _nothing = engine.communicate()
        if asked and engine.returncode == -signal.SIGTERM:
            return ""  # stopped before it had begun: nothing to report
        if engine.returncode != 0:
            raise CommandError(f"The engine ended with code {engine.returncode}; see {FOLDER}/engine.log.")
        return report.strip()


def _start(
    *words: str, log: Path, module: bool = True, venue: Mapping[str, str] | None = None
) -> "subprocess.Popen[str]":
    command = [sys.executable, *(["-m"] if module else []), *words]
    with log.open("w") as output:
        # A session of its own: Ctrl-C reaches only this command, which stops its children in order.
        return subprocess.Popen(  # noqa: S603
            command,
            stdout=subprocess.PIPE if not module else output,
            stderr=output,
            text=True,
            cwd=settings.BASE_DIR,
            env={**os.environ, **(venue or {})},
            start_new_session=True,
            pass_fds=[int(os.environ[LOCK])],
        )


def _venue(sandbox: "subprocess.Popen[str]") -> Venue:
    """What the sandbox says in its one line, once it is up. Raises CommandError when it ended instead."""
    assert sandbox.stdout is not None
    line = sandbox.stdout.readline()
    if not line:
        raise CommandError(f"The sandbox did not start; see {FOLDER}/sandbox.log.")
    told = json.loads(line)
    leaders = {each["wallet"]: each["name"] for each in told["leaders"]}
    return Venue(leaders=leaders, environment=told["environment"])


def _first_to_speak(*processes: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    """Which of them said something, or ended, first: each speaks only when it is over."""
    with selectors.DefaultSelector() as selector:
        for process in processes:
            assert process.stdout is not None
            selector.register(process.stdout, selectors.EVENT_READ, process)
        found: subprocess.Popen[str] = selector.select()[0][0].data
        return found


def _lock(path: Path) -> int:
    """The open lock file of this checkout's demo. Raises CommandError with a sentence while another demo has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        process = os.read(descriptor, 20).decode().strip() or "unknown"
        os.close(descriptor)
        raise CommandError(
            f"A demo runs in this checkout already (process {process}); its database stays. End it with Ctrl-C first."
        ) from None
    os.truncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor


def _stop(child: "subprocess.Popen[str]") -> None:
    if child.poll() is None:
        child.terminate()
        try:
            # Whatever it still has to say is taken off it, or it would wait for somebody to read.
            child.communicate(timeout=STOP_WAIT_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def _free_port(wanted: int) -> int:
    """The wanted port, or any free one when something listens there."""
    for port in (wanted, 0):
        with closing(socket(AF_INET, SOCK_STREAM)) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise CommandError("No port is free on 127.0.0.1.")
