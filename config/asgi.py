"""The ASGI entry: Django's pages, and the dashboard's websocket for staff from our own origins."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
pages = get_asgi_application()

# Models may be imported only after Django is set up.
from django.conf import settings  # noqa: E402

from copytrading.dashboard.consumers import SocketDoors  # noqa: E402
from copytrading.dashboard.feed import Feed  # noqa: E402
from copytrading.dashboard.routing import websocket_application  # noqa: E402
from ledger.db import ThreadedDatabase  # noqa: E402
from ledger.system import SeededRandomness, SystemClock  # noqa: E402

SOCKET_THREADS = 2
"""A lane of its own: the poller and the sessions' checks do not queue behind slow pages."""

_database, _clock = ThreadedDatabase(SOCKET_THREADS), SystemClock()
_feed = Feed(_database, _clock, SeededRandomness())

application = ProtocolTypeRouter(
    {
        "http": pages,
        "websocket": websocket_application(
            SocketDoors(feed=_feed, database=_database, clock=_clock),
            hosts=settings.ALLOWED_HOSTS,
            origins=settings.DASHBOARD_ORIGINS,
        ),
    }
)
