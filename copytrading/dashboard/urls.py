"""The dashboard's addresses; whoever composes the process hands in the doors."""

from django.urls import URLPattern, path

from copytrading.dashboard.probes import Metrics, healthz
from copytrading.dashboard.views import LiveReads, PauseSwitch, dashboard
from ledger.clock import Clock
from ledger.db import Database


def dashboard_urls(*, database: Database, clock: Clock, behind_proxy: bool) -> list[URLPattern]:
    """The page at the root, what it fetches, its action, and the probes."""
    reads, switch = LiveReads(database), PauseSwitch(clock)
    return [
        path("", dashboard, name="dashboard"),
        path("dashboard/state", reads.state, name="dashboard-state"),
        path("dashboard/status", reads.status, name="dashboard-status"),
        path("dashboard/events", reads.events, name="dashboard-events"),
        path("dashboard/pause", switch.pause, name="dashboard-pause"),
        path("dashboard/resume", switch.resume, name="dashboard-resume"),
        path("healthz", healthz, name="healthz"),
        path("metrics", Metrics(behind_proxy).export, name="metrics"),
    ]
