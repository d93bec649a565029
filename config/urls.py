"""Every address of the web process."""

from django.conf import settings
from django.contrib import admin
from django.urls import path

from copytrading.dashboard.urls import dashboard_urls
from ledger.db import ThreadedDatabase
from ledger.system import SystemClock

FETCH_THREADS = 4
"""Of the pages' fetches: each holds one connection, and a fetch takes a few milliseconds."""

urlpatterns = [
    *dashboard_urls(database=ThreadedDatabase(FETCH_THREADS), clock=SystemClock(), behind_proxy=settings.SECURE_PROXY),
    path("admin/", admin.site.urls),
]
