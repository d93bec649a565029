"""Every address of the web process."""

from functools import partial

from django.conf import settings
from django.contrib import admin
from django.urls import path

from copytrading.dashboard.feed import Feed
from copytrading.dashboard.probes import Readiness
from copytrading.dashboard.urls import dashboard_urls
from copytrading.readiness import Examination
from guardrails.stores.redis import redis_stores
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness, SystemClock

FETCH_THREADS = 4
"""Of the pages' fetches: each holds one connection, and a fetch takes a few milliseconds."""

SOCKET_THREADS = 2
"""A lane of its own: the poller and the sessions' checks do not queue behind slow pages."""

socket_database = ThreadedDatabase(SOCKET_THREADS)
feed = Feed(socket_database, SystemClock(), SeededRandomness())
"""One for the process: what it keeps answers the fetches here, and it wakes the sockets of `config.asgi`."""

PROBE_THREADS = 1
"""Of readiness: its question waits behind no page."""

examination = Examination(
    ThreadedDatabase(PROBE_THREADS),
    SystemClock(),
    stores=partial(redis_stores, settings.REDIS_URL, settings.REDIS_PREFIX, queue_max=1, reclaim_ms=1)
    if settings.REDIS_URL
    else None,
)

urlpatterns = [
    *dashboard_urls(
        database=ThreadedDatabase(FETCH_THREADS), feed=feed, clock=SystemClock(), behind_proxy=settings.SECURE_PROXY
    ),
    path("readyz", Readiness(examination).readyz, name="readyz"),
    path("admin/", admin.site.urls),
]
