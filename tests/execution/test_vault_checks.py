"""What is said about keys at every start, and that no page, setting or log line shows one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib import admin
from django.core.checks import run_checks
from django.views.debug import SafeExceptionReporterFilter
from pytest_django.fixtures import Settings

from config import secrets
from config.declare import Declarations
from config.redaction import HIDDEN, Redaction
from execution.models import Secret
from execution.signing import address_of
from ledger.hidden import Hidden
from ledger.system import SystemEntropy
from tests.canaries import KEKS, OTHER_KEY, PRIVATE_KEY, hidden_keks, kek_text, leaks_in
from tests.conftest import ROOT


def told() -> list[tuple[str | None, str]]:
    return [(found.id, str(found.msg)) for found in run_checks(tags=["slipstream"])]


def test_real_money_needs_a_key_encryption_key(settings: Settings) -> None:
    assert told() == []
    settings.ENABLE_REAL_TRADING = True
    ((number, sentence),) = told()
    assert number == "slipstream.E040"
    assert sentence.startswith("No key-encryption key is set")
    settings.SLIPSTREAM_KEK = hidden_keks("k1")
    assert told() == []


@pytest.mark.parametrize(
    ("name", "value", "number"),
    [
        ("SLIPSTREAM_KEK", Hidden(kek_text("k1")[3:]), "slipstream.E040"),
        ("SLIPSTREAM_KEK", Hidden("k1:" + PRIVATE_KEY.hex()), "slipstream.E040"),
        ("TRADING_PRIVATE_KEY", Hidden(PRIVATE_KEY.hex() + "0"), "slipstream.E041"),
    ],
)
def test_a_setting_that_is_no_key_is_refused_without_being_shown(
    settings: Settings, name: str, value: Hidden, number: str
) -> None:
    setattr(settings, name, value)
    (found,) = run_checks(tags=["slipstream"])
    assert (found.id, leaks_in(f"{found.msg} {found.hint}")) == (number, [])
    assert name in found.msg


def test_two_sources_of_keys_are_refused(settings: Settings) -> None:
    settings.SLIPSTREAM_KEK, settings.SLIPSTREAM_KEK_PATH = hidden_keks("k1"), "/run/keks"
    ((number, sentence),) = told()
    assert (number, "both set" in sentence) == ("slipstream.E040", True)


def test_a_key_file_is_looked_for_where_real_money_is(settings: Settings) -> None:
    settings.SLIPSTREAM_KEK_PATH = "/nowhere/keks"
    assert told() == []
    settings.ENABLE_REAL_TRADING = True
    assert "There is no key file at /nowhere/keks" in told()[0][1]


def test_an_error_page_shows_no_key(settings: Settings) -> None:
    settings.SLIPSTREAM_KEK, settings.TRADING_PRIVATE_KEY = hidden_keks("k1"), Hidden(PRIVATE_KEY.hex())
    shown = SafeExceptionReporterFilter().get_safe_settings()
    assert "SLIPSTREAM_KEK" in shown
    assert leaks_in(f"{shown!r} {shown}") == []


def test_sealed_secrets_have_no_page_in_the_admin() -> None:
    assert not admin.site.is_registered(Secret)


def test_a_hidden_text_is_shown_by_nothing_but_asking() -> None:
    held = Hidden(PRIVATE_KEY.hex())
    assert (str(held), f"{held!r}", bool(held), bool(Hidden(""))) == ("<hidden>", "<hidden>", True, False)
    assert held.reveal() == PRIVATE_KEY.hex()
    with pytest.raises(TypeError, match="never copied or written out"):
        held.__reduce__()


@pytest.mark.parametrize("before", ["", "0x", "0X", " 0x"])
def test_a_key_is_hidden_however_it_was_written(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    monkeypatch.setattr(secrets, "TRADING_PRIVATE_KEY", Hidden(before + PRIVATE_KEY.hex()))
    assert leaks_in(Redaction(secrets.known_secrets()).text(f"it is {PRIVATE_KEY.hex()} here")) == []


@pytest.mark.parametrize("length", [65, 317, 480])
def test_no_signature_of_any_account_stands_in_a_log_line(length: int) -> None:
    signature = SystemEntropy().draw(length).hex()
    for text in (signature, "0x" + signature):
        assert Redaction().text(f"the venue took {text}, it says") == f"the venue took {HIDDEN}, it says"


def test_what_a_setting_was_given_is_in_no_repr() -> None:
    declare = Declarations({"TRADING_PRIVATE_KEY": PRIVATE_KEY.hex()})
    declare.secret("TRADING_PRIVATE_KEY", default="", shown_default="none", meaning="A key.")
    assert leaks_in(f"{declare.settings!r}") == []
    assert "(set)" in [setting.shown for setting in declare.settings]


def test_a_key_file_that_everybody_can_read_is_warned_of(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text(PRIVATE_KEY.hex())
    settings.SECRET_FILES = {"TRADING_PRIVATE_KEY": str(path)}
    for mode, found in ((0o644, ["slipstream.W043"]), (0o640, []), (0o400, [])):
        path.chmod(mode)
        assert [number for number, _sentence in told()] == found


STARTED = """
import django; django.setup()
from django.conf import settings; from django.core.checks import run_checks
from execution.signing import address_of, private_key_from
print(address_of(private_key_from(settings.TRADING_PRIVATE_KEY.reveal())).lower())
print(*[each.id for each in run_checks(tags=["slipstream"]) if each.id[-2:] in ("41", "43", "44")])
"""


@pytest.mark.parametrize(
    ("text", "mode", "beside", "numbers"),
    [
        (f"{PRIVATE_KEY.hex()}\n", 0o600, "", ""),
        (f"0x{PRIVATE_KEY.hex()}\r\n", 0o644, "", "slipstream.W043"),
        (f"{PRIVATE_KEY.hex()}", 0o600, OTHER_KEY.hex(), "slipstream.W044"),
    ],
    ids=["a line break", "open to all", "both set"],
)
def test_a_process_takes_its_key_from_the_file(tmp_path: Path, text: str, mode: int, beside: str, numbers: str) -> None:
    path = tmp_path / "key"
    path.write_bytes(text.encode())
    path.chmod(mode)
    given = {"TRADING_PRIVATE_KEY_FILE": str(path), "TRADING_PRIVATE_KEY": beside, "DATABASE_URL": "sqlite:///unused"}
    done = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=ROOT,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split("\n")[:2] == [address_of(PRIVATE_KEY).lower(), numbers], done.stderr


def test_log_lines_hide_the_keys_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "SLIPSTREAM_KEK", hidden_keks("k1", "k2"))
    monkeypatch.setattr(secrets, "TRADING_PRIVATE_KEY", Hidden("0x" + PRIVATE_KEY.hex()))
    known = secrets.known_secrets()
    redact = Redaction(known)
    for text in (PRIVATE_KEY.hex(), "0x" + PRIVATE_KEY.hex().upper(), kek_text("k2"), KEKS["k1"].hex(), str(KEKS)):
        line = redact.text(f"it is {text} here")
        assert HIDDEN in line
        assert leaks_in(line) == []


@pytest.mark.parametrize("command", ["settings", "settings --json", "diffsettings --all", "check"])
def test_no_command_that_tells_of_settings_tells_a_key(command: str) -> None:
    given = {
        "SLIPSTREAM_KEK": kek_text("k1"),
        "TRADING_PRIVATE_KEY": PRIVATE_KEY.hex(),
        "DATABASE_URL": "sqlite:///unused",
    }
    done = subprocess.run(
        [sys.executable, "manage.py", *command.split()],
        cwd=ROOT,
        env={**os.environ, **given, "REDIS_URL": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert leaks_in(done.stdout + done.stderr) == []
