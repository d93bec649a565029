"""The stage of `benchmark latency` and `fanout`: sandbox and engine in processes of their own, real orders between.

Keys and accounts are made up for the run, sealed under a key of the run, in the scratch database.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from django.db.models import Count

from copytrading.benchmarks.cast import require_scratch
from copytrading.benchmarks.runs import Unfinished
from copytrading.benchmarks.timeline import Stamp, Travelled, Unpaired, travelled
from copytrading.models import CopyConfig, CopyTrade, Follower, SignalCursor
from copytrading.operations.accounts import NewAccount, add_account
from copytrading.operations.cast import seed_leaders
from copytrading.operations.hearing import HEARD
from copytrading.states import Status
from copytrading.verification.processes import PROGRAM, EngineProcess, Words, environment_with, until
from copytrading.verification.steps import Wrong
from execution.http import Answer, HttpDown, SharedHttp
from execution.models import TradingAccount
from execution.sandbox.exchange.page import PATH as EXCHANGE_PATH
from execution.sandbox.markets import make_markets
from execution.signing import address_of
from execution.vault.keks import FileKeks
from execution.vault.vault import Vault
from ledger.db import ThreadedDatabase
from ledger.system import SystemClock, SystemEntropy
from ledger.units import ONE

SEED = 1
SANDBOX = (
    *("runsandbox", "--json", "--seed", str(SEED), "--leaders", "1", "--chain", "off"),
    # Nothing happens by itself, and what happens is shown at once: the venue's own delay is not what is measured.
    *("--rate", "0", "--delays", "0"),
)
READY_S_MAX, COPIED_S_MAX, END_S_MAX = 90, 60, 30
WARM_UP = 12
"""Signals before the first that is measured, so that each market was traded: connections, caches, books in play."""

QUIET_S = 0.4
"""After a trade nobody looks for so long: on a small machine the looking would be measured too."""

SETTLED_SOON = {"broadcast_ms": 50, "mined_ms": 200, "confirmed_ms": 200}
"""The sandbox's settlement, which is behind what is measured."""

IDLE_S = 0.25
"""Between two signals, when every copy of the one before is settled and booked: the engine is idle."""

CASH_MICROS = 100_000 * ONE
LEADER_SHARES = 50 * ONE
TERMS: Mapping[str, Any] = {"sizing": "SHARES", "shares_micros": 10 * ONE, "slippage_bps_max": 5_000}
"""A copy of ten shares at whatever the book asks: it is timed here, not priced."""

FAR_APART_BPS = 5_000
"""Prices are judged, and none is bad: a hundred copies of each trade walk far into the sandbox's books."""

NOT_SENT = (Status.SKIPPED, Status.READY)
ENDED = (Status.SKIPPED, Status.EXECUTED, Status.FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One measurement."""

    followers: int
    signals: int
    settings: Mapping[str, Words] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SandboxProcess:
    """A running `runsandbox`: the settings that point at it, its leader, and its own page."""

    environment: Mapping[str, str]
    leader: str
    control: str


def measured(asked: Asked) -> list[Travelled]:
    """The ways of so many signals, one after the other. Raises NotScratch, or Unfinished with a sentence."""
    try:
        with tempfile.TemporaryDirectory(prefix="slipstream-orders-") as name, _sandbox(Path(name)) as box:
            return asyncio.run(_measured(asked, box, Path(name)))
    except (Wrong, HttpDown) as trouble:
        raise Unfinished(str(trouble)) from None


async def _measured(asked: Asked, box: SandboxProcess, folder: Path) -> list[Travelled]:
    doors = _Doors(ThreadedDatabase(1), SharedHttp(), SystemClock())
    try:
        return await _Stage(box, doors, folder=folder, asked=asked).measure()
    finally:
        await doors.http.close()
        doors.database.close()


@dataclass(frozen=True, slots=True)
class _Doors:
    database: ThreadedDatabase
    http: SharedHttp
    clock: SystemClock


class _Stage:
    def __init__(self, box: SandboxProcess, doors: _Doors, *, folder: Path, asked: Asked) -> None:
        self._box, self._database, self._http, self._clock = box, doors.database, doors.http, doors.clock
        self._folder, self._asked = folder, asked
        self._tokens = [market.token_ids[0] for market in make_markets(SEED)]
        self._traded = 0

    async def measure(self) -> list[Travelled]:
        """Make the cast, start the engine, let the leader trade, and read what the engine stamped."""
        keys = self._folder / "keks"
        wallets = await self._database.run(_cast, self._box.leader, self._asked.followers, keys)
        await self._tell(
            EXCHANGE_PATH, [{"do": "fund", "wallet": each, "pusd_micros": CASH_MICROS} for each in wallets]
        )
        await self._tell(EXCHANGE_PATH, {"do": "set_times", **SETTLED_SOON})
        settings: dict[str, Words] = {
            "RPC_URLS": "",
            "TRADING_GEOBLOCK_URL": "",
            **self._box.environment,
            "ENABLE_REAL_TRADING": True,
            "COPY_TRADING_DRY_RUN": False,
            "BREAKER_PRICE_APART_BPS": FAR_APART_BPS,
            "SIGNER_SOCKET": "",
            "SLIPSTREAM_KEK": "",
            "SLIPSTREAM_KEK_PATH": str(keys),
            "TRADING_PRIVATE_KEY": "",
            **self._asked.settings,
        }
        stamped = self._folder / "stamps.json"
        with _engine(settings, self._folder, stamped) as engine:
            await until(
                self._clock, self._ready, within_s=READY_S_MAX, else_say="The engine was not ready.", alive=[engine]
            )
            hashes = [await self._one(engine) for _signal in range(WARM_UP + self._asked.signals)]
            engine.ask_to_stop()
            await until(self._clock, _ended(engine), within_s=END_S_MAX, else_say="The engine did not end.")
            if engine.process.returncode:
                raise Wrong(f"The engine ended with code {engine.process.returncode}: {engine.said_last()}")
        return await self._paired(hashes[WARM_UP:], json.loads(stamped.read_text()))

    async def _ready(self) -> bool:
        return await self._database.run(_everybody_ready)

    async def _one(self, engine: EngineProcess) -> str:
        """The leader trades; return its transaction when every copy of it has come to its end, and all is quiet."""
        token = self._tokens[self._traded % len(self._tokens)]
        self._traded += 1
        order = {"wallet": self._box.leader, "token_id": str(token), "side": "BUY", "shares_micros": LEADER_SHARES}
        told = await self._tell("/_sandbox/trades", order)
        tx_hash = str(told["tx_hash"])
        await self._clock.sleep(QUIET_S)

        async def ended() -> bool:
            return await self._database.run(_all_ended, tx_hash, self._asked.followers)

        await until(self._clock, ended, within_s=COPIED_S_MAX, else_say="A signal was not copied.", alive=[engine])
        await self._clock.sleep(IDLE_S)
        return tx_hash

    async def _paired(self, hashes: Sequence[str], told: Mapping[str, Any]) -> list[Travelled]:
        stamps = [Stamp(what=what, at_ms=at_ms, salt=salt) for what, at_ms, salt in told["stamps"]]
        frames = sorted((at_ms, frame) for at_ms, frame in told["frames"])
        firsts = [next((at_ms for at_ms, frame in frames if tx in frame), None) for tx in hashes]
        if None in firsts:
            raise Unfinished("A trade of the leader came by another source than the stream; nothing was measured.")
        ends = [*firsts[1:], float("inf")]
        found = []
        for tx_hash, frame_ms, until_ms in zip(hashes, firsts, ends, strict=True):
            salts = await self._database.run(_salts, tx_hash)
            assert frame_ms is not None and until_ms is not None
            try:
                found.append(travelled(frame_ms, stamps, salts=salts, until_ms=until_ms))
            except Unpaired as error:
                raise Unfinished(f"{error} {await self._database.run(_outcomes)}") from None
        return found

    async def _tell(self, path: str, content: object) -> Any:
        url = self._box.control.removesuffix("/_sandbox") + path
        answer: Answer = await self._http.post(url, body=json.dumps(content).encode(), timeout_s=10)
        if answer.status != 200:
            raise Wrong(f"The sandbox answered {answer.status}: {answer.body[:200].decode(errors='replace')}")
        return json.loads(answer.body)


def _ended(engine: EngineProcess) -> Any:
    async def ended() -> bool:
        return not engine.is_alive()

    return ended


@contextmanager
def _sandbox(folder: Path) -> Iterator[SandboxProcess]:
    with (folder / "sandbox.log").open("wb") as log:
        child = subprocess.Popen(  # noqa: S603  (this program)
            [sys.executable, str(PROGRAM), *SANDBOX], stdout=subprocess.PIPE, stderr=log
        )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise Wrong(f"The sandbox did not start; see what `manage.py {' '.join(SANDBOX)}` says.")
        told = json.loads(line)
        yield SandboxProcess(told["environment"], told["leaders"][0]["wallet"], told["control"])
    finally:
        child.terminate()
        child.wait(END_S_MAX)


@contextmanager
def _engine(settings: Mapping[str, Words], folder: Path, stamped: Path) -> Iterator[EngineProcess]:
    path = folder / "engine.log"
    command = [sys.executable, "-m", "copytrading.benchmarks.timed_engine", str(stamped)]
    with path.open("wb") as log:
        child = subprocess.Popen(  # noqa: S603  (this program)
            command, cwd=PROGRAM.parent, env=environment_with(settings), stdout=subprocess.DEVNULL, stderr=log
        )
    engine = EngineProcess(child, path)
    try:
        yield engine
    finally:
        engine.kill()


def _cast(leader: str, followers: int, keys: Path) -> list[str]:
    """The leader, and so many followers with an account each; their wallets. No money hangs on these keys."""
    require_scratch()
    (row,) = seed_leaders({leader: "Leader"}, holdings_complete=True)
    entropy = SystemEntropy()
    FileKeks(keys).make(entropy)
    vault = Vault(FileKeks(keys), entropy)
    wallets = []
    for number in range(1, followers + 1):
        secret = sha256(f"slipstream benchmark {number}".encode()).digest()
        wallet = address_of(secret).lower()
        follower = Follower.objects.create(wallet=wallet, name=f"Benchmark follower {number}")
        CopyConfig.objects.create(leader=row, follower=follower, **TERMS)
        new = NewAccount(wallet=wallet, signer=wallet, kind=TradingAccount.Kind.EOA, signature_type=0)
        add_account(new, secret, vault=vault, actor="manage.py benchmark")
        wallets.append(wallet)
    return wallets


def _everybody_ready() -> bool:
    if not SignalCursor.objects.filter(source=HEARD).exists():
        return False
    rows = list(TradingAccount.objects.values_list("missing", "synced_at"))
    return all(missing == [] and synced is not None for missing, synced in rows)


def _all_ended(tx_hash: str, followers: int) -> bool:
    rows = CopyTrade.objects.filter(signal__group__tx_hash=tx_hash)
    return rows.filter(status__in=ENDED).count() >= followers


def _salts(tx_hash: str) -> frozenset[int]:
    rows = CopyTrade.objects.filter(signal__group__tx_hash=tx_hash).exclude(status__in=NOT_SENT)
    return frozenset(salt for salt in rows.values_list("salt", flat=True) if salt is not None)


def _outcomes() -> str:
    """What became of the copies, for a sentence about a run that failed."""
    counts = CopyTrade.objects.values_list("status", "reasons").annotate(number=Count("pk")).order_by("-number")[:5]
    told = (f"{number} {status} {[each['reason'] for each in reasons]}" for status, reasons, number in counts)
    return f"Copies: {'; '.join(told)}."
