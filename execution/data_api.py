"""The venue's Data API, version 2: pages of a wallet's activity, trades and positions, as they stand there now."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from execution.envelopes import EnvelopeError, Page, read_page
from execution.hosts import Host, HostDown, Query
from ledger.clock import Clock

ROWS_MAX = 1_000
"""Rows of one page: the most that the venue gives."""

POSITION_STATUSES = ("OPEN", "MERGEABLE")
"""Which of a wallet's positions are held and can still be sold; what is resolved can only be redeemed."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Whole Unix seconds, both ends included; `end_s` None is open."""

    start_s: int
    end_s: int | None = None


class DataApi:
    """Reads pages; every address is asked only once, because the network in front caches by address.

    Without that the same question is answered from a memory of 15 seconds (activity) to two minutes (trades), and
    request headers do not help (polymarket.md 5.1).
    """

    def __init__(self, host: Host, clock: Clock, *, page_rows: int = ROWS_MAX) -> None:
        """`page_rows` are asked for at a time; the venue gives at most ROWS_MAX."""
        self._host, self._clock, self._page_rows = host, clock, page_rows
        self._asked = 0

    async def activity(self, wallet: str, window: Window, *, cursor: str | None = None) -> Page:
        """Everything a wallet did in a window, newest first: trades, redemptions, merges, splits, conversions.

        Raises HostDown and HostRefused.
        """
        return await self._page("activity", _windowed(wallet, window), cursor)

    async def trades(self, wallet: str, window: Window, *, cursor: str | None = None) -> Page:
        """Only the trades; the fills of resting orders too, which the venue leaves out unless told otherwise."""
        return await self._page("trades", [*_windowed(wallet, window), ("taker_only", "false")], cursor)

    async def positions(self, wallet: str, *, status: str, cursor: str | None = None) -> Page:
        """Positions of one status, of any size: the venue's own filter hides what is below a tenth of a share."""
        wanted = [("user", wallet), ("status", status), ("filter_type", "TOKENS"), ("filter_amount", "0")]
        return await self._page("positions", wanted, cursor)

    async def _page(self, kind: str, query: Query, cursor: str | None) -> Page:
        onward = [("cursor", cursor)] if cursor else []
        asked = [*query, ("limit", str(self._page_rows)), *onward, ("_", self._unique())]
        value = await self._host.ask(kind, f"/v2/{kind}", asked)
        try:
            return read_page(value, limit=self._page_rows)
        except EnvelopeError as error:
            raise HostDown(f"{kind}: {error}") from None

    def _unique(self) -> str:
        """Nanoseconds that were never used before, by the microsecond and a count."""
        self._asked += 1
        microseconds = (self._clock.now() - _EPOCH) // timedelta(microseconds=1)
        return str(microseconds * 1_000 + self._asked % 1_000)


def _windowed(wallet: str, window: Window) -> list[tuple[str, str]]:
    ends = [] if window.end_s is None else [("end", str(window.end_s))]
    return [("user", wallet), ("start", str(window.start_s)), *ends, ("sort_direction", "DESC")]
