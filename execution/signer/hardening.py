"""What the system can do for a process that holds keys: no core dumps, and no debugger of the same user."""

import ctypes
import resource

PR_SET_DUMPABLE = 4


def leave_no_core() -> None:
    """Let a crash of this process, and of those that it starts, write no memory to a disk."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def hide_memory() -> bool:
    """Let nobody but root read this process's memory, by a dump, a debugger or /proc. False where that is not so.

    Only Linux has the second part; other systems keep the first.
    """
    leave_no_core()
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (AttributeError, OSError):
        return False
    return bool(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0)
