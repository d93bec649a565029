"""The CLOB's market channel of the sandbox (polymarket.md 4.2): books, their changes, trades, lifecycle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from execution.sandbox.board import Board, LevelChange
from execution.sandbox.clob_books import book_hash, book_words, number
from execution.sandbox.faults import SERVER_ERROR, TOO_MANY, DoorFaults, Fault
from execution.sandbox.happenings import Match
from execution.sandbox.later import Latency, Later
from execution.sandbox.markets import ONE, SandboxMarket
from execution.sandbox.serving import Line, Server, encode
from execution.sandbox.streaming import STREAM_KINDS, FaultyStream
from execution.sandbox.world import Event, Resolution, World
from ledger.clock import Randomness

DOOR = "market"
PATH = "/ws/market"
LATENCY = Latency(90, 180)
FREEZE = "freeze"
KINDS = (*STREAM_KINDS, TOO_MANY, SERVER_ERROR)
ASSETS_MAX = 500
"""Of one connection."""

FINEST_TICK = 100
PING_GRACE_MS = 125_000
"""A socket without a PING was reset after so long."""


@dataclass(slots=True)
class _Client:
    line: Line
    pinged_ms: float
    assets: set[str] = field(default_factory=set)
    custom: bool = False
    frozen: bool = False


class MarketSocket:
    """Tells subscribers of their assets; and everybody who asked for it, of markets that open and end."""

    def __init__(
        self, world: World, server: Server, faults: DoorFaults, *, board: Board, later: Later, chance: Randomness
    ) -> None:
        self._world = world
        self._board = board
        self._later = later
        self._chance = chance
        self._clients: dict[Line, _Client] = {}
        self._stream = FaultyStream(faults, later)
        self.factor = 1.0
        self._telling = False
        faults.on(FREEZE, self._freeze)
        server.line(PATH, self._converse, faults=faults)
        world.listen(self._heard)
        world.listen_to_markets(self)

    def opened(self, market: SandboxMarket) -> None:
        """Announce a market to whoever wants such news."""
        words = {
            "event_type": "new_market",
            "id": str(500_000 + market.number),
            "question": market.title,
            "market": market.condition_id,
            "slug": market.slug,
            "description": "",
            "assets_ids": [str(token) for token in market.token_ids],
            "outcomes": list(market.outcomes),
            "timestamp": str(self._world.now_ms()),
        }
        self._announce(words)

    def resolved(self, resolution: Resolution) -> None:
        """Announce a market's end and its winner."""
        market = resolution.market
        words = {
            "event_type": "market_resolved",
            "id": str(500_000 + market.number),
            "question": market.title,
            "market": market.condition_id,
            "slug": market.slug,
            "assets_ids": [str(token) for token in market.token_ids],
            "outcomes": list(market.outcomes),
            "winning_asset_id": str(resolution.winner),
            "winning_outcome": market.outcomes[market.outcome_index(resolution.winner)],
            "timestamp": str(resolution.at_ms),
        }
        self._announce(words)

    def tell_changes(self) -> None:
        """The books moved without a trade of the world: show by how much, once for all that moves until then."""
        if not self._telling:
            self._telling = True
            self._later.after_ms(LATENCY.draw_ms(self._chance, self.factor), self._tell_now)

    def _tell_now(self) -> None:
        self._telling = False
        self._show(self._changed(self._board.drain_changes()))

    def _changed(self, changes: Sequence[LevelChange]) -> list[tuple[str, Mapping[str, object]]]:
        if not self._clients:
            return []
        tokens = dict.fromkeys(each.token_id for each in changes)
        return [(str(token), self._price_change(token, changes)) for token in tokens]

    def _heard(self, event: Event) -> None:
        match = event.happening
        if not isinstance(match, Match):
            return
        changes, ticks = self._board.drain_changes(), self._board.drain_ticks()
        frames = [*self._changed(changes), self._last_trade(match, event)]
        for tick in ticks:
            frames += [
                (str(token), self._tick_change(tick.market, token, old=tick.old_micros, new=tick.new_micros))
                for token in tick.market.token_ids
            ]
        wait_ms = event.matched_ms + LATENCY.draw_ms(self._chance, self.factor) - self._world.now_ms()
        self._later.after_ms(wait_ms if self.factor else 0, lambda: self._show(frames))

    def _show(self, frames: Sequence[tuple[str, Mapping[str, object]]]) -> None:
        for asset, words in frames:
            text = encode(words).decode()
            self._stream.emit(lambda asset=asset, text=text: self._send(asset, text))  # type: ignore[misc]

    def _send(self, asset: str, text: str) -> None:
        for client in self._awake():
            if asset in client.assets:
                client.line.send(text)

    def _announce(self, words: Mapping[str, object]) -> None:
        text = encode(words).decode()

        def send() -> None:
            for client in self._awake():
                if client.custom:
                    client.line.send(text)

        self._stream.emit(send)

    def _awake(self) -> list[_Client]:
        """Who may hear something; whoever sends no PING is cut off."""
        now_ms = self._world.clock.monotonic_ms()
        late = [each for each in self._clients.values() if now_ms - each.pinged_ms >= PING_GRACE_MS]
        for client in late:
            client.line.cut()
        return [each for each in self._clients.values() if not each.frozen and each not in late]

    def _price_change(self, token_id: int, changes: Sequence[LevelChange]) -> Mapping[str, object]:
        """All changed levels of an asset at once; a size is the level's new total."""
        view = self._board.view(token_id)
        market = self._world.market_of[token_id]
        best_bid = view.bids[0].price_micros if view is not None and view.bids else 0
        best_ask = view.asks[0].price_micros if view is not None and view.asks else ONE
        # Within one step a level may change more than once; what it was last counts.
        last = {(each.side, each.price_micros): each for each in changes if each.token_id == token_id}
        return {
            "event_type": "price_change",
            "market": market.condition_id,
            "timestamp": str(self._world.now_ms()),
            "price_changes": [
                {
                    "asset_id": str(token_id),
                    "price": number(each.price_micros),
                    "size": number(each.shares_micros),
                    "side": each.side,
                    "hash": "" if view is None else book_hash(view),
                    "best_bid": number(best_bid),
                    "best_ask": number(best_ask),
                }
                for each in last.values()
            ],
        }

    def _last_trade(self, match: Match, event: Event) -> tuple[str, Mapping[str, object]]:
        taker, maker = match.legs[0], match.legs[-1]
        # Cash is cut to whole micros; the order's own price lay on the finest tick.
        price = (maker.cash_micros * ONE // maker.shares_micros + FINEST_TICK // 2) // FINEST_TICK * FINEST_TICK
        words = {
            "event_type": "last_trade_price",
            "market": match.condition_id,
            "asset_id": str(taker.token_id),
            "price": number(price if maker.token_id == taker.token_id else ONE - price),
            "size": number(taker.shares_micros),
            "side": taker.side,
            "fee_rate_bps": str(self._world.markets[match.condition_id].fee_rate_bps),
            "timestamp": str(event.matched_ms),
            "transaction_hash": event.settled.tx_hash,
        }
        return str(taker.token_id), words

    def _tick_change(self, market: SandboxMarket, token_id: int, *, old: int, new: int) -> Mapping[str, object]:
        return {
            "event_type": "tick_size_change",
            "market": market.condition_id,
            "asset_id": str(token_id),
            "old_tick_size": number(old),
            "new_tick_size": number(new),
            "timestamp": str(self._world.now_ms()),
        }

    async def _converse(self, line: Line) -> None:
        client = _Client(line=line, pinged_ms=self._world.clock.monotonic_ms())
        self._clients[line] = client
        try:
            async for text in line.texts():
                self._said(client, text)
        finally:
            del self._clients[line]

    def _said(self, client: _Client, text: str) -> None:
        if text.strip().upper() == "PING":
            client.pinged_ms = self._world.clock.monotonic_ms()
            client.line.send("PONG")
            return
        try:
            request = json.loads(text)
        except ValueError:
            request = None
        if not isinstance(request, dict) or not isinstance(request.get("assets_ids"), list):
            client.line.send("INVALID OPERATION")
            return
        client.frozen = False
        client.custom = client.custom or request.get("custom_feature_enabled") is True
        assets = [str(each) for each in request["assets_ids"]]
        if request.get("operation") == "unsubscribe":
            client.assets.difference_update(assets)
        elif request.get("operation") == "subscribe" or request.get("type") == "market":
            self._subscribe(client, assets)
        else:
            client.line.send("INVALID OPERATION")

    def _subscribe(self, client: _Client, assets: Sequence[str]) -> None:
        """A snapshot of each asset that is new to the connection; nothing for those it has."""
        new = [each for each in dict.fromkeys(assets) if each not in client.assets]
        room = ASSETS_MAX - len(client.assets)
        client.assets.update(new[:room])
        for asset in new[:room]:
            view = self._board.view(int(asset)) if asset.isascii() and asset.isdigit() and len(asset) <= 78 else None
            if view is not None:
                market = self._world.market_of[view.token_id]
                words = {"event_type": "book", **book_words(view, market, self._world.now_ms())}
                text = encode(words).decode()
                self._stream.emit(lambda text=text: client.line.send(text))  # type: ignore[misc]

    async def _freeze(self, _fault: Fault) -> None:
        for client in self._clients.values():
            client.frozen = True
