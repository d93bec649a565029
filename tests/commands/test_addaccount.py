"""`manage.py addaccount`: the key comes in by stdin or the terminal, goes into the vault, and nowhere else."""

import getpass
import io
import json
import sys

import pytest
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from pytest_django.fixtures import Settings

from copytrading.management.commands import addaccount
from copytrading.models import Follower
from copytrading.wiring_signer import build_vault
from execution.models import Position, Secret, TradingAccount
from execution.signing import address_of
from ledger.hidden import Hidden
from ledger.models import AuditEntry
from tests.canaries import OTHER_KEY, PRIVATE_KEY, SESSION_KEY, hidden_keks
from tests.factories import CopyTradeFactory, FollowerFactory

pytestmark = pytest.mark.django_db

WALLET, SESSION = address_of(PRIVATE_KEY).lower(), address_of(SESSION_KEY).lower()
LATER = "2099-01-31T12:00"


@pytest.fixture(autouse=True)
def keks(settings: Settings) -> None:
    settings.SLIPSTREAM_KEK = hidden_keks("k1")


@pytest.fixture
def fay() -> Follower:
    """Fay, whose wallet is the address of her key."""
    return FollowerFactory(name="Fay", wallet=WALLET)


class Piped(io.StringIO):
    """Stdin of a pipe."""


def add(monkeypatch: pytest.MonkeyPatch, *words: str, key: str = PRIVATE_KEY.hex()) -> str:
    monkeypatch.setattr(sys, "stdin", Piped(f"{key}\n"))
    output = io.StringIO()
    call_command("addaccount", "--follower", WALLET, *words, stdout=output)
    return output.getvalue()


def refused(monkeypatch: pytest.MonkeyPatch, *words: str, key: str = PRIVATE_KEY.hex()) -> str:
    with pytest.raises((CommandError, SystemExit)) as error:
        add(monkeypatch, *words, key=key)
    assert not Secret.objects.exists()
    assert not TradingAccount.objects.exists()
    assert not AuditEntry.objects.exists()
    assert not Follower.objects.exclude(mode="PAPER").exists()
    return str(error.value)


@pytest.mark.parametrize("form", [PRIVATE_KEY.hex(), "0x" + PRIVATE_KEY.hex(), f"  {PRIVATE_KEY.hex().upper()}  "])
def test_an_owner_gets_an_account_and_the_key_is_sealed(
    fay: Follower, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    told = json.loads(add(monkeypatch, "--kind", "EOA", "--json", key=form))
    assert told == {"follower": WALLET, "signer": WALLET, "kind": "EOA", "type": 0}
    fay.refresh_from_db()
    account = fay.account
    assert (fay.mode, account.kind, account.signer, account.signature_type) == ("EXCHANGE", "EOA", WALLET, 0)
    assert build_vault().open(f"PRIVATE_KEY:{WALLET}") == PRIVATE_KEY
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.before["mode"], entry.after["mode"]) == ("manage.py addaccount", "PAPER", "EXCHANGE")


def test_a_session_key_gets_an_account_with_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    follower = FollowerFactory(name="Fay", wallet=WALLET)
    told = add(monkeypatch, "--kind", "SESSION", "--valid-until", LATER, key=SESSION_KEY.hex())
    account = TradingAccount.objects.get(follower=follower)
    assert (account.kind, account.signer, account.signature_type) == ("SESSION", SESSION, 3)
    assert account.session_valid_until is not None
    assert account.session_valid_until.isoformat() == "2099-01-31T12:00:00+00:00"
    assert "until 2099-01-31 12:00 UTC" in told


@pytest.mark.parametrize("signature_type", [1, 2, 3])
def test_an_owners_key_may_sign_for_a_contract_wallet(
    fay: Follower, monkeypatch: pytest.MonkeyPatch, signature_type: int
) -> None:
    add(monkeypatch, "--kind", "EOA", "--signature-type", str(signature_type), key=OTHER_KEY.hex())
    assert fay.account.signature_type == signature_type


@pytest.mark.parametrize(
    ("words", "key", "sentence"),
    [
        ("--kind EOA", OTHER_KEY.hex(), "no EOA account. Nothing was changed."),
        ("--kind EOA --signature-type 1", PRIVATE_KEY.hex(), "the wallet is a contract"),
        ("--kind EOA --valid-until 2099-01-01", PRIVATE_KEY.hex(), "--valid-until is for session keys"),
        ("--kind SESSION", SESSION_KEY.hex(), "needs --valid-until with a moment that is still to come"),
        ("--kind SESSION --valid-until 2020-01-01", SESSION_KEY.hex(), "still to come"),
        ("--kind SESSION --valid-until 2099-01-01 --signature-type 2", SESSION_KEY.hex(), "signature type is 3"),
        ("--kind SESSION --valid-until 2099-01-01", PRIVATE_KEY.hex(), "the key of the wallet itself"),
        ("--kind EOA", "", "No key came from stdin"),
        ("--kind EOA", PRIVATE_KEY.hex()[:63], "this text has 63 characters"),
        ("--kind EOA", "zz" * 32, "hexadecimal digits alone"),
        ("--kind EOA", "00" * 32, "outside the range"),
        ("--kind EOA --valid-until soon", PRIVATE_KEY.hex(), "'soon' is no moment"),
        ("--kind OWNER", PRIVATE_KEY.hex(), "invalid choice"),
        ("--kind EOA --trading-key", PRIVATE_KEY.hex(), "TRADING_PRIVATE_KEY is not set"),
    ],
)
def test_bad_input_is_refused_with_a_sentence_and_nothing_is_written(
    fay: Follower, monkeypatch: pytest.MonkeyPatch, words: str, key: str, sentence: str
) -> None:
    assert sentence in refused(monkeypatch, *words.split(), key=key)


def test_raw_bytes_are_no_key(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    piped = io.TextIOWrapper(io.BytesIO(PRIVATE_KEY + b"\xff\n"), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", piped)
    with pytest.raises(CommandError, match="What came from stdin is no text") as error:
        call_command("addaccount", "--follower", WALLET, "--kind", "EOA")
    assert error.value.__cause__ is None
    assert not Secret.objects.exists()


def test_an_unknown_follower_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "There is no follower with the wallet" in refused(monkeypatch, "--kind", "EOA")


def test_a_key_in_place_of_the_wallet_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CommandError) as error:
        call_command("addaccount", "--follower", OTHER_KEY.hex(), "--kind", "EOA")
    assert "a wallet is 0x and 40 hexadecimal digits" in str(error.value)
    assert OTHER_KEY.hex() not in str(error.value) + "".join(capsys.readouterr())


def test_without_a_key_encryption_key_nobody_is_asked(
    fay: Follower, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.SLIPSTREAM_KEK = Hidden("")
    assert "No key-encryption key is set" in refused(monkeypatch, "--kind", "EOA")


def test_a_second_account_leaves_the_first(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    add(monkeypatch, "--kind", "EOA")
    with pytest.raises(CommandError, match="Fay has an account already"):
        add(monkeypatch, "--kind", "EOA", "--signature-type", "2", key=OTHER_KEY.hex())
    assert (TradingAccount.objects.get().signature_type, Secret.objects.count()) == (0, 1)


def test_one_key_is_for_one_account(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    TradingAccount.objects.create(follower=FollowerFactory(name="Fred"), signer=WALLET)
    with pytest.raises(CommandError, match="Another account with this follower or this key"):
        add(monkeypatch, "--kind", "EOA")
    assert not Secret.objects.exists()


def test_shares_on_paper_stay_on_paper(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    Position.objects.create(follower=fay, token_id=7, condition_id="0x" + "ab" * 32, size_micros=1)
    assert "Fay holds shares on paper" in refused(monkeypatch, "--kind", "EOA")


def test_orders_under_way_are_waited_for(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    CopyTradeFactory(pending=True, config__follower=fay, follower=fay)
    assert "Fay has orders under way" in refused(monkeypatch, "--kind", "EOA")


def test_the_trading_key_is_used_where_it_is_and_not_stored(
    fay: Follower, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings.TRADING_PRIVATE_KEY = Hidden("0x" + PRIVATE_KEY.hex())
    add(monkeypatch, "--kind", "EOA", "--trading-key", key="")
    assert (TradingAccount.objects.get().signer, Secret.objects.count()) == (WALLET, 0)


def test_at_a_terminal_the_key_is_typed_unseen(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def typed(prompt: str) -> str:
        asked.append(prompt)
        return PRIVATE_KEY.hex()

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", typed)
    call_command("addaccount", "--follower", WALLET, "--kind", "EOA", stdout=io.StringIO())
    assert asked == ["Private key (nothing is shown): "]
    assert TradingAccount.objects.get().signer == WALLET


def test_no_option_takes_a_key() -> None:
    options = {action.dest for action in addaccount.Command().create_parser("manage.py", "addaccount")._actions}
    ours = options - {action.dest for action in BaseCommand().create_parser("manage.py", "other")._actions}
    assert ours == {"follower", "kind", "signature_type", "valid_until", "trading_key", "json"}


def test_a_key_in_the_environment_is_not_looked_at(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADING_PRIVATE_KEY", PRIVATE_KEY.hex())
    assert "No key came from stdin" in refused(monkeypatch, "--kind", "EOA", key="")
