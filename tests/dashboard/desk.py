"""Fixtures of the dashboard: who sits at the desk, and a real Daphne on the test database."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client

from tests.dashboard.webserver import LISTED_ORIGIN, WebServer
from tests.services import Services

pytest_plugins = ("tests.cast",)


@pytest.fixture(scope="session")
def _web_server(
    django_db_setup: None, services: Services, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WebServer]:
    name = connection.settings_dict["NAME"]
    sqlite = connection.vendor == "sqlite"
    url = f"sqlite:///{name}" if sqlite else f"{services.postgres_url.rpartition('/')[0]}/{name}"
    environment = {"DATABASE_URL": url, "DASHBOARD_ORIGINS": LISTED_ORIGIN, "ALLOWED_HOSTS": "*"}
    server = WebServer(tmp_path_factory.mktemp("daphne") / "log", environment)
    with closing(server):
        server.start()
        yield server


@pytest.fixture
def server(transactional_db: None, _web_server: WebServer) -> WebServer:
    """A real Daphne on the test database, for all tests of the session. ALLOWED_HOSTS is '*', the worst case."""
    return _web_server


@pytest.fixture
def operator(olga: User) -> User:
    """Olga with the right to throw switches."""
    olga.user_permissions.add(Permission.objects.get(codename="change_switch"))
    return olga


@pytest.fixture
def visitor(db: None) -> User:
    """Somebody with an account who is no staff."""
    return User.objects.create_user("victor")


@pytest.fixture
def session_of(db: None) -> Callable[[User], str]:
    """Signs somebody in; the value is the session cookie."""

    def signed_in(user: User) -> str:
        client = Client()
        client.force_login(user)
        return client.cookies["sessionid"].value

    return signed_in
