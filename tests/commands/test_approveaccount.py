"""`manage.py approveaccount` as an operator runs it where it must not send; tests/exchange has it sending."""

import sys
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from copytrading.models import Follower
from copytrading.wiring_approvals import refuse_to_send
from execution.models import TradingAccount
from ledger.models import AuditEntry
from ledger.system import SystemClock
from tests.canaries import hidden_keks
from tests.factories import FollowerFactory

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

HERE, AWAY = "http://127.0.0.1:9", "https://node.example/key"


@pytest.fixture(autouse=True)
def sandbox(settings: Settings) -> None:
    """A sandbox where nobody listens."""
    settings.CLOB_URL, settings.RPC_URLS, settings.SLIPSTREAM_KEK = HERE, HERE, hidden_keks("k1")
    settings.ENABLE_REAL_TRADING = False


@pytest.fixture
def fay() -> Follower:
    follower = FollowerFactory(mode=Follower.Mode.EXCHANGE)
    TradingAccount.objects.create(follower=follower, signer=follower.wallet)
    return follower


def refused(wallet: str, *words: str) -> str:
    with pytest.raises(CommandError) as error:
        call_command("approveaccount", "--wallet", wallet, *words, stdout=StringIO())
    assert not AuditEntry.objects.filter(action="approve").exists()
    return str(error.value)


def test_an_unknown_wallet_is_told_and_a_key_in_its_place_is_not_repeated() -> None:
    assert "No trading account has this wallet" in refused("0x" + "AB" * 20, "--yes")
    assert "11" * 32 not in refused("11" * 32, "--yes")


def test_accounts_of_other_kinds_are_refused(fay: Follower) -> None:
    TradingAccount.objects.update(signature_type=2, signer="0x" + "5a" * 20)
    assert "is no EOA: its owner enables trading on the venue's site" in refused(fay.wallet, "--yes")
    assert "No trading account has this wallet" in refused("0x" + "5a" * 20, "--yes")


def test_a_stopped_account_is_refused(fay: Follower) -> None:
    TradingAccount.objects.update(state="STOPPED", stopped_why="It was banned.", stopped_at=SystemClock().now())
    assert refused(fay.wallet, "--yes").endswith("is stopped: It was banned.")


def test_without_a_terminal_it_wants_to_be_told(fay: Follower, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("yes\n"))
    assert "give --yes to send, or --dry-run to look" in refused(fay.wallet)
    assert "not allowed with argument" in refused(fay.wallet, "--yes", "--dry-run")


def test_without_nodes_or_an_answer_nothing_is_known(fay: Follower, settings: Settings) -> None:
    assert "No node of the chain answers" in refused(fay.wallet, "--dry-run")
    settings.RPC_URLS = ""
    assert "RPC_URLS is not set" in refused(fay.wallet, "--dry-run")
    settings.RPC_URLS, settings.CHAIN_ID = HERE, 80002
    assert "CONTRACT_COLLATERAL" in refused(fay.wallet, "--dry-run")


@pytest.mark.parametrize(("venue", "nodes"), [(AWAY, HERE), (HERE, AWAY), (HERE, f"{HERE},{AWAY}"), (HERE, "")])
def test_beside_a_sandbox_real_trading_must_be_on(fay: Follower, settings: Settings, venue: str, nodes: str) -> None:
    settings.CLOB_URL, settings.RPC_URLS = venue, nodes
    if nodes:
        assert "Transactions cost real money: set ENABLE_REAL_TRADING=true" in refused(fay.wallet, "--yes")
    settings.ENABLE_REAL_TRADING, settings.REDIS_URL = True, ""
    assert "ENABLE_REAL_TRADING needs Redis" in refused(fay.wallet, "--yes")


def test_on_a_sandbox_it_may_send() -> None:
    refuse_to_send()
