"""Trading accounts in the admin: what they lack, stopped and started with a reason, and no secrets anywhere."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, User
from django.test import Client

from copytrading.models import Follower
from execution.models import Secret, TradingAccount
from ledger.models import AuditEntry
from tests.admin.pages import act, address, read
from tests.factories import FollowerFactory

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

LACK = {"part": "KEY", "sentence": "The key cannot sign.", "next": "Store it.", "blocks": True}


@pytest.fixture
def account() -> TradingAccount:
    follower = FollowerFactory(name="Fay", mode=Follower.Mode.EXCHANGE)
    return TradingAccount.objects.create(follower=follower, signer=follower.wallet, missing=[LACK])


def test_the_list_and_the_page_say_what_it_lacks(admin_client: Client, account: TradingAccount) -> None:
    assert "The key cannot sign." in read(admin_client, TradingAccount)
    page = read(admin_client, TradingAccount, "change", account.pk)
    assert "The key cannot sign. Store it." in page


def test_it_is_stopped_and_started_with_a_reason(admin_client: Client, account: TradingAccount) -> None:
    act(admin_client, "stop_account", account, why="")
    account.refresh_from_db()
    assert account.state == "ACTIVE"
    act(admin_client, "stop_account", account, why="it looks odd")
    account.refresh_from_db()
    assert (account.state, account.stopped_why) == ("STOPPED", "it looks odd")
    act(admin_client, "start_account", account, why="it was nothing")
    account.refresh_from_db()
    assert (account.state, account.missing) == ("ACTIVE", None)
    assert list(AuditEntry.objects.values_list("action", "why")) == [
        ("stop", "it looks odd"),
        ("start", "it was nothing"),
    ]


def test_an_operator_may_stop_and_not_start(client: Client, account: TradingAccount) -> None:
    oscar = User.objects.create_user("oscar", is_staff=True)
    oscar.groups.add(Group.objects.get(name="Operator"))
    client.force_login(oscar)
    act(client, "stop_account", account)
    account.refresh_from_db()
    assert account.state == "STOPPED"
    act(client, "start_account", account)
    account.refresh_from_db()
    assert account.state == "STOPPED"


@pytest.mark.parametrize(("role", "tier"), [("Viewer", "STANDARD"), ("Operator", "STANDARD"), ("Risk officer", "GOLD")])
def test_the_tier_is_set_by_the_risk_officer_alone(
    client: Client, account: TradingAccount, role: str, tier: str
) -> None:
    rita = User.objects.create_user("rita", is_staff=True)
    rita.groups.add(Group.objects.get(name=role))
    client.force_login(rita)
    client.post(address(TradingAccount, "change", account.pk), {"tier": "GOLD", "signer": "0x" + "66" * 20})
    account.refresh_from_db()
    assert (account.tier, account.signer) == (tier, account.follower.wallet)


def test_secrets_have_no_page() -> None:
    assert not admin.site.is_registered(Secret)
    related = {field.related_model for field in TradingAccount._meta.get_fields() if field.is_relation}
    assert apps.get_model("execution", "Secret") not in related
