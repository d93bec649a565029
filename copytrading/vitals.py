"""The supervisor process's signs of life, served on 127.0.0.1 by a thread of their own: /metrics, /healthz, /readyz.

The event loop leaves its pulse and its newest examination here; the thread only reads them, so that a loop that
hangs is seen, and a prober that asks too often disturbs nobody.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

from copytrading.pauses import sleep_or_stop
from copytrading.readiness import OK, Examination, Report
from ledger.clock import Clock

BEAT_S = 0.5
PULSE_MS_MAX = 5_000
"""A loop that has not turned for so long hangs; its longest turn is one batch, a fraction of a second."""
EXAMINED_MS_MAX = 15_000
"""An examination this old says nothing any more: one takes five seconds at most for each thing that is asked."""

HOST = "127.0.0.1"

Start = Callable[[str, list[tuple[str, str]]], Any]


class PortTaken(Exception):
    """The port cannot be listened on; the message is a sentence for people."""


class Vitals:
    """A service of the engine that leaves signs of life, and the reader of them."""

    name = "vitals"

    def __init__(
        self,
        clock: Clock,
        examination: Examination,
        *,
        holds_shard: Callable[[], bool],
        stands_by: Callable[[], bool] = lambda: False,
    ) -> None:
        self._clock, self._examination = clock, examination
        self._holds_shard, self._stands_by = holds_shard, stands_by
        self._beat_ms: float | None = None
        self._examined: tuple[float, Report] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Beat and examine until stopped."""
        examining = asyncio.create_task(self._examine(stop), name="examination")
        try:
            while not stop.is_set() and not examining.done():
                self._beat_ms = self._clock.monotonic_ms()
                await sleep_or_stop(self._clock, stop, BEAT_S)
            if examining.done():
                examining.result()
        finally:
            self._beat_ms = None
            examining.cancel()

    async def run_once(self) -> None:
        """Beat and examine now."""
        self._beat_ms = self._clock.monotonic_ms()
        self._examined = (self._clock.monotonic_ms(), await self._examination.report())

    def health(self) -> Report:
        """Whether the event loop turns."""
        if self._beat_ms is None:
            return Report(parts={"loop": "not running"}, needed=frozenset({"loop"}))
        silent_ms = self._clock.monotonic_ms() - self._beat_ms
        state = OK if silent_ms < PULSE_MS_MAX else f"no pulse for {silent_ms / 1_000:.0f} s"
        return Report(parts={"loop": state}, needed=frozenset({"loop"}))

    def readiness(self) -> Report:
        """The loop turns, the shard's lease is held, and the database answered a moment ago."""
        without = "standing by" if self._stands_by() else "not held"
        parts = {**self.health().parts, "lease": OK if self._holds_shard() else without}
        needed = frozenset({"loop", "lease", "database", "migrations"})
        if self._examined is None:
            return Report(parts={**parts, "database": "not asked yet"}, needed=needed)
        asked_ms, report = self._examined
        if self._clock.monotonic_ms() - asked_ms > EXAMINED_MS_MAX:
            return Report(parts={**parts, "database": "not asked for too long"}, needed=needed)
        return replace(report, parts={**parts, **report.parts}, needed=needed)

    async def _examine(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._examined = (self._clock.monotonic_ms(), await self._examination.report())
            await sleep_or_stop(self._clock, stop, BEAT_S)


class VitalsServer:
    """The addresses as a WSGI application on a local port, from its entry to its exit."""

    def __init__(self, vitals: Vitals, port: int) -> None:
        """Raises PortTaken."""
        self._vitals, self._metrics = vitals, make_wsgi_app()
        try:
            self._server = make_server(HOST, port, self.answer, _Server, _Quiet)
        except (OSError, OverflowError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no port"
            raise PortTaken(f"Port {port} of {HOST} cannot be served: {why}. Choose another --metrics-port.") from None
        self.port: int = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, name="vitals", daemon=True)

    def __enter__(self) -> "VitalsServer":
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, environ: dict[str, Any], start: Start) -> Iterable[bytes]:
        """Answer one request."""
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            found: Iterable[bytes] = self._metrics(environ, start)
            return found
        reports = {"/healthz": self._vitals.health, "/readyz": self._vitals.readiness}
        if path not in reports:
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"/metrics, /healthz, /readyz\n"]
        report = reports[path]()
        headers = [("Content-Type", "application/json"), ("Cache-Control", "no-store")]
        start("200 OK" if report.ready else "503 Service Unavailable", headers)
        return [report.body.encode()]


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: a slow reader must not hide the process from the others."""

    daemon_threads = True
    allow_reuse_address = True


class _Quiet(WSGIRequestHandler):
    """Writes no line for each request."""

    timeout = 10
    """Seconds that a silent caller may hold its thread."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the name of the base class)
        """Say nothing."""
