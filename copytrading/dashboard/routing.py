"""The way to the dashboard's socket: from our own pages only, to one address only."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from django.http.request import split_domain_port, validate_host
from django.urls import path, re_path

from copytrading.dashboard.consumers import DashboardConsumer, SocketDoors

Application = Callable[[Any, Any, Any], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

PORTS = {"http": "80", "https": "443"}


def websocket_application(doors: SocketDoors, *, hosts: Sequence[str], origins: Sequence[str]) -> Application:
    """The ASGI application of all websockets. `hosts` and `origins` are ALLOWED_HOSTS and DASHBOARD_ORIGINS."""
    denier: Application = WebsocketDenier.as_asgi()
    known = URLRouter(
        [path("ws/dashboard/", DashboardConsumer.as_asgi(doors=doors)), re_path("", denier)]  # type: ignore[arg-type]
    )

    async def application(scope: Any, receive: Any, send: Any) -> None:
        ours = origin_allowed(scope["headers"], hosts=hosts, origins=origins)
        await (known if ours else denier)(scope, receive, send)

    return application


def origin_allowed(headers: Headers, *, hosts: Sequence[str], origins: Sequence[str]) -> bool:
    """True for exactly one Origin that is listed, or that is the very host that the handshake names.

    Unlike Channels' AllowedHostsOriginValidator this does not ask whether the origin is one of ALLOWED_HOSTS: with
    '*' in there every page of the web would be. A missing Origin is refused: browsers always send it.
    """
    origin, host = _only(headers, b"origin"), _only(headers, b"host")
    if origin is None or host is None:
        return False
    if origin in {listed.lower().rstrip("/") for listed in origins}:
        return True
    parts = urlsplit(origin)
    if parts.scheme not in PORTS or origin != f"{parts.scheme}://{parts.netloc}":
        return False
    domain, _port = split_domain_port(host)
    port = PORTS[parts.scheme]
    return validate_host(domain, list(hosts)) and _with_port(parts.netloc, port) == _with_port(host, port)


def _only(headers: Headers, wanted: bytes) -> str | None:
    values = [value for name, value in headers if name == wanted]
    return values[0].decode("latin1").lower() if len(values) == 1 else None


def _with_port(host: str, default: str) -> tuple[str, str]:
    domain, port = split_domain_port(host)
    return domain, port or default
