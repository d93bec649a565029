"""Works side by side in processes of their own: what one of them has in memory the others do not know."""

from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from typing import Any, TypeVar

from django.db import connection, connections

from copytrading.verification.steps import Wrong

T = TypeVar("T")

SECONDS_MAX = 20
"""For one work, and for all of them to be there; the slowest takes about a second."""


def race_processes(*works: Callable[[], T]) -> list[T]:
    """What each work answers; all begin at the same moment, each on a connection of its own. Raises Wrong.

    Only while this process has no other thread: its copies would have its locks and nobody to open them. The answers
    are pickled.
    """
    # A connection that two processes share would hear both.
    connections.close_all()
    context = get_context("fork")
    start = context.Barrier(len(works))
    pipes = [context.Pipe(duplex=False) for _work in works]
    runners = [
        context.Process(target=_run, args=(work, start, telling), daemon=True)
        for work, (_hearing, telling) in zip(works, pipes, strict=True)
    ]
    try:
        for runner in runners:
            runner.start()
        return [_answer(hearing) for hearing, _telling in pipes]
    finally:
        for runner, ends in zip(runners, pipes, strict=True):
            runner.kill()
            runner.join()
            for end in ends:
                end.close()


def _answer(hearing: "Connection[Any, Any]") -> Any:
    if not hearing.poll(2 * SECONDS_MAX):
        raise Wrong(f"A process did not answer within {2 * SECONDS_MAX} s.")
    done, answer = hearing.recv()
    if not done:
        raise Wrong(f"A process ended with {answer}.")
    return answer


def _run(work: Callable[[], T], start: Barrier, telling: "Connection[Any, Any]") -> None:
    try:
        connection.ensure_connection()
        start.wait(SECONDS_MAX)
        telling.send((True, work()))
    except Exception as error:  # noqa: BLE001  (it is told to whoever waits, who raises it)
        telling.send((False, f"{type(error).__name__}: {error}"))
    finally:
        connections.close_all()
