"""A real Daphne for the tests."""

import os
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
LISTED_ORIGIN = "https://ops.example"
START_SECONDS_MAX = 60


class WebServer:
    """Daphne on a socket that outlives it: while it is down, connections wait as they do at a hanging server."""

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self.url = f"http://{self.address}"
        self._log, self._environment = log, environment
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, at the same address; returns when it answers."""
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", int(self.address.rpartition(":")[2])), backlog=64)
        descriptor = self._listener.fileno()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "daphne", "--fd", str(descriptor), "config.asgi:application"],
                cwd=ROOT,
                env={**os.environ, **self._environment},
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        asking = HTTPConnection(self.address, timeout=START_SECONDS_MAX)
        try:
            asking.request("GET", "/healthz")
            assert asking.getresponse().read() == b"ok\n", self._log.read_text()
        finally:
            asking.close()

    def stop(self) -> None:
        """End it as a crash would; its address stays ours."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def vanish(self) -> None:
        """End it with its address: from now on connections are refused."""
        self.stop()
        self._listener.close()

    def close(self) -> None:
        """End it for good."""
        self.stop()
        self._listener.close()
