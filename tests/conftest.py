"""Runs the suite against a private Postgres and Redis, or, with --database=sqlite, on the embedded default.

The settings are loaded only after the addresses of the private servers stand in the environment.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import django
import hypothesis
import pytest
from django.conf import settings as django_settings
from django.db import connection

from tests.services import ServiceError, Services, require_binary

ROOT = Path(__file__).resolve().parent.parent

SERVICES = pytest.StashKey[Services]()

DATABASE_FIXTURES = {"db", "transactional_db", "live_server"}
"""An item whose fixtures include one of these uses Django's database, as one marked django_db does."""

hypothesis.settings.register_profile("suite", derandomize=True, max_examples=60, deadline=None, database=None)
hypothesis.settings.register_profile("deep", max_examples=2_000, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "suite"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chromium:
    """Where the browser and its WebDriver are."""

    binary: Path
    driver: Path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare --database."""
    parser.addoption(
        "--database",
        choices=("postgres", "sqlite"),
        default="postgres",
        help="postgres: everything. sqlite: only what uses a database, on SQLite and memory stores.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Point the settings at the private servers before they are loaded; pytest-django comes last here.

    With -n each worker has servers of its own; the process that leads them runs no test and must not set what they
    would inherit.
    """
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        return
    if django_settings.configured:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE and leave out --ds: tests/conftest.py chooses both.")
    # A SIGTERM ends like Ctrl-C, so that the servers are stopped and their folder is deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    services = config.stash[SERVICES] = Services()
    config.add_cleanup(services.stop)
    for name in ("DATABASE_URL_FILE", "REDIS_URL_FILE"):
        os.environ.pop(name, None)
    on_sqlite = _on_sqlite(config)
    os.environ["DATABASE_URL"] = f"sqlite:///{services.folder}/unused.sqlite3" if on_sqlite else services.postgres_url
    os.environ["REDIS_URL"] = "" if on_sqlite else services.redis_url
    os.environ["ENABLE_REAL_TRADING"] = "false"
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    # They build rows, so they can be imported only now.
    for plugin in ("tests.cast", "tests.world", "tests.canaries", "tests.tracking.exchange"):
        config.pluginmanager.import_plugin(plugin)


ONCE = {
    *("test_verify.py", "test_verify_live.py", "test_verify_orders.py", "test_verify_prices.py"),
    *("test_benchmark.py", "test_benchmark_orders.py", "test_runsigner.py", "test_soak.py"),
}
"""Commands that run other processes for minutes; on SQLite they would only repeat what Postgres showed."""


LONG = {"commands", "dashboard", "database", "hearing"}
"""Folders whose files take longest: begun first, so that no core waits for another's last file."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On SQLite only what uses a database runs again, and of that not what is about Postgres or the browser."""
    items.sort(key=lambda item: item.path.parent.name not in LONG)
    if not _on_sqlite(config):
        return
    uses = [item for item in items if _uses_database(item) and item.path.name not in ONCE]
    wanted = [item for item in uses if not _marked(item, "postgres", "browser")]
    config.hook.pytest_deselected(items=[item for item in items if item not in wanted])
    items[:] = wanted


@pytest.fixture(scope="session")
def services(request: pytest.FixtureRequest) -> Services:
    """The private servers of this run; the fixtures below start them when a test first asks."""
    return request.config.stash[SERVICES]


@pytest.fixture(scope="session")
def redis_url(services: Services) -> str:
    """The private Redis, running."""
    _start(services, "redis")
    return services.redis_url


@pytest.fixture(scope="session")
def postgres_url(services: Services) -> str:
    """The private Postgres, running; the database that it names does not exist (connect to `postgres`)."""
    _start(services, "postgres")
    return services.postgres_url


@pytest.fixture
def database_url(transactional_db: None, services: Services) -> str:
    """The address of the test database itself, for a process that a test starts; rows are really committed."""
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return f"{services.postgres_url.rpartition('/')[0]}/{name}"


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    """The installed browser with its driver; as root it needs --no-sandbox."""
    return Chromium(binary=require_binary("chromium"), driver=require_binary("chromedriver"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The recorded data beside the checkout; SLIPSTREAM_SHARED names another folder that holds `data`."""
    folder = Path(os.environ.get("SLIPSTREAM_SHARED", ROOT.parent / "shared")) / "data"
    if not folder.is_dir():
        pytest.skip(f"no recorded data: {folder} is missing; SLIPSTREAM_SHARED may name the folder above `data`")
    return folder


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services: Services) -> None:
    """Runs before Django makes its test database: its servers are started by the first test that needs one."""
    if connection.vendor == "sqlite":
        # A file: the engine's threads could not share a database in memory.
        connection.settings_dict["TEST"]["NAME"] = str(services.folder / "test.sqlite3")
    else:
        _start(services, "postgres", "redis")


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Never drop the test database: the whole server goes, and a worker thread's connection cannot be in the way."""
    return True


def _start(services: Services, *names: str) -> None:
    try:
        services.start(*names)
    except ServiceError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.INTERNAL_ERROR)


def _on_sqlite(config: pytest.Config) -> bool:
    return bool(config.getoption("database") == "sqlite")


def _uses_database(item: pytest.Item) -> bool:
    return _marked(item, "django_db") or not DATABASE_FIXTURES.isdisjoint(getattr(item, "fixturenames", ()))


def _marked(item: pytest.Item, *names: str) -> bool:
    return any(item.get_closest_marker(name) for name in names)
