"""A private Postgres and a private Redis for the tests: found, started on free ports, and gone afterwards.

`python -m tests.services` starts both by hand, prints their addresses and stops them on Ctrl-C.
"""

import atexit
import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import redis

READY_SECONDS_MAX = 60
"""A loaded two-core machine needs about 3 seconds; a server that needs a minute is broken."""

STOP_SECONDS_MAX = 10
POLL_SECONDS = 0.02

# Data that is thrown away needs no disk barrier; the racing tests need many connections.
POSTGRES_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "timezone": "UTC",
}

NAMES: Mapping[str, tuple[str, ...]] = {"chromium": ("chromium", "chromium-browser", "google-chrome")}
"""Other names under which a program is installed."""

# Immediate, for data that is thrown away. Not SIGQUIT for Redis: it does not catch it, and a shell's background
# job, as in CI, hands it down as ignored.
STOP_SIGNALS = {"postgres": signal.SIGQUIT, "redis": signal.SIGKILL}

PR_SET_PDEATHSIG = 1


class ServiceError(RuntimeError):
    """A program is missing or does not start; the message is a sentence for people."""


def find_binary(name: str) -> Path | None:
    """The program on PATH, or where Debian puts it: Postgres keeps its own out of PATH, newest version first."""
    for known_as in NAMES.get(name, (name,)):
        if found := shutil.which(known_as) or shutil.which(known_as, path="/usr/bin:/usr/sbin"):
            return Path(found)
    versions = [path for path in Path("/usr/lib/postgresql").glob(f"*/bin/{name}") if path.parts[-3].isdigit()]
    return max(versions, key=lambda path: int(path.parts[-3]), default=None)


def require_binary(name: str) -> Path:
    """The program's path. Raises ServiceError."""
    found = find_binary(name)
    if found is None:
        raise ServiceError(f"{name} is not installed; `make test` installs it, or says how.")
    return found


class Services:
    """Addresses are fixed at once, so that settings can name them; the servers start when they are needed.

    Only for the main thread: a child dies with the thread that started it.
    """

    def __init__(self) -> None:
        self._reservations = [_reserved_port(), _reserved_port()]
        self._postgres_port, self._redis_port = (held.getsockname()[1] for held in self._reservations)
        self.postgres_url = f"postgres://postgres@127.0.0.1:{self._postgres_port}/slipstream"
        self.redis_url = f"redis://127.0.0.1:{self._redis_port}/0"
        # Below /tmp for root, whose own TMPDIR Postgres' user may not enter.
        self.folder = Path(tempfile.mkdtemp(prefix="slipstream-tests-", dir="/tmp" if _is_root() else None))
        self._account = _postgres_account()
        if "user" in self._account:
            os.chown(self.folder, self._account["user"], self._account["group"])
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        atexit.register(self.stop)

    def start(self, *names: str) -> None:
        """Start those of "postgres" and "redis" that do not run yet; returns when they answer. Raises ServiceError."""
        wanted = [name for name in names if name not in self._running]
        if "redis" in wanted:
            self._start_redis()
        if "postgres" in wanted:
            self._start_postgres()
        for name in wanted:
            self._wait_until_ready(name, self._ask_redis if name == "redis" else self._ask_postgres)

    def stop(self) -> None:
        """End both servers and delete what they wrote; may be called again."""
        while self._running:
            name, process = self._running.popitem()
            process.send_signal(STOP_SIGNALS[name])
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for reservation in self._reservations:
            reservation.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        atexit.unregister(self.stop)

    def pids(self) -> list[int]:
        """The process ids of the running servers."""
        return [process.pid for process in self._running.values()]

    def _start_redis(self) -> None:
        program = require_binary("redis-server")
        no_disk = ["--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        address = ["--bind", "127.0.0.1", "--port", str(self._redis_port)]
        self._launch("redis", [str(program), *address, *no_disk])

    def _start_postgres(self) -> None:
        initdb = require_binary("initdb")
        cluster = str(self.folder / "postgres")
        made = subprocess.run(
            [str(initdb), "-D", cluster, "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=trust", "--no-sync"],
            **self._child_options(),
            capture_output=True,
            text=True,
            timeout=READY_SECONDS_MAX,
            check=False,
        )
        if made.returncode:
            raise ServiceError(f"initdb failed: {made.stderr.strip()}")
        settings = [part for name, value in POSTGRES_SETTINGS.items() for part in ("-c", f"{name}={value}")]
        program = initdb.resolve().parent / "postgres"
        port = ["-p", str(self._postgres_port)]
        self._launch("postgres", [str(program), "-D", cluster, *port, *settings])

    def _launch(self, name: str, command: list[str]) -> None:
        with self._log(name).open("wb") as log:
            self._running[name] = subprocess.Popen(
                command,
                **self._child_options(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C belongs to pytest, which then stops the servers in order
                preexec_fn=partial(_die_with_parent, STOP_SIGNALS[name]),  # noqa: PLW1509  (started before any test makes a thread)
            )

    def _child_options(self) -> dict[str, Any]:
        return {"cwd": self.folder, "env": {**os.environ, "LC_ALL": "C"}, **self._account}

    def _wait_until_ready(self, name: str, ask: Callable[[], object]) -> None:
        deadline = time.monotonic() + READY_SECONDS_MAX
        while self._running[name].poll() is None and time.monotonic() < deadline:
            with suppress(psycopg.OperationalError, redis.ConnectionError):
                ask()
                return
            time.sleep(POLL_SECONDS)
        raise ServiceError(f"{name} did not start: {self._log(name).read_text(errors='replace')[-2000:].strip()}")

    def _ask_postgres(self) -> None:
        psycopg.connect(self.postgres_url, dbname="postgres", connect_timeout=2).close()

    def _ask_redis(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            client.ping()

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"


def _reserved_port() -> socket.socket:
    """A bound socket that never listens: nobody else is given its port, and a server with SO_REUSEADDR may take it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held


def _is_root() -> bool:
    return os.geteuid() == 0


def _postgres_account() -> dict[str, Any]:
    """Postgres refuses to run as root; then both servers run as an account without rights."""
    if not _is_root():
        return {}
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": ()}
    raise ServiceError("Postgres does not run as root, and there is neither a user postgres nor nobody.")


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent(stop_signal: signal.Signals) -> None:
    """In the child: when pytest is killed outright, the kernel sends it this signal (Linux only)."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, stop_signal)


def main() -> None:
    """Start both, say where they are, and hold them until interrupted."""
    services = Services()
    with suppress(KeyboardInterrupt):
        services.start("postgres", "redis")
        sys.stdout.write(f"DATABASE_URL={services.postgres_url}\nREDIS_URL={services.redis_url}\n")
        sys.stdout.write(f"FOLDER={services.folder}\nPIDS={' '.join(map(str, services.pids()))}\n")
        sys.stdout.flush()
        signal.pause()
    services.stop()


if __name__ == "__main__":
    main()
