"""Addresses for machines."""

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.test import Client, RequestFactory

from copytrading.dashboard.probes import Metrics, from_this_machine

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
