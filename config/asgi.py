"""The ASGI entry: Django's pages, and the dashboard's websocket for staff from our own origins."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
pages = get_asgi_application()

# Models may be imported only after Django is set up.
from django.conf import settings  # noqa: E402

from config.urls import feed, socket_database  # noqa: E402
from copytrading.dashboard.consumers import SocketDoors  # noqa: E402
from copytrading.dashboard.routing import websocket_application  # noqa: E402
from ledger.system import SystemClock  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": websocket_application(
            SocketDoors(feed=feed, database=socket_database, clock=SystemClock()),
            hosts=settings.ALLOWED_HOSTS,
            origins=settings.DASHBOARD_ORIGINS,
        ),
    }
)
