"""Real engine processes, for what only real processes show: deaths, freezes, two at once, memory over time."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from copytrading.verification.steps import Wrong
from ledger.clock import Clock

PROGRAM = Path(__file__).parents[2] / "manage.py"

LOOK_S = 0.05
END_S_MAX = 30
KB_PER_MB = 1_024

Words = str | int | bool | Collection[str] | None


@dataclass(frozen=True, slots=True)
class EngineProcess:
    """A `runsupervisor` that was started here, and the file with what it logs."""

    process: "subprocess.Popen[bytes]"
    log: Path

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def is_alive(self) -> bool:
        """It has not ended."""
        return self.process.poll() is None

    def said(self) -> str:
        """Its whole log."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def said_last(self) -> str:
        """The last line of its log."""
        lines = self.said().strip().splitlines()
        return lines[-1] if lines else "nothing"

    def kill(self) -> None:
        """End it as kill -9 does, and return when it is gone."""
        self.process.kill()
        self.process.wait(END_S_MAX)

    def freeze(self) -> None:
        """Stop it where it stands: it computes nothing, and its connections stay open."""
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let a frozen one go on."""
        self.process.send_signal(signal.SIGCONT)

    def ask_to_stop(self) -> None:
        """SIGTERM: it drains and ends by itself."""
        self.process.terminate()

    def resident_mb(self) -> float | None:
        """Its memory now; None where it cannot be read."""
        try:
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) / KB_PER_MB for line in lines if line.startswith("VmRSS:")), None)


class Engines:
    """Starts engine processes, each with a log file of its own."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment, self._folder = environment, folder
        self.started: list[EngineProcess] = []

    def start(self, *words: str) -> EngineProcess:
        """`runsupervisor` of shard 0 of 1 on the live sources, in this environment."""
        path = self._folder / f"engine-{len(self.started)}.log"
        command = [sys.executable, str(PROGRAM), "runsupervisor", "--shard", "0/1", *words]
        with path.open("wb") as log:
            child = subprocess.Popen(  # noqa: S603  (this program)
                command, env=dict(self._environment), stdout=subprocess.DEVNULL, stderr=log
            )
        self.started.append(EngineProcess(child, path))
        return self.started[-1]


@contextmanager
def engines(environment: Mapping[str, str]) -> Iterator[Engines]:
    """A starter of engines; at the end none of them runs and their logs are gone."""
    with tempfile.TemporaryDirectory(prefix="slipstream-engines-") as folder:
        starter = Engines(environment, Path(folder))
        try:
            yield starter
        finally:
            for each in starter.started:
                # Of a frozen process too this is the end.
                each.kill()


def environment_with(settings: Mapping[str, Words]) -> dict[str, str]:
    """This process's variables with these settings in place of its own."""
    # A value that a file holds would win over the one given here.
    others = {name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in settings}
    return {**others, **{name: _word(value) for name, value in settings.items()}}


def environment_of_its_own(settings: Mapping[str, Words], *, declared: Collection[str]) -> dict[str, str]:
    """The same, with the default of every other declared setting: nothing that an operator has set takes part."""
    given = environment_with(settings)
    others = {name: value for name, value in given.items() if name.removesuffix("_FILE") not in declared}
    # The variable keeps the process away from `.env`.
    return {**others, "SLIPSTREAM_DEMO": "verify", **{name: given[name] for name in settings}}


async def until(
    clock: Clock,
    what: Callable[[], Awaitable[bool]],
    *,
    within_s: float,
    else_say: str,
    alive: Collection[EngineProcess] = (),
) -> float:
    """Look again and again until it is so; the milliseconds it took.

    Raises Wrong when it takes too long, or when one of the processes that must live has ended.
    """
    began_ms = clock.monotonic_ms()
    while not await what():
        for each in alive:
            if not each.is_alive():
                raise Wrong(f"An engine ended with code {each.process.returncode}; it said last: {each.said_last()}")
        if clock.monotonic_ms() - began_ms > within_s * 1_000:
            raise Wrong(f"{else_say} (waited {within_s:.0f} s)")
        await clock.sleep(LOOK_S)
    return clock.monotonic_ms() - began_ms


def _word(value: Words) -> str:
    if value is None:
        return "auto"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ",".join(value)
