"""What the engine tells the dashboard, and that it costs the same whatever the load and whoever looks."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from prometheus_client import generate_latest

from copytrading.metrics import CLASS_MS_MIN, CLASS_RATIO, STAGES, Spread, class_of
from copytrading.models import DashboardEvent
from copytrading.reporter import EVERY_S, QUIET_MS
from copytrading.signals import ACTIVITY_TRADES
from copytrading.sources.stats import KINDS, SourceStats, SourceTold
from tests.dashboard.events import payload
from tests.dashboard.test_socket import hint, opened
from tests.dashboard.webserver import WebServer
from tests.world import World

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.django_db

EVENT_BYTES_MAX = 4_000
"""A page of events stays small, and Postgres keeps most of them in the row itself."""


def report(world: World) -> dict[str, Any]:
    """The event of the next round."""
    world.clock.advance(QUIET_MS / 1_000)
    world.run(world.engine.reporter.run_once)
    told = DashboardEvent.objects.latest("sequence").payload
    assert isinstance(told, dict)
    return told


def test_event_tells_what_was_added_since_the_one_before(world: World) -> None:
    world.follower()
    (trade,) = world.copy(world.row())
    told = report(world)
    assert (told["signals"], told["copies"], set(told["newest"])) == (1, {"EXECUTED": 1}, {trade.pk})
    again = report(world)
    assert (again["signals"], again["copies"], again["newest"], again["stages"]) == (0, {}, [], {})
    assert again["totals"]["copies"] == {"EXECUTED": 1}


def test_event_has_all_that_the_page_reads(world: World) -> None:
    assert set(report(world)) == set(payload())


def test_delays_and_stages_are_those_of_the_interval(world: World) -> None:
    world.follower()
    world.copy(world.row())
    told = report(world)
    assert sum(told["delay"]["counts"].values()) == 1
    assert {stage: sum(spread["counts"].values()) for stage, spread in told["stages"].items()} == dict.fromkeys(
        STAGES, 1
    )
    assert report(world)["delay"] == {"counts": {}, "max": 0.0}


HEARD = SourceTold(
    name=ACTIVITY_TRADES,
    counts=dict.fromkeys(KINDS, 1_234_567_890),
    lag_p50_ms=2_000.4,
    lag_p95_ms=3_999.6,
    fresh_ms=410.2,
)


def test_sources_are_told_with_their_totals(world: World) -> None:
    world.engine.reporter.sources = lambda: [HEARD, SourceStats("a-source-without-data").told(0)]
    assert report(world)["sources"] == [
        {
            "name": "activity-trades",
            "counts": HEARD.counts,
            "lag_p50_ms": 2_000,
            "lag_p95_ms": 4_000,
            "fresh_ms": 410,
        },
        {"name": "a-source-without-data", "counts": {}, "lag_p50_ms": 0, "lag_p95_ms": 0, "fresh_ms": None},
    ]


def test_sources_are_told_once_a_second_and_not_in_each_event(world: World) -> None:
    world.engine.reporter.sources = lambda: [HEARD]
    world.follower()
    for number in range(12):
        world.copy(world.row(tx=1 + number))
        world.clock.advance(EVERY_S)
        world.run(world.engine.reporter.run_once)
    events = DashboardEvent.objects.order_by("sequence").values_list("payload", flat=True)
    assert len(events) >= 12
    assert 2 <= sum("sources" in event for event in events) <= 4


def test_last_event_tells_the_sources_too(world: World) -> None:
    report(world)
    world.run(lambda: world.engine.reporter.run_once(always=True))
    assert "sources" in DashboardEvent.objects.latest("sequence").payload


def test_event_with_every_source_stays_small(world: World) -> None:
    world.engine.reporter.sources = lambda: [HEARD] * 6
    world.follower()
    world.copy(world.row())
    assert len(json.dumps(report(world))) < EVENT_BYTES_MAX


def test_metrics_of_a_source_are_there_before_its_first_row() -> None:
    SourceStats("a-source-that-hears-nothing")
    exported = generate_latest().decode()
    for kind in KINDS:
        assert f'slipstream_source_rows_total{{kind="{kind}",source="a-source-that-hears-nothing"}} 0.0' in exported
    assert 'slipstream_source_lag_milliseconds_count{source="a-source-that-hears-nothing"} 0.0' in exported


def test_bounds_stand_beside_the_gauges(world: World) -> None:
    told = report(world)
    assert (told["queue"], told["queue_max"]) == (0, settings.SUPERVISOR_QUEUE_MAX_SIZE)
    assert (told["in_flight"], told["in_flight_max"]) == (0, settings.SUPERVISOR_WORKER_POOL_SIZE)


def cost_of_report(world: World) -> tuple[int, int, int]:
    """Queries and rows of one event, and its length."""
    rows = DashboardEvent.objects.count()
    with CaptureQueriesContext(connection) as queries:
        told = report(world)
    return len(queries), DashboardEvent.objects.count() - rows, len(json.dumps(told))


def test_report_costs_the_same_whatever_the_load(world: World) -> None:
    report(world)  # makes the row of the sequence
    costs = []
    for copies in (1, 60):
        for number in range(copies):
            world.follower(f"Fay {number} of {copies}")
        world.copy(world.row(tx=copies))
        costs.append(cost_of_report(world))
    (queries, rows, _few), (more_queries, more_rows, length) = costs
    assert (more_queries, more_rows) == (queries, rows) == (queries, 1)
    assert length < EVENT_BYTES_MAX


def test_engine_does_the_same_with_and_without_open_pages(
    server: WebServer, world: World, viewer: User, session_of: Callable[[User], str]
) -> None:
    world.follower()
    report(world)
    costs = []
    for pages in (0, 30):
        with ExitStack() as stack:
            sockets = [stack.enter_context(opened(server, session_of(viewer))) for _page in range(pages)]
            for socket in sockets:
                hint(socket)
            world.copy(world.row(tx=1 + pages))
            costs.append(cost_of_report(world)[:2])
    assert costs[0] == costs[1]


def test_engine_goes_on_when_its_event_cannot_be_written(world: World) -> None:
    reporter = world.engine.reporter
    reporter._database = AwayDatabase()
    world.clock.advance(QUIET_MS / 1_000)
    world.run(reporter.run_once)
    assert not DashboardEvent.objects.exists()


class AwayDatabase:
    """A database that does not answer."""

    async def run(self, *args: Any, **kwargs: Any) -> Any:
        raise OperationalError("server closed the connection unexpectedly")


@pytest.mark.parametrize("milliseconds", [0.0, 0.01, 0.1, 1.0, 7.3, 100.0, 61_000.0])
def test_class_of_a_duration_is_right_to_its_ratio(milliseconds: float) -> None:
    ends = CLASS_RATIO ** class_of(milliseconds)
    assert ends / CLASS_RATIO * 0.999 <= max(milliseconds, CLASS_MS_MIN) <= ends * 1.001


def test_spread_is_told_by_its_classes_and_its_longest() -> None:
    assert Spread([1.0, 1.0, 2.5]).told() == {"counts": {"0": 2, "10": 1}, "max": 2.5}
