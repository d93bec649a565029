"""The database as live sources reach it: only while this process may act for its shard."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ledger.db import Database

P = ParamSpec("P")
T = TypeVar("T")


class HeldDatabase:
    """`Database` behind the lease: a process that was frozen and wakes up without its shard writes nothing more."""

    def __init__(self, database: Database, held: Callable[[], object]) -> None:
        """`held` raises LeaseLost when the lease may no longer be trusted."""
        self._database, self._held = database, held

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work. Raises LeaseLost, and what the work raises."""
        self._held()
        return await self._database.run(work, *args, **kwargs)
