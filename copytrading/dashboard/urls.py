"""The dashboard's addresses; whoever composes the process hands in the doors."""

from django.urls import URLPattern, path

from copytrading.dashboard.feed import Feed
from copytrading.dashboard.probes import Metrics, healthz
from copytrading.dashboard.quality import QualityTables
from copytrading.dashboard.views import LiveReads, PauseSwitch, dashboard, favicon
from ledger.clock import Clock
from ledger.db import Database


def dashboard_urls(*, database: Database, feed: Feed, clock: Clock, behind_proxy: bool) -> list[URLPattern]:
    """The page at the root, what it fetches, its action, and the probes."""
    reads, switch = LiveReads(database, feed, QualityTables(clock)), PauseSwitch(clock)
    return [
        path("", dashboard, name="dashboard"),
        path("dashboard/state", reads.state, name="dashboard-state"),
        path("dashboard/status", reads.status, name="dashboard-status"),
        path("dashboard/events", reads.events, name="dashboard-events"),
        path("dashboard/quality", reads.quality, name="dashboard-quality"),
        path("dashboard/trades/<int:trade_id>", reads.trade, name="dashboard-trade"),
        path("dashboard/pause", switch.pause, name="dashboard-pause"),
        path("dashboard/resume", switch.resume, name="dashboard-resume"),
        path("favicon.ico", favicon, name="favicon"),
        path("healthz", healthz, name="healthz"),
        path("metrics", Metrics(behind_proxy).export, name="metrics"),
    ]
