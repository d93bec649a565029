"""The CLOB's public REST of the sandbox: books, prices, terms of markets (polymarket.md 3.2 and 3.3).

Orders, keys and the user's own data are not served here.
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from execution.sandbox.board import Board, BookView
from execution.sandbox.clob_books import book_words, number
from execution.sandbox.faults import DELAY, DISCONNECT, HALF_OPEN, SERVER_ERROR, STALE, TOO_MANY, DoorFaults
from execution.sandbox.limits import RequestLimit
from execution.sandbox.markets import MIN_SHARES_MICROS, SandboxMarket
from execution.sandbox.rows import plain_number
from execution.sandbox.serving import Ask, Reply, Server, answer, too_many
from execution.sandbox.world import World

DOOR = "clob"
PATH = "/clob"
KINDS = (DELAY, DISCONNECT, HALF_OPEN, TOO_MANY, SERVER_ERROR, STALE)
BOOKS_MAX = 500
REQUESTS_SINGLE, REQUESTS_MANY, REQUESTS_TICK, REQUESTS_GENERAL = 1_500, 500, 200, 9_000
NO_BOOK = "No orderbook exists for the requested token id"

Tokens = Callable[[Ask], object]


class _NotFound(Exception):
    pass


class ClobDoor:
    """Books as they stand, and what the CLOB says of a market."""

    def __init__(self, world: World, server: Server, faults: DoorFaults, *, board: Board) -> None:
        self._world = world
        self._board = board
        self._faults = faults
        self._server = server
        self._stale: dict[int, BookView] = {}
        self._stale_ms = 0
        self.limited = True
        self.delays_ms: Mapping[str, int] = {}
        """How long a market holds up orders that match at once, by condition."""
        faults.when_set[STALE] = self._go_stale
        single, many, general = (
            RequestLimit(world.clock, requests) for requests in (REQUESTS_SINGLE, REQUESTS_MANY, REQUESTS_GENERAL)
        )
        tick = RequestLimit(world.clock, REQUESTS_TICK)
        self._route("GET", "/ok", lambda _ask: "OK", general)
        self._route("GET", "/time", lambda _ask: self._world.now_ms() // 1_000, general)
        self._route("GET", "/version", lambda _ask: {"version": 2}, general)
        self._route("GET", "/book", self._book, single)
        self._route("POST", "/books", self._books, many)
        self._route("GET", "/price", self._price, single)
        self._route("GET", "/midpoint", self._midpoint, single)
        self._route("GET", "/spread", self._spread, single)
        self._route("GET", "/last-trade-price", self._last, single)
        self._route("GET", "/tick-size", lambda ask: {"minimum_tick_size": self._tick(ask)}, tick)
        self._route("GET", "/neg-risk", lambda ask: {"neg_risk": self._market(ask).neg_risk}, general)
        self._route("GET", "/fee-rate", lambda ask: {"base_fee": self._legacy_fee(ask)}, general)
        self._route("GET", "/clob-markets/{condition}", self._terms, general)
        self._route("GET", "/markets/{condition}", self._long_terms, general)
        self._route("GET", "/markets-by-token/{token}", self._by_token, general)

    def _route(self, method: str, path: str, handler: Tokens, limit: RequestLimit) -> None:
        self._server.http(method, PATH + path, self._guarded(handler, limit), faults=self._faults)

    def _guarded(self, handler: Tokens, limit: RequestLimit) -> Callable[[Ask], Awaitable[Reply]]:
        async def serve(ask: Ask) -> Reply:
            refused_for_s = limit.refused_for_s() if self.limited else 0
            if refused_for_s:
                return too_many(refused_for_s)
            try:
                return answer(handler(ask))
            except _NotFound as missing:
                return answer({"error": str(missing)}, 404)
            except ValueError as error:
                return answer({"error": str(error)}, 400)

        return serve

    def _book(self, ask: Ask) -> object:
        # What comes out of a cache bears the time at which it went in.
        at_ms = self._stale_ms if self._faults.lasts(STALE) else self._world.now_ms()
        view = self._view(ask)
        return book_words(view, self._world.market_of[view.token_id], at_ms)

    def _books(self, ask: Ask) -> object:
        wanted = json.loads(ask.body)
        if not isinstance(wanted, list) or len(wanted) > BOOKS_MAX:
            raise ValueError("Invalid payload")
        views = [self._known(str(each.get("token_id"))) for each in wanted if isinstance(each, dict)]
        now_ms = self._world.now_ms()
        # A token without a book is left out, and no error.
        return [book_words(each, self._world.market_of[each.token_id], now_ms) for each in views if each is not None]

    def _price(self, ask: Ask) -> object:
        view, side = self._view(ask), (ask.one("side") or "").upper()
        if side not in ("BUY", "SELL"):
            raise ValueError("Invalid side")
        levels = view.bids if side == "BUY" else view.asks
        if not levels:
            raise _NotFound(NO_BOOK)
        return {"price": number(levels[0].price_micros)}

    def _midpoint(self, ask: Ask) -> object:
        bid, offer = self._best(ask)
        return {"mid": number((bid + offer) // 2)}

    def _spread(self, ask: Ask) -> object:
        bid, offer = self._best(ask)
        return {"spread": number(offer - bid)}

    def _last(self, ask: Ask) -> object:
        return {"price": number(self._view(ask).last_micros), "side": "BUY"}

    def _tick(self, ask: Ask) -> object:
        return plain_number(self._view(ask).tick_micros)

    def _legacy_fee(self, ask: Ask) -> int:
        """The same for every book, and without a meaning (polymarket.md 2.6)."""
        self._view(ask)
        return 1_000

    def _terms(self, ask: Ask) -> object:
        market = self._by_condition(ask)
        resolved = market.condition_id in self._world.resolutions
        return {
            "t": [
                {"t": str(token), "o": outcome}
                for token, outcome in zip(market.token_ids, market.outcomes, strict=True)
            ],
            "mts": self._market_tick(market),
            "mos": plain_number(MIN_SHARES_MICROS),
            "nr": market.neg_risk,
            "fd": {"r": plain_number(market.fee_rate_bps * 100), "e": 1, "to": True},
            "sd": -(-self.delays_ms.get(market.condition_id, 0) // 1_000),
            "itode": market.category == "crypto",
            "gst": None,
            "v": market.version,
            "ao": not resolved,
        }

    def _long_terms(self, ask: Ask) -> object:
        market = self._by_condition(ask)
        resolution = self._world.resolutions.get(market.condition_id)
        return {
            "condition_id": market.condition_id,
            "question_id": market.question_id,
            "question": market.title,
            "market_slug": market.slug,
            "active": True,
            "closed": resolution is not None,
            "accepting_orders": resolution is None,
            "enable_order_book": True,
            "minimum_tick_size": self._market_tick(market),
            "minimum_order_size": plain_number(MIN_SHARES_MICROS),
            "neg_risk": market.neg_risk,
            "end_date_iso": "2030-01-01",
            "tokens": [
                {
                    "token_id": str(token),
                    "outcome": outcome,
                    "winner": resolution is not None and resolution.winner == token,
                }
                for token, outcome in zip(market.token_ids, market.outcomes, strict=True)
            ],
        }

    def _by_token(self, ask: Ask) -> object:
        market = self._world.market_of.get(_token(ask.words["token"]))
        if market is None:
            raise _NotFound("market not found")
        first, second = market.token_ids
        return {
            "condition_id": market.condition_id,
            "primary_token_id": str(first),
            "secondary_token_id": str(second),
        }

    def _by_condition(self, ask: Ask) -> SandboxMarket:
        market = self._world.markets.get(ask.words["condition"].lower())
        if market is None:
            raise _NotFound("market not found")
        return market

    def _market(self, ask: Ask) -> SandboxMarket:
        return self._world.market_of[self._view(ask).token_id]

    def _market_tick(self, market: SandboxMarket) -> object:
        view = self._board.view(market.token_ids[0])
        return plain_number(market.tick_micros if view is None else view.tick_micros)

    def _best(self, ask: Ask) -> tuple[int, int]:
        view = self._view(ask)
        if not view.bids or not view.asks:
            raise _NotFound(NO_BOOK)
        return view.bids[0].price_micros, view.asks[0].price_micros

    def _view(self, ask: Ask) -> BookView:
        view = self._known(ask.one("token_id") or "")
        if view is None:
            raise _NotFound(NO_BOOK)
        return view

    def _known(self, text: str) -> BookView | None:
        token_id = _token(text)
        market = self._world.market_of.get(token_id)
        if market is None or market.condition_id in self._world.resolutions:
            return None
        if self._faults.strike(STALE):
            return self._stale.get(token_id)
        return self._board.view(token_id)

    def _go_stale(self) -> None:
        views: Mapping[int, BookView | None] = {token: self._board.view(token) for token in self._world.market_of}
        self._stale = {token: view for token, view in views.items() if view is not None}
        self._stale_ms = self._world.now_ms()


def _token(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 78 else -1
