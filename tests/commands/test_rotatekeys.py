"""`manage.py rotatekeys`: moves secrets to another key, goes on after an interruption, and makes no key unasked."""

import io
import json
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from copytrading.wiring_signer import build_vault, refuse_lost_keys
from execution.models import Secret
from execution.vault import vault
from execution.vault.vault import Vault
from ledger.hidden import Hidden
from ledger.models import AuditEntry
from tests.canaries import OTHER_KEY, PRIVATE_KEY, hidden_keks

pytestmark = pytest.mark.django_db

NAMES = [f"PRIVATE_KEY:0x{number:040x}" for number in range(5)]


@pytest.fixture
def sealed(settings: Settings) -> Vault:
    """Five keys under k1; the settings have k2 before it."""
    settings.SLIPSTREAM_KEK = hidden_keks("k1")
    for name in NAMES:
        build_vault().put(name, PRIVATE_KEY)
    settings.SLIPSTREAM_KEK = hidden_keks("k2", "k1")
    return build_vault()


def rotate(*words: str) -> str:
    output = io.StringIO()
    call_command("rotatekeys", *words, stdout=output, stderr=io.StringIO())
    return output.getvalue()


def test_every_secret_moves_to_the_current_key(sealed: Vault, settings: Settings) -> None:
    assert json.loads(rotate("--json")) == {"behind": 5, "rewrapped": 5, "failed": 0, "by_key": {"k2": 5}}
    assert AuditEntry.objects.filter(actor="manage.py rotatekeys").count() == 5
    settings.SLIPSTREAM_KEK = hidden_keks("k2")
    assert {build_vault().open(name) for name in NAMES} == {PRIVATE_KEY}
    assert rotate() == "0 secrets re-wrapped, 0 failed. Now: 5 under k2.\n"


def test_a_dry_run_changes_nothing(sealed: Vault) -> None:
    assert rotate("--dry-run") == "5 secrets would be re-wrapped. Now: 5 under k1.\n"
    assert (sealed.versions(), AuditEntry.objects.count()) == ({"k1": 5}, 0)


def test_what_was_interrupted_goes_on(sealed: Vault) -> None:
    for name in NAMES[:2]:
        sealed.rewrap(name, actor="an earlier run")
    assert json.loads(rotate("--json"))["rewrapped"] == 3
    assert sealed.versions() == {"k2": 5}


def test_one_broken_row_stops_no_other(sealed: Vault) -> None:
    Secret.objects.filter(name=NAMES[1]).update(sealed=b"x" * 48)
    with pytest.raises(CommandError, match=f"The secret {NAMES[1]} cannot be opened: its row was changed"):
        rotate()
    assert sealed.versions() == {"k1": 1, "k2": 4}


def test_a_missing_old_key_is_named(sealed: Vault, settings: Settings) -> None:
    settings.SLIPSTREAM_KEK = hidden_keks("k2")
    with pytest.raises(CommandError, match="holds no key of version k1"):
        rotate()
    assert sealed.versions() == {"k1": 5}


def test_init_makes_a_private_file_once(tmp_path: Path, settings: Settings) -> None:
    settings.SLIPSTREAM_KEK_PATH = str(tmp_path / "keks")
    assert "The key file is made, with key k1." in rotate("--init")
    build_vault().put(NAMES[0], OTHER_KEY)
    assert build_vault().open(NAMES[0]) == OTHER_KEY
    Secret.objects.all().delete()
    with pytest.raises(CommandError, match="There is a key file already"):
        rotate("--init")


def test_init_makes_no_key_beside_secrets_that_it_could_not_open(
    sealed: Vault, tmp_path: Path, settings: Settings
) -> None:
    settings.SLIPSTREAM_KEK, settings.SLIPSTREAM_KEK_PATH = Hidden(""), str(tmp_path / "keks")
    with pytest.raises(CommandError, match="5 secrets are sealed already, and a new key would open none of them"):
        rotate("--init")
    assert list(tmp_path.iterdir()) == []


def test_add_makes_a_new_key_and_moves_everything_to_it(tmp_path: Path, settings: Settings) -> None:
    settings.SLIPSTREAM_KEK_PATH = str(tmp_path / "keks")
    rotate("--init")
    build_vault().put(NAMES[0], OTHER_KEY)
    assert rotate("--add") == "1 secrets re-wrapped, 0 failed. Now: 1 under k2.\n"
    assert build_vault().open(NAMES[0]) == OTHER_KEY


def test_a_new_key_does_not_take_the_number_of_a_missing_one(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "keks"
    settings.SLIPSTREAM_KEK_PATH = str(path)
    rotate("--init")
    only_first = path.read_text()
    rotate("--add")
    second = path.read_text().partition("\n")[0]
    build_vault().put(NAMES[0], OTHER_KEY)
    path.write_text(only_first)
    with pytest.raises(CommandError, match="holds no key of version k2; it has k3, k1"):
        rotate("--add")
    path.write_text(f"{path.read_text()}{second}\n")
    assert rotate() == "1 secrets re-wrapped, 0 failed. Now: 1 under k3.\n"


def test_a_second_add_only_puts_another_key_in_front(tmp_path: Path, settings: Settings) -> None:
    settings.SLIPSTREAM_KEK_PATH = str(tmp_path / "keks")
    rotate("--init")
    build_vault().put(NAMES[0], OTHER_KEY)
    for version in ("k2", "k3"):
        assert rotate("--add") == f"1 secrets re-wrapped, 0 failed. Now: 1 under {version}.\n"
    assert build_vault().open(NAMES[0]) == OTHER_KEY


class Killed(BaseException):
    """As SIGKILL: nothing is tidied up."""


@pytest.mark.django_db(transaction=True)
def test_a_run_killed_in_the_middle_leaves_every_secret_openable(
    sealed: Vault, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted = []

    def die(notes: object) -> None:
        noted.append(notes)
        if len(noted) == 3:
            raise Killed

    monkeypatch.setattr(vault, "write_audit", die)
    with pytest.raises(Killed):
        rotate()
    assert sealed.versions() == {"k1": 3, "k2": 2}
    assert {build_vault().open(name) for name in NAMES} == {PRIVATE_KEY}
    monkeypatch.undo()
    settings.SLIPSTREAM_KEK = hidden_keks("k2", "k1")
    assert json.loads(rotate("--json"))["rewrapped"] == 3


@pytest.mark.parametrize("word", ["--init", "--add"])
def test_keys_of_the_environment_are_made_by_nobody(word: str, sealed: Vault) -> None:
    with pytest.raises(CommandError, match="Name the key file with SLIPSTREAM_KEK_PATH"):
        rotate(word)


def secret_checks() -> list[str]:
    return [str(found.msg) for found in run_checks(tags=["secrets"])]


def test_a_boot_refuses_lost_keys_and_makes_none(sealed: Vault, tmp_path: Path, settings: Settings) -> None:
    assert secret_checks() == []
    refuse_lost_keys(build_vault(), "")
    settings.SLIPSTREAM_KEK, settings.SLIPSTREAM_KEK_PATH = Hidden(""), str(tmp_path / "keks")
    (sentence,) = secret_checks()
    assert sentence.startswith("Stored secrets cannot be opened: they are sealed under key k1. There is no key file at")
    with pytest.raises(ImproperlyConfigured, match="sealed under key k1"):
        refuse_lost_keys(build_vault(), "")
    assert list(tmp_path.iterdir()) == []


def test_no_key_set_at_all_is_told_where_secrets_are(sealed: Vault, settings: Settings) -> None:
    settings.SLIPSTREAM_KEK = Hidden("")
    (found,) = run_checks(tags=["secrets"])
    assert found.id == "slipstream.E042"
    assert found.hint == "Name the key file with SLIPSTREAM_KEK_PATH, or set SLIPSTREAM_KEK."


def test_an_engine_beside_a_signer_needs_no_private_keys(sealed: Vault, settings: Settings) -> None:
    settings.SLIPSTREAM_KEK, settings.SIGNER_SOCKET = hidden_keks("k2"), "/run/signer"
    build_vault().put("API_CREDENTIALS:0x00", OTHER_KEY)
    assert secret_checks() == []
    settings.SIGNER_SOCKET = ""
    assert len(secret_checks()) == 1
