"""Whether a process may take work: the database answers and has every migration, and what the stores say.

Asked at most once a second whoever asks how often, and one question at a time, so that probes load nothing. A Redis
that is down is named but does not make a process unready: everything goes on from the database.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from guardrails.stores.base import StoreDown, Stores
from ledger.clock import Clock
from ledger.db import Database

FRESH_MS = 1_000
ANSWER_MS_MAX = 5_000
"""A database that is silent for longer is not there; under load a question may wait for a free thread."""

OK, MEMORY = "ok", "memory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Each part's state in words without secrets; only `needed` parts decide."""

    parts: Mapping[str, str]
    needed: frozenset[str] = frozenset({"database", "migrations"})

    @property
    def ready(self) -> bool:
        """Every part that is needed is ok."""
        return all(state == OK for name, state in self.parts.items() if name in self.needed)

    @property
    def body(self) -> str:
        """JSON with one line for each part."""
        return json.dumps({"ready": self.ready, **self.parts}, indent=1) + "\n"


class Examination:
    """Asks the database and the stores. `stores` None: this process has none that others share."""

    def __init__(self, database: Database, clock: Clock, *, stores: Callable[[], Stores] | None) -> None:
        self._database, self._clock, self._stores = database, clock, stores
        self._last: tuple[float, Report] | None = None
        self._asking: asyncio.Future[dict[str, str]] | None = None
        self._one_at_a_time = asyncio.Lock()

    async def report(self) -> Report:
        """The newest answers, a second old at most; never raises for what is merely down."""
        async with self._one_at_a_time:
            now_ms = self._clock.monotonic_ms()
            if self._last is None or now_ms - self._last[0] >= FRESH_MS:
                parts = {**await self._ask_database(), "redis": await self._ask_stores()}
                self._last = (self._clock.monotonic_ms(), Report(parts=parts))
            return self._last[1]

    async def _ask_database(self) -> dict[str, str]:
        # A question that hangs is not asked a second time: each would hold a thread.
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._database.run(database_states))
        done, _waiting = await asyncio.wait({self._asking}, timeout=ANSWER_MS_MAX / 1_000)
        if not done:
            return {"database": f"no answer within {ANSWER_MS_MAX // 1_000} s", "migrations": "unknown"}
        asked, self._asking = self._asking, None
        return asked.result()

    async def _ask_stores(self) -> str:
        if self._stores is None:
            return MEMORY
        # Its own connection: a probe must not share the fate of the one at work. Once a second at most.
        stores = self._stores()
        try:
            await stores.queue.size()
        except StoreDown:
            return "down; work goes on from the database, a second slower"
        finally:
            await stores.close()
        return OK


def database_states() -> dict[str, str]:
    """Whether the database answers, and which migrations it lacks; never raises for a database that is down."""
    try:
        applied = set(MigrationRecorder(connection).applied_migrations())
    except Error as error:
        return {"database": f"does not answer ({type(error).__name__})", "migrations": "unknown"}
    missing = sorted(f"{app}.{name}" for app, name in known_migrations() - applied)
    return {"database": OK, "migrations": f"not applied: {', '.join(missing)}" if missing else OK}


@cache
def known_migrations() -> frozenset[tuple[str, str]]:
    """Every migration that this version of the program brings, from disk."""
    loader = MigrationLoader(None)
    return frozenset(loader.disk_migrations)
