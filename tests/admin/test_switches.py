"""Operators throw switches, on their pages and from the lists of leaders, followers and markets."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from copytrading.models import Leader
from guardrails.models import Switch
from guardrails.queries import switches
from tests.admin.pages import act, address
from tests.doors import BEGINNING
from tests.factories import FollowerFactory, LeaderFactory, MarketFactory

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]


def test_switch_is_added_on_in_the_name_of_the_user(admin_client: Client) -> None:
    form = {"kind": "PAUSE", "scope": "GLOBAL", "key": "", "on": "on", "why": "odd prices"}
    assert admin_client.post(address(Switch, "add"), form).status_code == 302
    switch = Switch.objects.get()
    assert (switch.on, switch.why, switch.changed_by) == (True, "odd prices", "admin")
    assert switches().global_pause


def test_switch_is_toggled_on_its_page(admin_client: Client) -> None:
    switch = Switch.objects.create(scope="LEADER", key="7", changed_at=BEGINNING)
    admin_client.post(address(Switch, "change", switch.pk), {"on": "on", "why": ""})
    assert switches().leader_paused(7)
    admin_client.post(address(Switch, "change", switch.pk), {"why": ""})
    assert not switches().leader_paused(7)
    switch.refresh_from_db()
    assert switch.changed_by == "admin"
    assert switch.changed_at != BEGINNING
    assert Switch.objects.count() == 1


def test_switches_are_thrown_from_their_list(admin_client: Client) -> None:
    rows = [Switch.objects.create(scope="LEADER", key=str(number), why="keep") for number in (7, 8)]
    act(admin_client, "pause", *rows, why="keep")
    assert switches().leader_paused(7)
    assert switches().leader_paused(8)
    act(admin_client, "resume", *rows, why="keep")
    assert switches().paused == frozenset()
    assert set(Switch.objects.values_list("changed_by", "why")) == {("admin", "keep")}


@pytest.mark.parametrize(
    ("factory", "paused"),
    [
        (LeaderFactory, lambda row: switches().leader_paused(row.pk)),
        (FollowerFactory, lambda row: switches().follower_paused(row.pk)),
        (MarketFactory, lambda row: switches().market_paused(row.condition_id)),
    ],
    ids=["leader", "follower", "market"],
)
def test_rows_are_paused_and_resumed_from_their_list(admin_client: Client, factory: Any, paused: Any) -> None:
    row, other = factory(), factory()
    for action, expected in (("pause", True), ("resume", False)):
        act(admin_client, action, row)
        assert (paused(row), paused(other)) == (expected, False)


def test_staff_who_may_not_throw_switches_cannot_pause_a_leader(client: Client, olga: User, lena: Leader) -> None:
    olga.user_permissions.set(Permission.objects.filter(codename__in=["view_leader", "change_leader"]))
    client.force_login(olga)
    act(client, "pause", lena)
    assert not Switch.objects.exists()


@pytest.mark.parametrize(
    ("scope", "key", "sentence"),
    [
        ("GLOBAL", "7", "A global switch has no key."),
        ("LEADER", "", "The key of a leader or follower is its id"),
        ("FOLLOWER", "Fay", "The key of a leader or follower is its id"),
        ("FOLLOWER", "\N{ARABIC-INDIC DIGIT ONE}", "The key of a leader or follower is its id"),
        ("MARKET", "0x12", "key is its condition id"),
        ("MARKET", "", "key is its condition id"),
    ],
)
def test_switch_that_would_stop_nothing_is_refused(admin_client: Client, scope: str, key: str, sentence: str) -> None:
    form = {"kind": "PAUSE", "scope": scope, "key": key, "on": "on"}
    response = admin_client.post(address(Switch, "add"), form)
    assert response.status_code == 200
    assert sentence in response.content.decode()
    assert not Switch.objects.exists()


def test_second_switch_of_the_same_thing_is_told_in_a_sentence(admin_client: Client) -> None:
    Switch.objects.create(scope="GLOBAL")
    response = admin_client.post(address(Switch, "add"), {"kind": "PAUSE", "scope": "GLOBAL", "key": "", "on": "on"})
    assert "already exists" in response.content.decode()
    assert not switches().global_pause
