"""CPU time of the database server, where it runs on this machine and can be read."""

import os
from pathlib import Path

from django.db import connection

PROC = Path("/proc")
SERVER = "postgres"


def database_cpu_ms() -> int | None:
    """CPU milliseconds of all processes of the Postgres server so far, ended ones too; None when they cannot be read.

    To a tick of the kernel, which is 10 ms. The server is found by the process of this connection.
    """
    if connection.vendor != "postgresql":
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (own,) = cursor.fetchone()
    try:
        if (PROC / str(own) / "comm").read_text().strip() != SERVER:
            return None  # a process of another machine's number
        server = int(_stat(own)[_PARENT])
        ticks = sum(int(each) for each in _stat(server)[_USER:_CHILDREN_END])
        for pid in _children(server):
            ticks += _ticks_of(pid)
    except (OSError, ValueError, IndexError):
        return None
    return ticks * 1_000 // os.sysconf("SC_CLK_TCK")


_PARENT, _USER, _SYSTEM, _CHILDREN_END = 1, 11, 12, 15
"""Places in /proc/PID/stat behind the name: parent, utime, stime, cutime and cstime (man 5 proc_pid_stat)."""


def _stat(pid: int) -> list[str]:
    # The name stands in parentheses and may hold blanks.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _ticks_of(pid: int) -> int:
    try:
        stat = _stat(pid)
    except OSError:
        return 0  # it has ended; the server counts it among its children next time
    return int(stat[_USER]) + int(stat[_SYSTEM])


def _children(server: int) -> list[int]:
    listed = (PROC / str(server) / "task" / str(server) / "children").read_text()
    return [int(pid) for pid in listed.split()]
