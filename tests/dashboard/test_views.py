"""Who may see the page, fetch its figures and throw its switch."""

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import Client, RequestFactory

from copytrading.dashboard.feed import Feed
from copytrading.dashboard.quality import QualityTables
from copytrading.dashboard.views import LiveReads
from copytrading.roles import ROLES
from copytrading.states import Status
from guardrails.models import Switch
from guardrails.queries import switches
from ledger.system import SeededRandomness
from tests.dashboard.events import tick
from tests.doors import VirtualClock
from tests.factories import CopyTradeFactory, trade_in

pytest_plugins = ("tests.dashboard.desk",)
# whitenoise, before the first `collectstatic`
pytestmark = pytest.mark.filterwarnings("ignore:No directory at:UserWarning")

FETCHES = [
    "/dashboard/state",
    "/dashboard/status",
    "/dashboard/events?after=0",
    "/dashboard/trades/1",
    "/dashboard/quality?window=7d",
]
ACTIONS = ["/dashboard/pause", "/dashboard/resume"]
JSON = {"Accept": "application/json"}


@pytest.mark.django_db
def test_page_sends_strangers_to_the_login(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer["Location"]) == (302, "/admin/login/?next=/")


@pytest.mark.django_db
def test_page_sends_visitors_without_staff_rights_to_the_login(client: Client, visitor: User) -> None:
    client.force_login(visitor)
    assert client.get("/")["Location"] == "/admin/login/?next=/"


@pytest.mark.django_db
def test_page_tells_staff_without_a_role_whom_to_ask(client: Client, olga: User) -> None:
    client.force_login(olga)
    answer = client.get("/")
    assert answer.status_code == 403
    assert b"Your account has no role yet, so it may not see what is copied. An administrator" in answer.content


@pytest.mark.django_db
@pytest.mark.parametrize("role", ROLES)
def test_page_is_open_to_every_role(client: Client, olga: User, role: str) -> None:
    olga.groups.add(Group.objects.get(name=role))
    client.force_login(olga)
    assert client.get("/").status_code == 200


@pytest.mark.django_db
def test_address_of_no_page_is_said_so(client: Client) -> None:
    answer = client.get("/nowhere")
    assert (answer.status_code, b"There is no page at this address." in answer.content) == (404, True)


@pytest.mark.django_db
def test_page_forbids_everything_that_is_not_its_own(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    answer = client.get("/")
    assert answer.status_code == 200
    assert "default-src 'none'; script-src 'self'" in answer["Content-Security-Policy"]
    assert "unsafe" not in answer["Content-Security-Policy"]
    assert b"<script>" not in answer.content
    assert b" style=" not in answer.content
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
def test_page_offers_the_switch_only_to_those_who_may(client: Client, viewer: User) -> None:
    client.force_login(viewer)
    page = client.get("/").content
    assert b"switch-button" not in page
    assert b"Your account may look at this page, but not pause: ask an operator or a risk officer." in page


@pytest.mark.django_db
def test_page_offers_the_switch_to_the_operator(client: Client, operator: User) -> None:
    client.force_login(operator)
    assert b"switch-button" in client.get("/").content


@pytest.mark.parametrize("path", FETCHES)
def test_strangers_fetch_nothing(transactional_db: None, client: Client, path: str) -> None:
    assert client.get(path).status_code == 403


@pytest.mark.parametrize("path", FETCHES)
def test_visitors_fetch_nothing(transactional_db: None, client: Client, visitor: User, path: str) -> None:
    client.force_login(visitor)
    assert client.get(path).status_code == 403


@pytest.mark.parametrize("path", FETCHES)
def test_staff_without_a_role_fetch_nothing(transactional_db: None, client: Client, olga: User, path: str) -> None:
    client.force_login(olga)
    answer = client.get(path)
    assert (answer.status_code, answer.json()) == (403, {"error": "Sign in as staff who may look at copies."})


@pytest.mark.parametrize("path", FETCHES)
def test_staff_fetch_json_that_nobody_keeps(transactional_db: None, client: Client, viewer: User, path: str) -> None:
    CopyTradeFactory(pk=1)
    client.force_login(viewer)
    answer = client.get(path)
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/json")
    assert answer["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", FETCHES)
def test_fetches_change_nothing(transactional_db: None, client: Client, viewer: User, path: str) -> None:
    client.force_login(viewer)
    assert client.post(path).status_code == 405


def test_events_resume_after_a_sequence(transactional_db: None, client: Client, viewer: User) -> None:
    client.force_login(viewer)
    first, second = tick(), tick(signals=8)
    told = client.get(f"/dashboard/events?after={first}").json()
    assert (told["last"], told["behind"]) == (second, False)
    (event,) = told["events"]
    assert (event["sequence"], event["kind"], event["payload"]["signals"]) == (second, "tick", 8)
    assert event["created_at"].endswith("Z")


@pytest.mark.parametrize("after", ["", "-1", "1.5", "x", "\u0661", "9" * 19, "9" * 400])
def test_sequence_that_is_none_is_refused(transactional_db: None, client: Client, viewer: User, after: str) -> None:
    client.force_login(viewer)
    answer = client.get("/dashboard/events", {"after": after})
    assert (answer.status_code, answer.json()) == (400, {"error": "`after` must be the sequence of an event."})


class DeadDatabase:
    async def run(self, *args: Any, **kwargs: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")


def idle_feed() -> Feed:
    return Feed(DeadDatabase(), VirtualClock(), SeededRandomness(1))


async def test_database_that_does_not_answer_is_said_so(rf: RequestFactory) -> None:
    request = rf.get("/dashboard/state")
    request.session = SessionStore()
    answer = await LiveReads(DeadDatabase(), idle_feed(), QualityTables(VirtualClock())).state(request)
    assert (answer.status_code, b"does not answer" in answer.content) == (503, True)


@pytest.mark.django_db
@pytest.mark.parametrize("path", ACTIONS)
def test_staff_without_the_permission_switch_nothing(client: Client, viewer: User, path: str) -> None:
    client.force_login(viewer)
    assert client.post(path, headers=JSON).status_code == 403
    assert not Switch.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ACTIONS)
def test_strangers_switch_nothing(client: Client, path: str) -> None:
    assert client.post(path, headers=JSON).status_code == 403
    assert not Switch.objects.exists()


@pytest.mark.django_db
def test_permission_without_staff_switches_nothing(client: Client, operator: User) -> None:
    User.objects.filter(pk=operator.pk).update(is_staff=False)
    client.force_login(operator)
    assert client.post("/dashboard/pause", headers=JSON).status_code == 403


@pytest.mark.django_db
@pytest.mark.parametrize("path", ACTIONS)
def test_who_may_not_look_switches_nothing(client: Client, operator: User, path: str) -> None:
    operator.user_permissions.remove(Permission.objects.get(codename="view_copytrade"))
    client.force_login(operator)
    assert client.post(path, headers=JSON).status_code == 403
    assert not Switch.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ACTIONS)
def test_switch_is_not_thrown_by_a_link(client: Client, operator: User, path: str) -> None:
    client.force_login(operator)
    assert client.get(path).status_code == 405
    assert not Switch.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("path", ACTIONS)
def test_switch_is_not_thrown_from_another_site(operator: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.post(path, headers=JSON).status_code == 403
    assert not Switch.objects.exists()


@pytest.mark.django_db
def test_switch_is_thrown_with_the_token_of_the_page(operator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    token = client.get("/").context["csrf_token"]
    client.post("/dashboard/pause", {"csrfmiddlewaretoken": str(token)}, headers=JSON)
    assert switches().global_pause


@pytest.mark.django_db
def test_pause_keeps_who_and_why(client: Client, operator: User) -> None:
    client.force_login(operator)
    told = client.post("/dashboard/pause", {"why": " Odd fills "}, headers=JSON).json()
    assert told["paused"] is True
    (switch,) = told["switches"]
    assert (switch["who"], switch["why"]) == ("olga", "Odd fills")


@pytest.mark.django_db
def test_resume_ends_the_pause(client: Client, operator: User) -> None:
    client.force_login(operator)
    client.post("/dashboard/pause", headers=JSON)
    assert client.post("/dashboard/resume", headers=JSON).json()["paused"] is False
    assert not switches().global_pause


@pytest.mark.django_db
def test_pause_works_without_javascript(client: Client, operator: User) -> None:
    client.force_login(operator)
    answer = client.post("/dashboard/pause", headers={"Accept": "text/html"})
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert switches().global_pause


@pytest.mark.django_db
@pytest.mark.parametrize("why", ["x" * 201, "a\x00b"])
def test_reason_that_cannot_be_kept_is_refused(client: Client, operator: User, why: str) -> None:
    client.force_login(operator)
    assert client.post("/dashboard/pause", {"why": why}, headers=JSON).status_code == 400
    assert not Switch.objects.exists()


def test_story_of_a_copy_is_told_with_the_way_to_its_row(transactional_db: None, client: Client, viewer: User) -> None:
    trade = trade_in(Status.EXECUTED)
    client.force_login(viewer)
    told = client.get(f"/dashboard/trades/{trade.pk}").json()
    assert (told["id"], told["status"]) == (trade.pk, "EXECUTED")
    assert told["admin_url"] == f"/admin/copytrading/copytrade/{trade.pk}/change/"


def test_story_of_no_copy_is_said_so(transactional_db: None, client: Client, viewer: User) -> None:
    client.force_login(viewer)
    answer = client.get("/dashboard/trades/404")
    assert (answer.status_code, "not in the database" in answer.json()["error"]) == (404, True)


def test_browsers_find_an_icon(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer["Location"]) == (301, "/static/dashboard/mark.svg")
