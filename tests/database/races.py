"""Runs functions at the same moment on real connections, one thread each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

from django.db import connections

T = TypeVar("T")

WAIT_SECONDS_MAX = 60


def race(*runners: Callable[[], T]) -> list[T]:
    """What each runner answers; all are connected before the first begins. Raises what a runner raises."""
    start = Barrier(len(runners))

    def run(runner: Callable[[], T]) -> T:
        try:
            connections["default"].ensure_connection()
            start.wait(WAIT_SECONDS_MAX)
            return runner()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(runners)) as pool:
        return [future.result(WAIT_SECONDS_MAX) for future in [pool.submit(run, runner) for runner in runners]]
