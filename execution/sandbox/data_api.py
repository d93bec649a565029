"""The Data API v2 of the sandbox: trades, activity and positions (polymarket.md 5.1)."""

from collections.abc import Awaitable, Callable, Sequence

from execution.sandbox.data_query import (
    BadQuery,
    Position,
    Query,
    cursor,
    read_conditions,
    read_limit,
    read_query,
    read_thresholds,
    read_wallet,
)
from execution.sandbox.faults import (
    CLAMP,
    DELAY,
    DISCONNECT,
    DROP,
    HALF_OPEN,
    REORDER,
    SERVER_ERROR,
    STALE,
    TOO_MANY,
    DoorFaults,
)
from execution.sandbox.feed import Entry, Feed
from execution.sandbox.happenings import Match
from execution.sandbox.holdings import DUST_MICROS, Positions
from execution.sandbox.later import Latency
from execution.sandbox.limits import Cdn, RequestLimit
from execution.sandbox.rows import match_rows, move_rows, trade_row
from execution.sandbox.serving import Ask, Reply, Server, answer, too_many
from execution.sandbox.world import Event, World
from ledger.clock import Randomness

DOOR = "data-api"
PATH = "/data-api"
KINDS = (DROP, REORDER, DELAY, DISCONNECT, HALF_OPEN, TOO_MANY, SERVER_ERROR, CLAMP, STALE)
INDEXER = Latency(3_400, 4_200)
FEED_EVERY_MS = 4_000
"""With the mean wait of half of it, a trade shows 5.4 s after its match (polymarket.md 4.4)."""

MAX_AGE_S = {"trades": 300, "activity": 15, "positions": 5}
REQUESTS = {"trades": 200, "activity": 400, "positions": 200}
"""In ten seconds, measured by others."""


class DataApiDoor:
    """Rows as the indexer knows them."""

    def __init__(
        self, world: World, server: Server, faults: DoorFaults, *, positions: Positions, chance: Randomness
    ) -> None:
        self._world = world
        self._faults = faults
        self._positions = positions
        self._chance = chance
        self._feed = Feed()
        self._cdn = Cdn(world.clock, MAX_AGE_S)
        self._limits = {path: RequestLimit(world.clock, requests) for path, requests in REQUESTS.items()}
        self._stale: tuple[int, int] = (0, 0)
        self.factor = 1.0
        self.limited = True
        faults.when_set[STALE] = self._go_stale
        for name, handler in (("trades", self._trades), ("activity", self._activity), ("positions", self._held)):
            server.http("GET", f"{PATH}/v2/{name}", self._guarded(name, handler), faults=faults)
        world.listen(self._heard)

    def _heard(self, event: Event) -> None:
        happening = event.happening
        market = self._world.markets.get(happening.condition_id)
        if isinstance(happening, Match):
            rows = () if market is None else match_rows(happening, market, event.settled)
        else:
            cash = self._world.truth.cash_of(happening)
            rows = move_rows(happening, market, event.settled, cash_micros=cash)
        shown_ms = self._shown_ms(event)
        for row in rows:
            self._feed.add(row, shown_ms)

    def _shown_ms(self, event: Event) -> int:
        """The feed is recomputed every few seconds; a row is there from the first time on that sees it."""
        if not self.factor:
            return event.matched_ms
        every = self._every_ms()
        known = event.matched_ms + int(INDEXER.draw_ms(self._chance, self.factor))
        return -(-known // every) * every

    def _every_ms(self) -> int:
        """How often the feed is recomputed; without delays still, for the order of its rows."""
        return max(1, int(FEED_EVERY_MS * (self.factor or 1)))

    def _guarded(self, name: str, handler: Callable[[Ask], Reply]) -> Callable[[Ask], Awaitable[Reply]]:
        """Limits, the cache, and 400 for what cannot be read."""

        async def serve(ask: Ask) -> Reply:
            stale = self._faults.lasts(STALE) is not None
            kept = None if stale else self._cdn.cached(name, ask.target)
            if kept is not None:
                return kept
            refused_for_s = self._limits[name].refused_for_s() if self.limited else 0
            if refused_for_s:
                return too_many(refused_for_s)
            try:
                reply = handler(ask)
            except BadQuery as error:
                return answer({"error": str(error)}, 400)
            return reply if stale else self._cdn.keep(name, ask.target, reply)

        return serve

    def _trades(self, ask: Ask) -> Reply:
        return self._page(read_query(ask, trades=True), lambda entry: trade_row(entry.shown))

    def _activity(self, ask: Ask) -> Reply:
        return self._page(read_query(ask, trades=False), lambda entry: entry.shown.row)

    def _held(self, ask: Ask) -> Reply:
        """As they stand now: the truth's sizes, without the indexer's delay and untouched by the stale fault."""
        wallet = read_wallet(ask, needed=True) or ""
        shares_min, value_min = read_thresholds(ask, dust_micros=DUST_MICROS)
        statuses, conditions = {each.upper() for each in ask.many("status")}, read_conditions(ask)
        rows = [
            row
            for row in self._positions.rows(wallet, shares_min_micros=shares_min, value_min_micros=value_min)
            if (row["status"] in statuses if statuses else row["status"] != "CLOSED")
            and (not conditions or row["condition_id"] in conditions)
        ]
        limit, text = read_limit(ask), ask.one("cursor") or "0"
        if not text.isdigit():
            raise BadQuery("invalid cursor")
        end = int(text) + limit
        return _envelope(rows[int(text) : end], limit, str(end) if len(rows) > end else None)

    def _page(self, query: Query, shape: Callable[[Entry], object]) -> Reply:
        entries = self._entries(query)
        position = query.position
        clamped = position.second is not None and self._faults.strike(CLAMP) is not None
        if clamped:
            position = Position(second=position.before_second, skip=position.before_skip)
        start = _start(entries, position, newest_first=query.newest_first)
        page = entries[start : start + query.limit]
        end = start + len(page)
        more = end < len(entries)
        onward = query.position if clamped else _position_at(entries, end, position) if more else None
        following = None if onward is None else cursor(query.name, onward)
        kept = [entry for entry in page if not self._faults.strike(DROP)]
        if self._faults.strike(REORDER):
            kept.sort(key=lambda _entry: self._chance.below(1_000_000))
        return _envelope([shape(entry) for entry in kept], query.limit, following)

    def _entries(self, query: Query) -> list[Entry]:
        now_ms, upto = self._world.now_ms(), self._feed.count
        if self._faults.strike(STALE):
            now_ms, upto = self._stale
        turn = now_ms // self._every_ms()
        entries = self._feed.select(query.wanted, now_ms=now_ms, upto=upto, turn=turn)
        return entries if query.newest_first else entries[::-1]

    def _go_stale(self) -> None:
        self._stale = (self._world.now_ms(), self._feed.count)


def _start(entries: Sequence[Entry], position: Position, *, newest_first: bool) -> int:
    """The index where the page begins; by second and place in it, so that new rows do not move it."""
    if position.second is None:
        return 0
    for index, entry in enumerate(entries):
        second = entry.shown.second
        if second == position.second or (second < position.second) is newest_first:
            return index + (position.skip if second == position.second else 0)
    return len(entries)


def _position_at(entries: Sequence[Entry], index: int, before: Position) -> Position:
    second = entries[index].shown.second
    first = index
    while first and entries[first - 1].shown.second == second:
        first -= 1
    return Position(second=second, skip=index - first, before_second=before.second, before_skip=before.skip)


def _envelope(rows: Sequence[object], limit: int, following: str | None) -> Reply:
    pagination = {"limit": limit, "offset": 0, "has_more": following is not None, "next_cursor": following}
    return answer({"data": rows, "pagination": pagination})
