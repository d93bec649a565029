"""The servers under the suite are private, real, and gone when it ends however it ends."""

import os
import select
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from django.db import connection

from tests.services import STOP_SECONDS_MAX, ServiceError, Services, require_binary

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.postgres
def test_postgres_is_private(postgres_url: str, services: Services) -> None:
    with psycopg.connect(postgres_url, dbname="postgres") as client:
        rows = client.execute("SELECT name, setting FROM pg_settings").fetchall()
    settings = dict(rows)
    assert settings["data_directory"] == str(services.folder / "postgres")
    assert settings["listen_addresses"] == "127.0.0.1"
    assert settings["unix_socket_directories"] == ""
    assert settings["server_encoding"] == "UTF8"


@pytest.mark.redis
def test_redis_is_private_and_writes_no_disk(redis_url: str, services: Services) -> None:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        config = client.config_get("*")
    assert (config["dir"], config["bind"]) == (str(services.folder), "127.0.0.1")
    assert (config["save"], config["appendonly"]) == ("", "no")


@pytest.mark.django_db
def test_database_is_the_one_that_was_asked_for(request: pytest.FixtureRequest, services: Services) -> None:
    expected = {
        "postgres": ("postgresql", "test_slipstream", services.postgres_url.rpartition(":")[2].partition("/")[0]),
        "sqlite": ("sqlite", str(services.folder / "test.sqlite3"), ""),
    }[request.config.getoption("database")]
    used = connection.settings_dict
    assert (connection.vendor, used["NAME"], str(used["PORT"])) == expected


@pytest.mark.django_db(transaction=True)
def test_other_process_sees_the_test_database(database_url: str) -> None:
    program = "import environ; print(environ.Env.db_url_config(__import__('sys').argv[1])['NAME'])"
    answer = subprocess.check_output([sys.executable, "-c", program, database_url], text=True).strip()
    assert answer == connection.settings_dict["NAME"]


def test_nothing_is_left_after_a_stop() -> None:
    services = Services()
    services.start("redis")
    assert _answers(services.redis_url)
    services.stop()
    assert not _answers(services.redis_url)
    assert not services.folder.exists()


@pytest.mark.postgres
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_servers_end_when_their_owner_is_killed() -> None:
    # A shell's background job inherits SIGQUIT as ignored; the servers must end all the same.
    command = ["sh", "-c", "trap '' INT QUIT; exec \"$0\" -m tests.services", sys.executable]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        said = dict(owner.stdout.readline().strip().split("=", 1) for _ in range(4))
        servers = [os.pidfd_open(int(pid)) for pid in said["PIDS"].split()]
        owner.kill()
    for server in servers:
        assert select.select([server], [], [], STOP_SECONDS_MAX)[0], "a server outlived its owner"
        os.close(server)
    shutil.rmtree(said["FOLDER"])


def test_missing_program_is_named_in_a_sentence() -> None:
    with pytest.raises(ServiceError, match="no-such-program is not installed"):
        require_binary("no-such-program")


def _answers(url: str) -> bool:
    address = urlsplit(url)
    with socket.socket() as client:
        return client.connect_ex((address.hostname, address.port)) == 0
