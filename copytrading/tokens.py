"""Which tokens are in play: what followers hold, what the leaders heard hold, and what was traded lately."""

import asyncio
from datetime import datetime, timedelta

import structlog
from django.db import OperationalError

from copytrading.models import LeaderPosition, Signal
from copytrading.pauses import sleep_or_stop
from execution.models import Market, Position
from ledger.clock import Clock
from ledger.db import Database

EVERY_S = 10.0

TRADED_WITHIN = timedelta(hours=1)
"""A token that a leader traded is likely to be traded again, before it shows as anybody's position."""

TOKENS_MAX = 10_000
"""Twenty connections of the market channel; what followers hold comes first, then the newest trades."""

log = structlog.get_logger(__name__)


class PlayedTokens:
    """`TokensInPlay` from the database, read again every few seconds."""

    name = "tokens in play"

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock
        self._tokens: frozenset[int] = frozenset()
        self._version = 0
        self._bell = asyncio.Event()

    @property
    def tokens(self) -> frozenset[int]:
        """The set now."""
        return self._tokens

    @property
    def version(self) -> int:
        """Rises with each change."""
        return self._version

    async def changed(self, version: int) -> None:
        """Return when the set is another one."""
        while self._version == version:
            await self._bell.wait()

    async def run(self, stop: asyncio.Event) -> None:
        """Read until stopped; while the database is away the set stays as it was."""
        while not stop.is_set():
            try:
                await self.run_once()
            except OperationalError:
                log.warning("The database is away; the tokens in play stay as they were.", action="tokens")
            await sleep_or_stop(self._clock, stop, EVERY_S)

    async def run_once(self) -> None:
        """Read once."""
        tokens = await self._database.run(tokens_in_play, self._clock.now() - TRADED_WITHIN)
        if tokens == self._tokens:
            return
        self._tokens = tokens
        self._version += 1
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()


def tokens_in_play(traded_since: datetime, *, tokens_max: int = TOKENS_MAX) -> frozenset[int]:
    """At most so many tokens of markets that are not known to be closed."""
    found: dict[int, None] = {}
    closed = Market.objects.filter(closed=True).values("condition_id")
    held = Position.objects.filter(size_micros__gt=0)
    traded = Signal.objects.filter(detected_at__gte=traded_since).order_by("-pk")
    led = LeaderPosition.objects.filter(size_micros__gt=0).order_by("-updated_at")
    for rows in (held, traded, led):
        room = tokens_max - len(found)
        open_rows = rows.exclude(condition_id__in=closed).values_list("token_id", flat=True)
        # A token that stands in many rows takes their room: the bound is one on the work too.
        found |= dict.fromkeys(open_rows[:room])
    return frozenset(found)
