"""`manage.py demo` in a checkout of its own: its report, its pages while it runs, and nothing left afterwards."""

import http.client
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from copytrading.management.commands.demo import Command
from execution.sandbox.anvil import MODULES
from tests.commands.test_replay import KEYS
from tests.conftest import ROOT

WAIT_S = 60

pytestmark = pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="needs /proc to see what is left running")


class Demo:
    """A running demo; `told` is what it has said on its standard error so far."""

    def __init__(self, folder: Path, *words: str, **more: str) -> None:
        self.folder = folder
        self.told = ""
        self._process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", *words],
            cwd=folder,
            env={**os.environ, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a terminal of its own, for Ctrl-C
        )
        self._listener = Thread(target=self._listen)
        self._listener.start()

    @property
    def pid(self) -> int:
        """The id of the command's own process."""
        return self._process.pid

    def press_ctrl_c(self) -> None:
        """What a terminal does: SIGINT for the whole group in front."""
        os.killpg(self._process.pid, signal.SIGINT)

    def wait_for(self, pattern: str) -> str:
        """The first group of the pattern once the demo has said it."""
        give_up = time.monotonic() + WAIT_S
        while not (found := re.search(pattern, self.told)):
            assert self._process.poll() is None, self.told
            assert time.monotonic() < give_up, self.told
            time.sleep(0.05)
        return found.group(1)

    def finish(self) -> tuple[int, str]:
        """Exit code and standard output."""
        assert self._process.stdout is not None
        output = self._process.stdout.read()
        code = self._process.wait(WAIT_S)
        self._listener.join(WAIT_S)
        self._process.stdout.close()
        return code, output

    def running(self) -> list[str]:
        """The command lines of every process in the demo's folder."""
        found = []
        for link in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if link.readlink() == self.folder:
                    found.append((link.parent / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue  # it has ended meanwhile, or is somebody else's
        return found

    def process_of(self, command: str) -> int:
        """The id of the process in the demo's folder that runs this command."""
        (found,) = [
            int(link.parent.name)
            for link in Path("/proc").glob("[0-9]*/cwd")
            if link.exists()
            and link.resolve() == self.folder
            and command in (link.parent / "cmdline").read_text().split("\0")
        ]
        return found

    def warnings(self) -> list[str]:
        """What the engine and the pages have logged while they ran that would frighten somebody."""
        logs = (self.folder / ".demo" / name for name in ("engine.log", "web.log"))
        lines = [line for log in logs for line in log.read_text().splitlines()]
        access = re.compile(r"[0-9.:]+ - - \[")  # daphne's own lines
        loud = [line for line in lines if '"level": "info"' not in line and not access.match(line)]
        # Whoever stops in the middle of a question is told that it was cut off.
        return [line for line in loud if '"action": "stop"' not in line]

    def end(self) -> None:
        """Kill what a failed test left, by the ids of the demo's own folder."""
        for link in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if link.readlink() == self.folder:
                    os.kill(int(link.parent.name), signal.SIGKILL)
            except OSError:
                continue
        self._process.wait()
        self._listener.join(WAIT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self.told += line


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the program: a demo in the developer's own checkout would lose its database to this one."""
    folder = tmp_path / "checkout"
    unwanted = shutil.ignore_patterns(".*", "*.sqlite3*", "__pycache__", "node_modules", "tests", "docs")
    shutil.copytree(ROOT, folder, ignore=unwanted)
    return folder


@pytest.fixture
def chain(checkout: Path) -> None:
    """The checkout has the local chain's parts, where this machine has them."""
    if MODULES.exists():
        (checkout / MODULES.relative_to(ROOT)).symlink_to(MODULES)


@pytest.fixture
def demos(checkout: Path) -> Iterator[list[Demo]]:
    """Put a demo here and it is ended with the test."""
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.end()


def get(address: str, path: str) -> int:
    """The status of a page."""
    browser = http.client.HTTPConnection(address, timeout=10)
    try:
        browser.request("GET", path)
        return browser.getresponse().status
    finally:
        browser.close()


ADDRESS = r"Dashboard: http://([0-9.]+:[0-9]+)/"


def wait_for_pages(demo: Demo) -> str:
    """The printed address, once it answers."""
    address, give_up = demo.wait_for(ADDRESS), time.monotonic() + WAIT_S
    while True:
        try:
            get(address, "/")
            return address
        except OSError:
            assert time.monotonic() < give_up
            time.sleep(0.1)


@pytest.mark.usefixtures("chain")
def test_demo_reports_shows_its_pages_and_leaves_nothing_running(checkout: Path, demos: list[Demo]) -> None:
    # Nowhere else than into the sandbox, whatever an installation's environment says.
    elsewhere = {
        "RPC_URLS": "http://127.0.0.1:9",
        "DATA_API_URL": "http://127.0.0.1:9",
        "CONTRACT_ROUTER": "0x" + "11" * 20,
    }
    demos.append(demo := Demo(checkout, "--seconds", "9", "--json", **elsewhere))
    address = wait_for_pages(demo)
    assert (get(address, "/"), get(address, "/admin/login/")) == (302, 200)
    assert demo.wait_for("login: (olga)") and len(demo.wait_for(r"password: (\S+)")) >= 12
    code, output = demo.finish()
    assert code == 0, demo.told
    (line,) = output.splitlines()
    report = json.loads(line)
    assert tuple(report) == KEYS
    assert report["signals"] > 0 and report["copies"]["EXECUTED"] > 0
    assert report["leader_size_micros"] == report["signal_size_micros"]
    assert sum(report["copies"].values()) == report["signals"] * 50
    assert (report["unreadable"], report["dropped"]) == (0, 0)
    assert demo.warnings() == []
    assert demo.running() == []


def test_without_the_chains_parts_it_says_how_to_get_them_and_runs_without(checkout: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(checkout, "--seconds", "4", "--rate", "5", "--json"))
    assert demo.wait_for("(run `make node`|runs on Linux)")
    code, output = demo.finish()
    assert code == 0, demo.told
    assert json.loads(output)["signals"] > 0
    assert demo.warnings() == []


def test_sandbox_that_dies_ends_the_demo_in_a_sentence(checkout: Path, demos: list[Demo]) -> None:
    demos.append(demo := Demo(checkout))
    wait_for_the_engine(demo)
    os.kill(demo.process_of("runsandbox"), signal.SIGKILL)
    assert demo.finish() == (1, "")
    assert "The sandbox ended; see .demo/sandbox.log." in demo.told
    assert demo.running() == []


class Terminal(io.StringIO):
    """Text that is shown to people."""

    def isatty(self) -> bool:
        return True


def test_address_and_password_are_not_in_the_colour_of_errors() -> None:
    screen = Terminal()
    command = Command(stderr=screen, force_color=True)  # type: ignore[arg-type]  # the stubs want a TextIOWrapper
    command._greet(8000, "hunter22")
    assert "password: hunter22\n" in screen.getvalue() and "\x1b" not in screen.getvalue()
    command.stderr.write("An error.")
    assert "\x1b" in screen.getvalue()


def wait_for_the_engine(demo: Demo) -> None:
    """It has begun to work."""
    log, give_up = demo.folder / ".demo" / "engine.log", time.monotonic() + WAIT_S
    while not (log.exists() and "Shard taken" in log.read_text()):
        assert time.monotonic() < give_up, demo.told
        time.sleep(0.05)


@pytest.mark.parametrize("early", [False, True], ids=["working", "just started"])
def test_ctrl_c_ends_the_demo_and_leaves_nothing_running(checkout: Path, demos: list[Demo], early: bool) -> None:
    demos.append(demo := Demo(checkout))
    demo.wait_for(ADDRESS)
    if not early:
        wait_for_the_engine(demo)
    assert len(demo.running()) >= 5  # the command, itself again on its own database, sandbox, web, engine
    demo.press_ctrl_c()
    assert demo.finish() == (0, ""), demo.told
    assert demo.running() == []


def test_demo_never_touches_the_database_of_an_installation(checkout: Path, demos: list[Demo], tmp_path: Path) -> None:
    real = tmp_path / "installation.sqlite3"
    (tmp_path / "database_url").write_text(f"sqlite:///{real}", encoding="utf-8")
    (checkout / ".env").write_text(f"DATABASE_URL_FILE={tmp_path / 'database_url'}\n", encoding="utf-8")
    demos.append(demo := Demo(checkout))
    demo.wait_for(ADDRESS)
    demo.press_ctrl_c()
    demo.finish()
    assert (checkout / ".demo" / "demo.sqlite3").exists() and not real.exists()


def test_second_demo_in_a_checkout_leaves_the_first_and_its_database_alone(checkout: Path, demos: list[Demo]) -> None:
    demos.append(first := Demo(checkout))
    address = wait_for_pages(first)
    database = checkout / ".demo" / "demo.sqlite3"
    before = database.stat().st_ino
    demos.append(second := Demo(checkout))
    assert second.finish() == (1, "")
    assert f"A demo runs in this checkout already (process {first.pid})" in second.told
    assert (database.stat().st_ino, get(address, "/admin/login/")) == (before, 200)
    first.press_ctrl_c()
    assert first.finish()[0] == 0, first.told
    demos.append(third := Demo(checkout, "--seconds", "1"))
    assert third.finish()[0] == 0, third.told
