"""Gamma of the sandbox: markets by keyset, and events (polymarket.md 5.3). Without `version` it lists v1 alone."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from execution.sandbox.board import Board
from execution.sandbox.faults import (
    CLAMP,
    DELAY,
    DISCONNECT,
    DROP,
    HALF_OPEN,
    SERVER_ERROR,
    STALE,
    TOO_MANY,
    DoorFaults,
)
from execution.sandbox.limits import Cdn, RequestLimit
from execution.sandbox.markets import MIN_SHARES_MICROS, ONE, SandboxMarket
from execution.sandbox.rows import plain_number
from execution.sandbox.serving import Ask, Reply, Server, answer, too_many
from execution.sandbox.world import World

DOOR = "gamma"
PATH = "/gamma"
KINDS = (DROP, DELAY, DISCONNECT, HALF_OPEN, TOO_MANY, SERVER_ERROR, CLAMP, STALE)
LIMIT_DEFAULT, LIMIT_MAX = 20, 100
REQUESTS = 300
"""Of /markets, in ten seconds."""

MAX_AGE_S = {"markets": 5, "events": 5}
STARTED, ENDS = "2026-11-01T00:00:00Z", "2030-01-01T00:00:00Z"


class GammaDoor:
    """Describes the world's markets."""

    def __init__(self, world: World, server: Server, faults: DoorFaults, *, board: Board) -> None:
        self._world = world
        self._board = board
        self._faults = faults
        self._cdn = Cdn(world.clock, MAX_AGE_S)
        self._limit = RequestLimit(world.clock, REQUESTS)
        self._stale: list[Mapping[str, object]] = []
        self.limited = True
        faults.when_set[STALE] = self._go_stale
        server.http("GET", f"{PATH}/markets/keyset", self._markets, faults=faults)
        server.http("GET", f"{PATH}/events/keyset", self._events, faults=faults)
        server.http("GET", f"{PATH}/markets/{{id}}", self._market, faults=faults)

    async def _markets(self, ask: Ask) -> Reply:
        return self._guarded("markets", ask)

    async def _events(self, ask: Ask) -> Reply:
        return self._guarded("events", ask)

    async def _market(self, ask: Ask) -> Reply:
        found = [each for each in self._described() if each["id"] == ask.words["id"]]
        return answer(found[0]) if found else answer({"type": "not found error", "error": "id not found"}, 404)

    def _guarded(self, name: str, ask: Ask) -> Reply:
        kept = self._cdn.cached(name, ask.target)
        if kept is not None:
            return kept
        refused_for_s = self._limit.refused_for_s() if self.limited else 0
        if refused_for_s:
            return too_many(refused_for_s)
        if ask.one("offset") is not None:
            return answer({"error": "offset is not supported; use after_cursor"}, 422)
        limit_text = ask.one("limit") or str(LIMIT_DEFAULT)
        if not limit_text.isdigit() or not 1 <= int(limit_text) <= LIMIT_MAX:
            return answer({"error": f"limit must be between 1 and {LIMIT_MAX}"}, 422)
        found = self._selected(ask)
        rows = found if name == "markets" else _events(found)
        return self._cdn.keep(name, ask.target, self._page(name, rows, ask, limit=int(limit_text)))

    def _page(self, name: str, rows: list[Mapping[str, object]], ask: Ask, *, limit: int) -> Reply:
        """Pages by the number of the last row; the final page has no cursor."""
        text = ask.one("after_cursor") or ""
        after = _decoded(text)
        if after is None:
            return answer({"error": "invalid after_cursor"}, 422)
        if text and self._faults.strike(CLAMP):
            after = max(0, after - limit)
        page = rows[after : after + limit]
        kept = [row for row in page if not self._faults.strike(DROP)]
        more = {"next_cursor": f"k{after + limit:x}"} if after + limit < len(rows) else {}
        return answer({name: kept, **more})

    def _selected(self, ask: Ask) -> list[Mapping[str, object]]:
        stale = self._faults.strike(STALE)
        markets = self._stale if stale else self._described()
        version = ask.one("version") or "v1"
        closed = (ask.one("closed") or "false").lower() == "true"
        found = [each for each in markets if each["version"] == version and each["closed"] is closed]
        for name, key in (("condition_ids", "conditionId"), ("slug", "slug"), ("id", "id")):
            wanted = {each.lower() for each in ask.many(name)}
            found = [each for each in found if not wanted or str(each[key]).lower() in wanted]
        for name, key in (("clob_token_ids", "clobTokenIds"), ("position_ids", "positionIds")):
            tokens = set(ask.many(name))
            found = [each for each in found if not tokens or tokens & set(_tokens(each.get(key)))]
        return found

    def _described(self) -> list[Mapping[str, object]]:
        return [self._describe(market) for market in self._world.markets.values()]

    def _go_stale(self) -> None:
        self._stale = self._described()

    def _describe(self, market: SandboxMarket) -> Mapping[str, object]:
        resolution = self._world.resolutions.get(market.condition_id)
        view = self._board.view(market.token_ids[0])
        last = 0 if view is None else view.last_micros
        prices = (
            (last, ONE - last)
            if resolution is None
            else tuple(ONE if token == resolution.winner else 0 for token in market.token_ids)
        )
        bid = view.bids[0].price_micros if view is not None and view.bids else 0
        ask = view.asks[0].price_micros if view is not None and view.asks else ONE
        closed = resolution is not None
        return {
            "id": str(500_000 + market.number),
            "question": market.title,
            "conditionId": market.condition_id,
            "questionID": market.question_id,
            "slug": market.slug,
            "version": market.version,
            **_ids(market),
            "outcomes": json.dumps(market.outcomes),
            "outcomePrices": json.dumps([str(plain_number(price)) for price in prices]),
            "active": True,
            "closed": closed,
            "archived": False,
            "acceptingOrders": not closed,
            "enableOrderBook": True,
            "startDate": STARTED,
            "endDate": ENDS,
            "negRisk": market.neg_risk,
            "orderPriceMinTickSize": plain_number(market.tick_micros if view is None else view.tick_micros),
            "orderMinSize": plain_number(MIN_SHARES_MICROS),
            "secondsDelay": 0,
            **_fees(market),
            "category": market.category,
            "bestBid": plain_number(bid),
            "bestAsk": plain_number(ask),
            "spread": plain_number(ask - bid),
            "lastTradePrice": plain_number(last),
            "liquidity": "25000",
            "liquidityNum": 25_000,
            "volume": "120000.5",
            "volumeNum": Decimal("120000.5"),
            **({"closedTime": _iso(resolution.at_ms)} if resolution is not None else {}),
            **_resolution(market, closed=closed),
            "events": [{"id": market.event_slug, "slug": market.event_slug, "title": market.event_slug}],
        }


def _ids(market: SandboxMarket) -> dict[str, object]:
    """Of v1 the tokens are a JSON text; every third market has `positionIds` as well, which mean nothing there."""
    tokens = [str(token) for token in market.token_ids]
    if market.version == "v2":
        return {"clobTokenIds": json.dumps(tokens), "positionIds": tokens}
    extra = {"positionIds": [str((1 << 248) + token % 2**120) for token in market.token_ids]}
    return {"clobTokenIds": json.dumps(tokens), **(extra if market.number % 3 == 0 else {})}


def _fees(market: SandboxMarket) -> dict[str, object]:
    if not market.fee_rate_bps:
        return {"feesEnabled": False}
    rate = plain_number(market.fee_rate_bps * 100)
    schedule = {"exponent": 1, "rate": rate, "takerOnly": True, "rebateRate": Decimal("0.2")}
    return {"feesEnabled": True, "feeType": f"{market.category}_fees_v2", "feeSchedule": schedule}


def _resolution(market: SandboxMarket, *, closed: bool) -> dict[str, object]:
    if market.version == "v2":
        return {"resolutionStatus": "resolved" if closed else "active"}
    return {"umaResolutionStatus": "resolved"} if closed else {}


def _events(markets: Iterable[Mapping[str, object]]) -> list[Mapping[str, object]]:
    events: dict[str, list[Mapping[str, object]]] = {}
    for market in markets:
        own = {name: value for name, value in market.items() if name != "events"}
        listed = market["events"]
        slug = str(listed[0]["slug"]) if isinstance(listed, list) else ""
        events.setdefault(slug, []).append(own)
    return [{"id": slug, "slug": slug, "title": slug, "markets": group} for slug, group in events.items()]


def _tokens(value: object) -> list[str]:
    found = json.loads(value) if isinstance(value, str) else value
    return [str(each) for each in found] if isinstance(found, list) else []


def _decoded(text: str) -> int | None:
    if not text:
        return 0
    try:
        return int(text[1:], 16) if text[0] == "k" else None
    except ValueError:
        return None


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms // 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
