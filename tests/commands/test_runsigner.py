"""`manage.py runsigner`: the real process, asked over its socket, and what others can learn of it."""

import asyncio
import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from coincurve import PublicKey
from pytest_django.fixtures import Settings

from copytrading.models import Follower
from copytrading.wiring_signer import build_signer, build_vault
from execution.models import Secret, TradingAccount
from execution.orders import OrderPlan, keccak256, order_digest
from execution.ports import SignerRefused
from execution.signer.remote import RemoteSigner
from execution.signing import address_of
from execution.vault.keks import TextKeks
from execution.vault.vault import Vault
from ledger.db import ThreadedDatabase
from ledger.system import SystemClock, SystemEntropy
from tests.canaries import PRIVATE_KEY, hidden_keks, kek_text, leaks_in
from tests.conftest import ROOT
from tests.execution.signers import plan
from tests.factories import FollowerFactory

pytestmark = pytest.mark.django_db(transaction=True)

FAY = address_of(PRIVATE_KEY).lower()
OTHER = "0x" + "5a" * 20


@pytest.fixture
def accounts(settings: Settings) -> Follower:
    """Fay with a sealed key, and Fred whose key is not there."""
    settings.SLIPSTREAM_KEK = hidden_keks("k1")
    build_vault().put(f"PRIVATE_KEY:{FAY}", PRIVATE_KEY)
    fay = FollowerFactory(name="Fay", wallet=FAY, mode="EXCHANGE")
    fred = FollowerFactory(name="Fred", wallet=OTHER, mode="EXCHANGE")
    for follower in (fay, fred):
        TradingAccount.objects.create(follower=follower, signer=follower.wallet)
    return fay


def start(path: Path, database_url: str, **environment: str) -> "subprocess.Popen[str]":
    given = {"DATABASE_URL": database_url, "SLIPSTREAM_KEK": kek_text("k1"), "LOG_JSON": "true", **environment}
    return subprocess.Popen(
        [sys.executable, "manage.py", "runsigner", "--socket", str(path)],
        cwd=ROOT,
        env={**os.environ, **given},
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def signer(path: Path, database_url: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The process, listening."""
    process = start(path, database_url, **environment)
    assert process.stderr is not None
    try:
        while (line := process.stderr.readline()) and "signer-up" not in line:
            continue
        assert line, "it ended before it listened"
        yield process
    finally:
        process.kill()
        process.communicate()


def ask(path: Path, order: OrderPlan) -> bytes | str:
    async def asked() -> bytes:
        remote = RemoteSigner(path, answer_s=20)
        try:
            return await remote.sign_order(order, key=order.key)
        finally:
            await remote.close()

    try:
        return asyncio.run(asked())
    except SignerRefused as refused:
        return str(refused)


def signed_by(order: OrderPlan, signature: bytes | str) -> str:
    assert isinstance(signature, bytes), signature
    public = PublicKey.from_signature_and_message(
        signature[:64] + bytes((signature[64] - 27,)), order_digest(order), hasher=None
    )
    return "0x" + keccak256(public.format(compressed=False)[1:])[-20:].hex()


def test_it_signs_from_the_vault_and_one_missing_key_stops_nobody_else(
    accounts: Follower, tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "signer"
    freds = plan(maker=OTHER, signer=OTHER, key=OTHER)
    with signer(path, database_url) as process:
        assert f"There is no secret PRIVATE_KEY:{OTHER}" in str(ask(path, freds))
        assert signed_by(plan(), ask(path, plan())) == FAY
        TradingAccount.objects.filter(follower=accounts).update(state="STOPPED", stopped_at=SystemClock().now())
        asyncio.run(SystemClock().sleep(1.1))
        assert ask(path, plan()) == f"The account of {FAY} is stopped."
        process.send_signal(signal.SIGTERM)
        _out, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert leaks_in(said) == []
    assert not path.exists()


def test_it_starts_with_the_keys_that_an_engine_beside_it_must_not_have(
    accounts: Follower, tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "signer"
    Secret.objects.all().delete()
    TradingAccount.objects.exclude(follower=accounts).delete()
    # Credentials that the engine's own wrapping key seals, and a key that only the signer has.
    Vault(TextKeks(hidden_keks("k2")), SystemEntropy()).put(f"API_CREDENTIALS:{FAY}", b"sealed elsewhere")
    key = tmp_path / "key"
    key.write_text(f"{PRIVATE_KEY.hex()}\n")
    key.chmod(0o400)
    shared = {"SIGNER_SOCKET": str(path), "ENABLE_REAL_TRADING": "true", "TRADING_PRIVATE_KEY_FILE": str(key)}
    with signer(path, database_url, **shared):
        assert signed_by(plan(), ask(path, plan())) == FAY


HIDDEN = """
import ctypes
from execution.signer.hardening import hide_memory
before = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
print(before, hide_memory(), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_DUMPABLE is Linux's")
def test_a_hidden_process_can_neither_be_dumped_nor_debugged() -> None:
    told = subprocess.run([sys.executable, "-c", HIDDEN], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout == "1 True 0\n"


def test_it_leaves_no_core_file_and_a_second_one_is_refused(
    accounts: Follower, tmp_path: Path, database_url: str
) -> None:
    path = tmp_path / "signer"
    with signer(path, database_url) as process:
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert "Max core file size        0                    0" in limits
        second = start(path, database_url)
        _out, said = second.communicate(timeout=60)
        assert (second.returncode, "Another signer listens at" in said) == (1, True)
        assert signed_by(plan(), ask(path, plan())) == FAY


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SLIPSTREAM_KEK": ""}, "Stored secrets cannot be opened: they are sealed under key k1."),
        ({"SLIPSTREAM_KEK": kek_text("k2")}, "Stored secrets cannot be opened: they are sealed under key k1."),
        ({"TRADING_PRIVATE_KEY": "0x1234"}, "TRADING_PRIVATE_KEY: A private key has 64 hexadecimal digits"),
        ({"CHAIN_ID": "1"}, "Chain id 1 is unknown"),
    ],
    ids=["no key", "another key", "bad trading key", "unknown chain"],
)
def test_it_does_not_start_with_what_it_cannot_use(
    accounts: Follower, tmp_path: Path, database_url: str, environment: dict[str, str], sentence: str
) -> None:
    process = start(tmp_path / "signer", database_url, **environment)
    _out, said = process.communicate(timeout=60)
    assert (process.returncode, sentence in said) == (1, True), said
    assert leaks_in(said) == []


@pytest.mark.parametrize("command", ["check", "runsupervisor --source none --seconds 1"])
def test_nothing_starts_without_the_keys_of_stored_secrets(accounts: Follower, database_url: str, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "SLIPSTREAM_KEK": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Stored secrets cannot be opened: they are sealed under key k1." in done.stderr
    assert "SLIPSTREAM_KEK_PATH" in done.stderr


def test_without_a_socket_it_says_what_to_give(database_url: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "runsigner"],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": database_url, "SIGNER_SOCKET": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Give --socket PATH, or set SIGNER_SOCKET." in done.stderr


def test_the_engine_is_given_the_signer_that_the_settings_name(settings: Settings, accounts: Follower) -> None:
    database = ThreadedDatabase(1)
    try:
        settings.SIGNER_SOCKET = "/run/signer"
        assert isinstance(build_signer(database, SystemClock()), RemoteSigner)
        settings.SIGNER_SOCKET = ""
        local = build_signer(database, SystemClock())
        assert signed_by(plan(), asyncio.run(local.sign_order(plan(), key=FAY))) == FAY
    finally:
        database.close()


def test_an_engine_that_signs_itself_leaves_no_core_file(settings: Settings, accounts: Follower) -> None:
    database = ThreadedDatabase(1)
    try:
        settings.SIGNER_SOCKET = ""
        build_signer(database, SystemClock())
    finally:
        database.close()
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)


def test_the_benchmark_tells_of_every_kind_of_account() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "benchmark", "signing", "--orders", "100", "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert set(told["kinds"]) == {"type 0", "type 1", "type 2", "type 3", "session"}
    assert set(told["official_us"]) == {"type 0", "type 3"}
    assert (told["bound_us"], told["within"]) == (150, True)
