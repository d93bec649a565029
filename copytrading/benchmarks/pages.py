"""`benchmark pages`: what open dashboards cost the engine: its speed with none and with many of them."""

import json
import os
import socket  # noqa: TID251  (only to give the web process a free port)
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, get_backends, get_user_model
from django.contrib.auth.models import Group
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse

from copytrading.benchmarks.cast import require_scratch, seed_cast, seed_markets
from copytrading.benchmarks.rows import made_up_rows
from copytrading.benchmarks.runs import Run, Unfinished, run_at_full_speed
from copytrading.operations.cast import wallet_named
from copytrading.roles import VIEWER
from copytrading.sources.replay import ReplayFile
from ledger.system import SeededRandomness, SystemClock, SystemIds

ROOT = Path(__file__).resolve().parent.parent.parent

Write = Callable[[str], object]

PAGES = 100
ROUNDS = 3
COPIES = 20_000
FOLLOWERS = 100
WARM_UP_COPIES = 2_000
"""Not counted: imports, connections and caches of the first copies."""

STOP_S_MAX = 30
US = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One replay beside so many open pages. CPU of the web process is None where it cannot be read."""

    pages: int
    copies: int
    copies_per_s: float
    engine_us: float
    database_us: float | None
    web_ms: int | None
    elapsed_ms: int
    heard: Mapping[str, int]


def add_arguments(parser: ArgumentParser) -> None:
    """The subcommand's options."""
    parser.add_argument("--pages", type=int, default=PAGES, help=f"open dashboards (default {PAGES})")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"replays without and with them (default {ROUNDS})")
    parser.add_argument("--copies", type=int, default=COPIES, help=f"of each replay (default {COPIES})")
    parser.add_argument("--json", action="store_true", help="print one JSON line and nothing else")


def run(options: Mapping[str, Any], write: Write) -> None:
    """Replay by turns without and with open pages, and print. Raises NotScratch, Unfinished."""
    require_scratch()
    if options["pages"] < 1 or options["rounds"] < 1:
        raise Unfinished("--pages and --rounds must be at least 1: there would be nothing to compare.")
    keys = staff_sessions(options["pages"])
    _replay(min(WARM_UP_COPIES, options["copies"]), label="warm-up")
    rounds: list[Round] = []
    with web_process() as (address, process_id):
        for number in range(options["rounds"]):
            # By turns also within the pairs: what the database costs grows with its rows.
            for open_keys in ([], keys) if number % 2 == 0 else (keys, []):
                label = f"pages {number} {len(open_keys)}"
                rounds.append(_round(address, process_id, keys=open_keys, copies=options["copies"], label=label))
                if not options["json"]:
                    write(line_of(rounds[-1]))
    if options["json"]:
        write(json.dumps({"rounds": [asdict(each) for each in rounds]}, separators=(",", ":")))
    else:
        write(sentence_of(rounds))


def line_of(told: Round) -> str:
    """One round for people."""
    web = "unknown" if told.web_ms is None else f"{100 * told.web_ms / max(1, told.elapsed_ms):.0f} %"
    database = "" if told.database_us is None else f", {told.database_us} us of the database"
    heard = f", {told.heard['fetches']} fetches, {told.heard['failures']} failures" if told.heard else ""
    return (
        f"{told.pages} pages: {told.copies_per_s} copies a second, {told.engine_us} us of the engine for each"
        f"{database}; web process at {web} of a processor{heard}"
    )


def sentence_of(rounds: Sequence[Round]) -> str:
    """The median change from a replay without pages to its neighbour with them: a machine drifts, a pair hardly."""
    none, many = ([each for each in rounds if bool(each.pages) is there] for there in (False, True))
    speeds = [_percent(one.copies_per_s, other.copies_per_s) for one, other in zip(none, many, strict=True)]
    costs = [_percent(one.engine_us, other.engine_us) for one, other in zip(none, many, strict=True)]
    return (
        f"Median of {len(none)} pairs, none against {many[0].pages} pages: speed {median(speeds):+.1f} %, "
        f"the engine's own CPU for a copy {median(costs):+.1f} %. The pairs differ among themselves: speed "
        f"{min(speeds):+.1f} to {max(speeds):+.1f} %."
    )


def staff_sessions(number: int) -> list[str]:
    """Sessions of one new viewer who cannot sign in otherwise."""
    user = get_user_model().objects.create_user(f"benchmark {SystemIds().token()[:8]}", is_staff=True)
    user.groups.add(Group.objects.get(name=VIEWER))
    store = SessionMiddleware(lambda _request: HttpResponse()).SessionStore
    (backend, *_others) = get_backends()
    keys = []
    for _page in range(number):
        session = store()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = f"{type(backend).__module__}.{type(backend).__qualname__}"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        keys.append(str(session.session_key))
    return keys


@contextmanager
def web_process() -> Iterator[tuple[str, int]]:
    """A web process as operators run it, on a free port; its address and its process id."""
    with socket.create_server(("127.0.0.1", 0), backlog=1_024) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        own = {"ALLOWED_HOSTS": "127.0.0.1", "SECURE_PROXY": "false", "DJANGO_SETTINGS_MODULE": "config.settings"}
        command = [sys.executable, "-m", "daphne", "--fd", str(listener.fileno()), "config.asgi:application"]
        child = subprocess.Popen(  # noqa: S603
            command,
            cwd=ROOT,
            env={**os.environ, **own},
            pass_fds=[listener.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield address, child.pid
        finally:
            child.terminate()
            child.wait(STOP_S_MAX)


def _round(address: str, process_id: int, *, keys: Sequence[str], copies: int, label: str) -> Round:
    clock = SystemClock()
    with _readers(address, keys) as heard:
        web_ms, began_ms = process_cpu_ms(process_id), clock.monotonic_ms()
        made = _replay(copies, label=label)
        elapsed_ms, after_ms = round(clock.monotonic_ms() - began_ms), process_cpu_ms(process_id)
    return Round(
        pages=len(keys),
        copies=made.copies,
        copies_per_s=made.report["copies_per_s"],
        engine_us=round(made.cpu_ns / US / max(1, made.copies), 1),
        database_us=None if made.database_ms is None else round(made.database_ms * US / max(1, made.copies), 1),
        web_ms=None if web_ms is None or after_ms is None else after_ms - web_ms,
        elapsed_ms=elapsed_ms,
        heard=heard,
    )


@contextmanager
def _readers(address: str, keys: Sequence[str]) -> Iterator[dict[str, int]]:
    """Open pages, each with its session; at the end the dictionary is filled with what they heard."""
    heard: dict[str, int] = {}
    if not keys:
        yield heard
        return
    command = [sys.executable, "-m", "copytrading.benchmarks.readers", address]
    child = subprocess.Popen(  # noqa: S603
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        child.stdin.write(" ".join(keys) + "\n")
        child.stdin.flush()
        child.stdout.readline()  # all pages are open
        yield heard
        told, _errors = child.communicate(timeout=STOP_S_MAX)
        heard.update(json.loads(told))
    finally:
        child.kill()
        child.wait()


def _replay(copies: int, *, label: str) -> Run:
    rows = max(1, copies // FOLLOWERS)
    began_at = SystemClock().now()
    actions = made_up_rows(label, rows, randomness=SeededRandomness(1), began_at=began_at)
    seed_markets(actions, SystemClock())
    followers = seed_cast([wallet_named(f"benchmark leader:{label}")], FOLLOWERS, label=label)
    return run_at_full_speed([ReplayFile(name=label, readings=actions)], followers, measured=False)


def process_cpu_ms(process_id: int) -> int | None:
    """CPU milliseconds of a process so far, to a tick of the kernel; None where they cannot be read."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(stat[11]) + int(stat[12])) * 1_000 // os.sysconf("SC_CLK_TCK")


def _percent(before: float, after: float) -> float:
    return 100 * (after - before) / before if before else 0.0
