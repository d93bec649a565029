"""Which pages of the web may open the socket."""

import pytest

from copytrading.dashboard.routing import origin_allowed

HOSTS = ["desk.example", "127.0.0.1", "localhost", "[::1]"]
ORIGINS = ["https://ops.example", "http://ops.example:8443"]


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000", True),
        ("https://desk.example", "desk.example", True),
        ("https://desk.example", "desk.example:443", True),
        ("https://DESK.example", "desk.EXAMPLE", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("https://ops.example", "desk.example", True),
        ("http://ops.example:8443", "desk.example", True),
        ("http://127.0.0.1:8001", "127.0.0.1:8000", False),
        ("http://localhost:8000", "127.0.0.1:8000", False),
        ("http://ops.example", "desk.example", False),
        ("https://ops.example.evil.example", "desk.example", False),
        ("https://evil.example", "desk.example", False),
        ("https://evil.example", "evil.example", False),
        ("https://desk.example@evil.example", "desk.example", False),
        ("https://desk.example/path", "desk.example", False),
        ("wss://desk.example", "desk.example", False),
        ("file://", "desk.example", False),
        ("null", "desk.example", False),
        ("", "desk.example", False),
        ("https://", "", False),
    ],
)
def test_only_our_own_host_and_listed_origins_are_allowed(origin: str, host: str, allowed: bool) -> None:
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    assert origin_allowed(headers, hosts=HOSTS, origins=ORIGINS) is allowed


def test_allowing_every_host_allows_no_foreign_origin() -> None:
    headers = [(b"host", b"desk.example"), (b"origin", b"https://evil.example")]
    assert not origin_allowed(headers, hosts=["*"], origins=[])


@pytest.mark.parametrize(
    "headers",
    [
        [(b"host", b"desk.example")],
        [(b"origin", b"https://desk.example")],
        [(b"host", b"desk.example"), (b"origin", b"https://desk.example"), (b"origin", b"https://evil.example")],
        [(b"host", b"desk.example"), (b"host", b"evil.example"), (b"origin", b"https://desk.example")],
        [(b"host", b"desk.example"), (b"origin", b"https://\xff\xfe")],
    ],
)
def test_a_missing_or_doubled_header_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    assert not origin_allowed(headers, hosts=["*"], origins=[])
