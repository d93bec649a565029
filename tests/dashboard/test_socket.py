"""The socket as a real client of a real Daphne meets it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.dashboard.events import tick
from tests.dashboard.webserver import LISTED_ORIGIN, WebServer

pytest_plugins = ("tests.dashboard.desk",)

WAIT_SECONDS_MAX = 20
SessionOf = Callable[[User], str]


def opened(server: WebServer, session: str | None, origin: str | None = "own") -> ClientConnection:
    headers = {"Cookie": f"sessionid={session}"} if session else {}
    return connect(
        f"ws://{server.address}/ws/dashboard/",
        origin=server.url if origin == "own" else origin,
        additional_headers=headers,
        open_timeout=WAIT_SECONDS_MAX,
        max_size=None,
    )


def hint(socket: ClientConnection) -> int:
    """The next hint's sequence, acknowledged."""
    told = json.loads(socket.recv(timeout=WAIT_SECONDS_MAX))
    assert told["type"] == "hint"
    socket.send(json.dumps({"type": "ack", "sequence": told["sequence"]}))
    return int(told["sequence"])


def hear(socket: ClientConnection, sequence: int) -> None:
    """Read hints until this one."""
    while hint(socket) != sequence:
        pass


def closing(socket: ClientConnection) -> int | None:
    """The code with which the server closes."""
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            socket.recv(timeout=WAIT_SECONDS_MAX)
    return caught.value.rcvd.code if caught.value.rcvd else None


def refused(server: WebServer, session: str | None, origin: str | None) -> int:
    with pytest.raises(InvalidStatus) as caught:
        opened(server, session, origin)
    return caught.value.response.status_code


def test_staff_hear_of_a_row_after_it_is_written(server: WebServer, viewer: User, session_of: SessionOf) -> None:
    with opened(server, session_of(viewer)) as socket:
        hear(socket, 0)
        hear(socket, tick())


def test_listed_origin_is_let_in(server: WebServer, viewer: User, session_of: SessionOf) -> None:
    with opened(server, session_of(viewer), LISTED_ORIGIN) as socket:
        hear(socket, 0)


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null", None])
def test_foreign_or_missing_origin_is_refused(
    server: WebServer, viewer: User, session_of: SessionOf, origin: str | None
) -> None:
    assert refused(server, session_of(viewer), origin) == 403


def test_strangers_are_refused(server: WebServer) -> None:
    assert refused(server, None, "own") == 403


def test_visitors_are_refused(server: WebServer, visitor: User, session_of: SessionOf) -> None:
    assert refused(server, session_of(visitor), "own") == 403


def test_staff_without_a_role_are_refused(server: WebServer, olga: User, session_of: SessionOf) -> None:
    assert refused(server, session_of(olga), "own") == 403


def test_another_address_is_refused(server: WebServer, viewer: User, session_of: SessionOf) -> None:
    with pytest.raises(InvalidStatus):
        connect(f"ws://{server.address}/ws/other/", origin=server.url)


def test_revoked_session_is_closed_at_the_next_event(server: WebServer, viewer: User, session_of: SessionOf) -> None:
    with opened(server, session_of(viewer)) as socket:
        hear(socket, 0)
        Session.objects.all().delete()
        tick()
        assert closing(socket) == 4403


def test_user_who_is_staff_no_more_is_closed_at_the_next_event(
    server: WebServer, viewer: User, session_of: SessionOf
) -> None:
    with opened(server, session_of(viewer)) as socket:
        hear(socket, 0)
        User.objects.filter(pk=viewer.pk).update(is_staff=False)
        tick()
        assert closing(socket) == 4403


def test_user_whose_role_is_taken_away_is_closed_at_the_next_event(
    server: WebServer, viewer: User, session_of: SessionOf
) -> None:
    with opened(server, session_of(viewer)) as socket:
        hear(socket, 0)
        viewer.user_permissions.clear()
        tick()
        assert closing(socket) == 4403


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("x" * (64 * 1024 + 1), 4413),
        (b"\x00", 4400),
        ('{"type": "subscribe", "group": "all"}', 4400),
        ("not json", 4400),
    ],
    ids=["oversized", "binary", "unknown", "no json"],
)
def test_message_that_is_no_acknowledgement_ends_the_socket(
    server: WebServer, viewer: User, session_of: SessionOf, message: Any, code: int
) -> None:
    with opened(server, session_of(viewer)) as socket:
        socket.send(message)
        assert closing(socket) == code


def test_flood_of_messages_ends_the_socket(server: WebServer, viewer: User, session_of: SessionOf) -> None:
    with opened(server, session_of(viewer)) as socket:
        sequence = json.loads(socket.recv(timeout=WAIT_SECONDS_MAX))["sequence"]
        for _ in range(40):
            socket.send(json.dumps({"type": "ack", "sequence": sequence}))
        assert closing(socket) == 4429
