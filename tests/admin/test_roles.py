"""Who may do what: the three roles, as a table, and on the pages themselves."""

import re
from collections.abc import Callable

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.urls import reverse

from copytrading.models import CopyConfig, CopyTrade, Follower, Leader
from copytrading.roles import (
    APPS,
    OPERATOR,
    OWN_PERMISSIONS,
    RISK_OFFICER,
    ROLES,
    UNSEEN,
    VIEWER,
    make_roles,
    permissions_of,
)
from execution.models import Market
from guardrails.models import Switch
from guardrails.pauses import SwitchName, throw_switches
from guardrails.queries import switches
from ledger.units import ONE
from tests.admin.pages import NO_LIMITS, act, address, read
from tests.doors import BEGINNING
from tests.factories import LeaderFactory, MarketFactory

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

OURS = [model for app in APPS for model in apps.get_app_config(app).get_models() if model._meta.label not in UNSEEN]

# What each role may do beside looking, for each model that anybody may write: a(dd), c(hange); nobody may delete.
WRITES: dict[str, dict[str, str]] = {
    "copytrading.Leader": {OPERATOR: "ac", RISK_OFFICER: "c"},
    "copytrading.Follower": {OPERATOR: "ac", RISK_OFFICER: "c"},
    "copytrading.CopyConfig": {OPERATOR: "ac"},
    "execution.Market": {RISK_OFFICER: "c"},
    "execution.TradingAccount": {RISK_OFFICER: "c"},
    "guardrails.Switch": {OPERATOR: "ac", RISK_OFFICER: "ac"},
}

# The actions that each list offers to each role.
PAUSES = {OPERATOR: {"pause", "resume"}, RISK_OFFICER: {"pause", "resume"}}
RETRIES = {OPERATOR: {"retry"}, RISK_OFFICER: {"retry"}}
ACTIONS: dict[str, dict[str, set[str]]] = {
    "copytrading.Leader": PAUSES,
    "copytrading.Follower": PAUSES,
    "execution.Market": PAUSES,
    "guardrails.Switch": PAUSES,
    "copytrading.CopyConfig": {OPERATOR: {"activate", "deactivate"}},
    "copytrading.Signal": RETRIES,
    "ledger.Debt": RETRIES,
    "ledger.ReimbursementLedger": RETRIES,
    "copytrading.Standing": {OPERATOR: {"retry"}, RISK_OFFICER: {"retry", "start_again"}},
    "copytrading.CopyTrade": {OPERATOR: {"ask_now"}, RISK_OFFICER: {"ask_now", "write_off", "reverse"}},
    "execution.TradingAccount": {OPERATOR: {"stop_account"}, RISK_OFFICER: {"stop_account", "start_account"}},
    "guardrails.Breaker": {RISK_OFFICER: {"set_closed", "set_open", "set_half_open"}},
}


@pytest.fixture
def member(client: Client) -> Callable[[str], Client]:
    """Signs in somebody who has one role and nothing else."""

    def sign_in(role: str) -> Client:
        user = User.objects.create_user(role.lower().replace(" ", "-"), is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client.force_login(user)
        return client

    return sign_in


def request_of(role: str) -> object:
    user = User.objects.create_user("somebody", is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    request = RequestFactory().get("/")
    request.user = user
    return request


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("model", OURS, ids=lambda model: model._meta.label)
def test_role_may_look_add_change_and_act_as_the_table_says(role: str, model: type) -> None:
    request, listed = request_of(role), admin.site.get_model_admin(model)
    label = model._meta.label  # type: ignore[attr-defined]
    may = WRITES.get(label, {}).get(role, "")
    assert listed.has_view_permission(request)
    assert listed.has_add_permission(request) == ("a" in may)
    assert listed.has_change_permission(request) == ("c" in may)
    assert not listed.has_delete_permission(request)
    assert set(listed.get_actions(request)) == ACTIONS.get(label, {}).get(role, set())


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("model", [User, Group])
def test_users_and_roles_are_for_superusers(member: Callable[[str], Client], role: str, model: type) -> None:
    assert member(role).get(address(model, "changelist")).status_code == 403


@pytest.mark.parametrize("role", ROLES)
def test_stories_and_reasons_are_for_every_role(member: Callable[[str], Client], role: str, world: None) -> None:
    client, trade = member(role), CopyTrade.objects.order_by("pk").first()
    for name, args in (
        ("admin:copytrading_follower_story", [trade.follower_id]),
        ("admin:copytrading_leader_story", [trade.leader_id]),
        ("admin:copytrading_why", []),
        ("admin:index", []),
    ):
        assert client.get(reverse(name, args=args)).status_code == 200


def test_staff_without_a_role_are_told_whom_to_ask(client: Client, olga: User) -> None:
    client.force_login(olga)
    page = client.get(reverse("admin:index")).content.decode()
    assert "Your account has no role yet, so there is nothing to see." in page
    assert "Live dashboard" not in page


def test_page_that_a_role_may_not_open_says_so(member: Callable[[str], Client]) -> None:
    answer = member(VIEWER).get(address(User, "changelist"))
    assert (answer.status_code, b"Your account may not open this page." in answer.content) == (403, True)


def test_new_user_is_typed_with_a_name_and_a_password(admin_client: Client) -> None:
    page = read(admin_client, User, "add")
    assert re.findall(r'<input[^>]* name="(\w+)"[^>]* required', page) == ["username"]
    assert {"password1", "password2"} <= set(re.findall(r'<input[^>]* name="(\w+)"', page))


@pytest.mark.parametrize("page", ["follower_story", "leader_story", "why"])
def test_stories_are_refused_to_staff_without_a_role(client: Client, olga: User, world: None, page: str) -> None:
    client.force_login(olga)
    trade = CopyTrade.objects.order_by("pk").first()
    args = {"follower_story": [trade.follower_id], "leader_story": [trade.leader_id], "why": []}[page]
    assert client.get(reverse(f"admin:copytrading_{page}", args=args)).status_code == 403


# --- Limits -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "limit"), [(OPERATOR, None), (RISK_OFFICER, 5 * ONE)])
def test_limit_of_a_leader_is_set_by_the_risk_officer_alone(
    member: Callable[[str], Client], role: str, limit: int | None
) -> None:
    leader = LeaderFactory(name="Lena")
    form = {"name": "Lena B", **NO_LIMITS, "daily_limit_micros": "5"}
    assert member(role).post(address(Leader, "change", leader.pk), form).status_code == 302
    leader.refresh_from_db()
    assert (leader.name, leader.daily_limit_micros) == ("Lena B", limit)


def test_follower_is_added_by_an_operator_without_limits(member: Callable[[str], Client]) -> None:
    form = {"wallet": "0x" + "ab" * 20, "name": "Fay", "mode": "PAPER", **NO_LIMITS, "daily_limit_micros": "5"}
    assert member(OPERATOR).post(address(Follower, "add"), form).status_code == 302
    assert Follower.objects.get().daily_limit_micros is None


@pytest.mark.parametrize(("role", "status"), [(VIEWER, 403), (OPERATOR, 403), (RISK_OFFICER, 302)])
def test_limit_of_a_market_is_set_by_the_risk_officer_alone(
    member: Callable[[str], Client], role: str, status: int
) -> None:
    market = MarketFactory()
    form = {**NO_LIMITS, "daily_limit_micros": "5"}
    assert member(role).post(address(Market, "change", market.pk), form).status_code == status
    market.refresh_from_db()
    assert market.daily_limit_micros == (5 * ONE if status == 302 else None)


# --- Everybody's pause --------------------------------------------------------------------------------


def pause_everything() -> Switch:
    throw_switches([SwitchName("PAUSE", "GLOBAL")], on=True, who="test", why="odd", now=BEGINNING)
    return Switch.objects.get(scope="GLOBAL")


@pytest.mark.parametrize(("role", "paused"), [(VIEWER, False), (OPERATOR, True), (RISK_OFFICER, True)])
def test_everything_is_paused_by_operators_too(member: Callable[[str], Client], role: str, paused: bool) -> None:
    client = member(role)
    client.post("/dashboard/pause", headers={"Accept": "application/json"})
    assert switches().global_pause is paused


@pytest.mark.parametrize(("role", "paused"), [(VIEWER, True), (OPERATOR, True), (RISK_OFFICER, False)])
@pytest.mark.parametrize("where", ["dashboard", "action", "page"])
def test_everything_is_resumed_by_the_risk_officer_alone(
    member: Callable[[str], Client], where: str, role: str, paused: bool
) -> None:
    client, switch = member(role), pause_everything()
    if where == "dashboard":
        client.post("/dashboard/resume", headers={"Accept": "application/json"})
    elif where == "action":
        act(client, "resume", switch)
    else:
        client.post(address(Switch, "change", switch.pk), {"why": ""})
    assert switches().global_pause is paused


def test_operator_who_may_not_resume_everything_is_told_so(member: Callable[[str], Client]) -> None:
    switch = pause_everything()
    page = member(OPERATOR).post(address(Switch, "change", switch.pk), {"why": ""}).content.decode()
    assert "Only a risk officer lets everybody trade again." in page


def test_operator_resumes_one_leader(member: Callable[[str], Client], lena: Leader) -> None:
    client = member(OPERATOR)
    act(client, "pause", lena)
    assert switches().leader_paused(lena.pk)
    act(client, "resume", lena)
    assert not switches().leader_paused(lena.pk)


@pytest.mark.parametrize("role", [VIEWER, RISK_OFFICER])
def test_configs_are_for_operators(member: Callable[[str], Client], role: str, fay_config: CopyConfig) -> None:
    act(member(role), "deactivate", fay_config)
    fay_config.refresh_from_db()
    assert fay_config.active


# --- Making them --------------------------------------------------------------------------------------


def test_roles_are_put_back_by_the_next_migration() -> None:
    group = Group.objects.get(name=VIEWER)
    group.permissions.add(Permission.objects.get(codename="delete_user"))
    Group.objects.get(name=OPERATOR).delete()
    call_command("migrate", verbosity=0)
    for role in ROLES:
        names = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
        assert {f"{app}.{codename}" for app, codename in names} == permissions_of(role)


def test_roles_of_a_database_further_back_have_what_there_is() -> None:
    Permission.objects.filter(codename__in=["view_breaker", "retry_debt"]).delete()
    ContentType.objects.filter(app_label="ledger", model="debt").delete()
    make_roles(apps.get_app_config("copytrading"))
    names = set(Group.objects.get(name=OPERATOR).permissions.values_list("codename", flat=True))
    assert "change_leader" in names
    assert not names & {"view_breaker", "retry_debt"}


def test_every_own_permission_is_granted_to_some_role() -> None:
    assert set(OWN_PERMISSIONS) <= set().union(*ROLES.values())
