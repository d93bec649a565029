"""Addresses for machines."""

import json
from http.client import HTTPConnection
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from copytrading.dashboard.probes import Metrics, Readiness, from_this_machine
from copytrading.readiness import Examination
from tests.dashboard.webserver import WebServer
from tests.doors import VirtualClock

pytest_plugins = ("tests.dashboard.desk",)
# whitenoise, before the first `collectstatic`
pytestmark = pytest.mark.filterwarnings("ignore:No directory at:UserWarning")


def test_healthz_asks_no_database(client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")


@pytest.mark.django_db
def test_metrics_are_given_to_this_machine(client: Client) -> None:
    answer = client.get("/metrics", REMOTE_ADDR="127.0.0.1")
    assert answer.status_code == 200
    assert b"django_http_requests" in answer.content


@pytest.mark.django_db
def test_metrics_are_refused_to_strangers(client: Client) -> None:
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.7").status_code == 403


@pytest.mark.django_db
def test_metrics_are_given_to_staff(client: Client, olga: User) -> None:
    client.force_login(olga)
    assert client.get("/metrics", REMOTE_ADDR="203.0.113.7").status_code == 200


@pytest.mark.django_db
def test_metrics_are_refused_through_a_proxy_on_this_machine(rf: RequestFactory, visitor: User) -> None:
    request = rf.get("/metrics", REMOTE_ADDR="127.0.0.1")
    request.user = visitor
    with pytest.raises(PermissionDenied):
        Metrics(behind_proxy=True).export(request)


@pytest.mark.parametrize(
    ("meta", "near"),
    [
        ({"REMOTE_ADDR": "127.0.0.1"}, True),
        ({"REMOTE_ADDR": "::1"}, True),
        ({"REMOTE_ADDR": ""}, False),
        ({"REMOTE_ADDR": "10.0.0.1"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.7"}, False),
        ({"REMOTE_ADDR": "127.0.0.1", "HTTP_FORWARDED": "for=203.0.113.7"}, False),
    ],
)
def test_this_machine_is_a_loopback_peer_that_nobody_forwarded(
    rf: RequestFactory, meta: dict[str, str], near: bool
) -> None:
    assert from_this_machine(rf.get("/metrics", **meta)) is near


@pytest.mark.django_db(transaction=True)
def test_readyz_names_every_part_and_needs_no_login(client: Client) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
    parts = answer.json()
    assert {name: parts[name] for name in ("ready", "database", "migrations")} == {
        "ready": True,
        "database": "ok",
        "migrations": "ok",
    }
    assert "redis" in parts


async def test_readyz_is_503_while_the_database_is_away(rf: RequestFactory) -> None:
    class Away:
        async def run(self, *_work: object) -> dict[str, str]:
            return {"database": "does not answer (OperationalError)", "migrations": "unknown"}

    examination = Examination(Away(), VirtualClock(), stores=None)  # type: ignore[arg-type]
    answer = await Readiness(examination).readyz(rf.get("/readyz"))
    assert answer.status_code == 503
    assert b'"database": "does not answer (OperationalError)"' in answer.content


@pytest.mark.django_db(transaction=True)
def test_probes_reach_a_real_server_without_its_tls_proxy_and_pages_do_not(database_url: str, tmp_path: Path) -> None:
    log = tmp_path / "web.log"
    server = WebServer(log, {"DATABASE_URL": database_url, "SECURE_PROXY": "true", "LOG_JSON": "auto"})
    try:
        server.start()  # asks /healthz
        assert [get(server.address, path) for path in ("/readyz", "/readyz", "/metrics", "/")] == [200, 200, 403, 301]
    finally:
        server.close()
    told = [line for line in log.read_text(encoding="utf-8").splitlines() if "Listening on TCP" in line]
    assert [json.loads(line)["logger"] for line in told] == ["daphne.server"]


def get(address: str, path: str) -> int:
    asking = HTTPConnection(address, timeout=30)
    try:
        asking.request("GET", path)
        return asking.getresponse().status
    finally:
        asking.close()
