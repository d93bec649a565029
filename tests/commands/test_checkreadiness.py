"""`manage.py checkreadiness` as an operator runs it."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from copytrading.models import Follower
from execution.models import TradingAccount
from tests.factories import FollowerFactory

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

NOBODY_LISTENS = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def nowhere(settings: object) -> None:
    """A venue that does not answer: what is asked of it is unknown, and nothing leaves this machine."""
    for name, value in {"CLOB_URL": NOBODY_LISTENS, "TRADING_GEOBLOCK_URL": "", "RPC_URLS": ""}.items():
        setattr(settings, name, value)


def run(*words: str) -> str:
    out = StringIO()
    call_command("checkreadiness", *words, stdout=out)
    return out.getvalue()


def test_without_accounts_it_says_how_to_make_one() -> None:
    assert "addaccount" in run()


def test_an_unknown_wallet_is_told() -> None:
    with pytest.raises(CommandError, match="No trading account"):
        run("--wallet", "0x" + "AB" * 20)


def test_what_is_no_wallet_is_refused_without_repeating_it() -> None:
    with pytest.raises(CommandError) as refused:
        run("--wallet", "11" * 32)
    assert "11" * 32 not in str(refused.value)


def test_each_account_is_listed_with_its_lacks_and_the_exit_says_so() -> None:
    fay = FollowerFactory(mode=Follower.Mode.PAPER)
    TradingAccount.objects.create(follower=fay, signer=fay.wallet)
    out = StringIO()
    with pytest.raises(CommandError, match="1 of 1 accounts are not ready"):
        call_command("checkreadiness", "--json", stdout=out)
    told = json.loads(out.getvalue())
    (account,) = told["accounts"]
    assert (told["ready"], account["ready"], account["wallet"]) == (False, False, fay.wallet)
    assert [each["part"] for each in account["missing"]] == ["REAL_TRADING", "MODE", "KEY", "BALANCE"]
    assert all(each["next"] for each in account["missing"])


def test_people_read_sentences() -> None:
    fay = FollowerFactory(mode=Follower.Mode.EXCHANGE)
    TradingAccount.objects.create(follower=fay, signer=fay.wallet)
    out = StringIO()
    with pytest.raises(CommandError):
        call_command("checkreadiness", "--wallet", fay.wallet, stdout=out)
    assert f"{fay.wallet}: not ready" in out.getvalue()
    assert "Store it with `manage.py addaccount`" in out.getvalue()
