"""Fixtures of the dashboard: who sits at the desk, a real Daphne on the test database, and a browser."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.conftest import Chromium
from tests.dashboard.events import tick
from tests.dashboard.screen import Screen
from tests.dashboard.webserver import LISTED_ORIGIN, WebServer
from tests.services import Services

pytest_plugins = ("tests.cast",)

QUIET = ("disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update")


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
def viewer(olga: User) -> User:
    """Olga with the right to look, and no other."""
    olga.user_permissions.set(Permission.objects.filter(codename="view_copytrade"))
    return olga


@pytest.fixture
def operator(viewer: User) -> User:
    """Olga with the right to throw every switch in both directions."""
    viewer.user_permissions.add(*Permission.objects.filter(codename__in=["change_switch", "resume_everything"]))
    return viewer


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


@pytest.fixture(scope="session")
def driver(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium.binary)
    for argument in (*QUIET, "headless", "no-sandbox", "disable-sync", "window-size=1280,1400"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    driver = webdriver.Chrome(options=options, service=Service(str(chromium.driver)))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def screen(server: WebServer, driver: webdriver.Chrome) -> Iterator[Screen]:
    yield Screen(driver, server.url)
    driver.get("about:blank")  # no page polls the next test's database


@pytest.fixture
def open_screen(screen: Screen, operator: User, session_of: Callable[[User], str]) -> Screen:
    """Olga's page, live."""
    tick()
    screen.open(session_of(operator))
    screen.shows("link-text", "Live")
    return screen
