"""The REST of an account: its keys, its open orders, its trades, its balances, its limits."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from execution.sandbox.exchange.floor import Floor
from execution.sandbox.exchange.funds import CASH, Funds
from execution.sandbox.exchange.gate import PREFIX, Gate, Private
from execution.sandbox.exchange.heartbeats import Heartbeats
from execution.sandbox.exchange.intake import Intake
from execution.sandbox.exchange.keys import Credentials, Keys
from execution.sandbox.exchange.records import OrderRecord, TradeRecord
from execution.sandbox.exchange.refusals import INVALID_PAYLOAD, Refused
from execution.sandbox.exchange.wallets import Wallets
from execution.sandbox.exchange.words import order_row, page, trade_row
from execution.sandbox.faults import DELAY, DISCONNECT, HALF_OPEN, SERVER_ERROR, TOO_MANY, DoorFaults
from execution.sandbox.serving import Ask, Reply, Server, answer
from execution.sandbox.world import World

DOOR = "clob-account"
KINDS = (DELAY, DISCONNECT, HALF_OPEN, TOO_MANY, SERVER_ERROR)
ASSET_TYPES = ("COLLATERAL", "CONDITIONAL", "CONDITIONAL-V2")
TOKEN_DIGITS_MAX = 78


class WalletsOnChain(Protocol):
    """What the venue knows of a chain that wallets themselves send transactions to."""

    async def approvals(self, wallet: str) -> Mapping[str, tuple[int, bool]]:
        """By exchange: how much pUSD of a wallet it may take, and whether it may move the shares."""
        ...

    async def give_pol(self, wallet: str) -> None:
        """Enough for the fees of many transactions."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountParts:
    """What there is to ask about."""

    world: World
    keys: Keys
    wallets: Wallets
    funds: Funds
    floor: Floor
    intake: Intake
    heartbeats: Heartbeats


class AccountDoor:
    """Each answer is the caller's own: what another key placed is not there."""

    def __init__(self, server: Server, gate: Gate, faults: DoorFaults, parts: AccountParts) -> None:
        self._server = server
        self._gate = gate
        self._faults = faults
        self._world = parts.world
        self._keys = parts.keys
        self._wallets = parts.wallets
        self._funds = parts.funds
        self._floor = parts.floor
        self._intake = parts.intake
        self._heartbeats = parts.heartbeats
        self.on_chain: WalletsOnChain | None = None
        self._login("POST", "/auth/api-key", parts.keys.create)
        self._login("GET", "/auth/derive-api-key", parts.keys.derive)
        self._route("GET", "/auth/api-keys", self._api_keys)
        self._route("DELETE", "/auth/api-key", self._delete_key)
        self._route("GET", "/auth/ban-status/closed-only", self._closed_only)
        self._route("GET", "/data/order/{order}", self._order, name="GET /data/order")
        self._route("GET", "/data/orders", self._orders)
        self._route("GET", "/data/trades", self._trades)
        self._route("GET", "/balance-allowance", self._balance)
        self._route("GET", "/balance-allowance/update", self._refresh)
        self._route("GET", "/v1/user/rate-limit-tier", self._tier)
        self._route("GET", "/v1/user/session-signers", self._sessions)
        self._route("POST", "/v1/heartbeats", self._heartbeat)

    def _route(self, method: str, path: str, handler: Private, *, name: str = "") -> None:
        served = self._gate.private(name or f"{method} {path}", handler)
        self._server.http(method, PREFIX + path, served, faults=self._faults)

    def _login(self, method: str, path: str, make: Callable[[str, int], Credentials]) -> None:
        async def serve(ask: Ask) -> Reply:
            address, nonce = self._keys.login(ask, self._gate.now_s())
            return answer(make(address, nonce).as_json())

        served = self._gate.counted(f"{method} {path}", serve, limit="auth")
        self._server.http(method, PREFIX + path, served, faults=self._faults)

    async def _api_keys(self, _ask: Ask, caller: Credentials) -> Reply:
        return answer({"apiKeys": [each.api_key for each in self._keys.of(caller.address)]})

    async def _delete_key(self, _ask: Ask, caller: Credentials) -> Reply:
        self._keys.delete(caller)
        return answer("OK")

    async def _closed_only(self, _ask: Ask, caller: Credentials) -> Reply:
        return answer({"closed_only": caller.address in self._intake.closed_only})

    async def _order(self, ask: Ask, caller: Credentials) -> Reply:
        """Only while it is open: what was filled or cancelled is not found."""
        record = self._floor.orders.get(ask.words["order"].lower())
        if record is None or record.key != caller.address or not record.is_open or self._is_hidden(record):
            raise Refused("order not found", 404)
        return answer(order_row(record))

    async def _orders(self, ask: Ask, caller: Credentials) -> Reply:
        names = ("id", "market", "asset_id")
        wanted = {name: value for name in names if (value := ask.one(name))}
        found = [order_row(each) for each in self._floor.open_orders(caller.address) if not self._is_hidden(each)]
        rows = [row for row in found if all(row[name] == value for name, value in wanted.items())]
        return answer(page(rows, ask.one("next_cursor")))

    async def _trades(self, ask: Ask, caller: Credentials) -> Reply:
        """Newest first, as the venue lists them."""
        wanted = {name: value for name in ("id", "market", "asset_id") if (value := ask.one(name))}
        shown = [
            trade_row(each, caller.address)
            for each in reversed(self._floor.trades_of(caller.address))
            if not self._is_hidden(each) and _is_between(each, ask)
        ]
        rows = [row for row in shown if all(row[name] == value for name, value in wanted.items())]
        maker = (ask.one("maker_address") or "").lower()
        if maker:
            rows = [row for row in rows if row["maker_address"] == maker or _has_maker(row, maker)]
        return answer(page(rows, ask.one("next_cursor")))

    async def _balance(self, ask: Ask, caller: Credentials) -> Reply:
        kind = ask.one("asset_type") or ""
        if kind not in ASSET_TYPES:
            raise Refused("invalid asset type")
        asset = CASH if kind == "COLLATERAL" else _token(ask.one("token_id") or "")
        wallet = self._wallet(ask, caller)
        allowances = {each: str(self._funds.allowance(wallet, asset, each)) for each in self._funds.spenders}
        return answer({"balance": str(max(0, self._funds.balance(wallet, asset))), "allowances": allowances})

    async def _refresh(self, ask: Ask, caller: Credentials) -> Reply:
        """Approvals are read from the chain, where there is one; balances are never old here."""
        wallet = self._wallet(ask, caller)
        if self.on_chain is not None and wallet:
            for exchange, (micros, moves) in (await self.on_chain.approvals(wallet)).items():
                self._funds.allow(wallet, micros, exchange)
                self._funds.approve_shares(wallet, exchange, on=moves)
        return answer("")

    def _wallet(self, ask: Ask, caller: Credentials) -> str:
        """Whose funds are asked about; empty where the key has no such wallet."""
        signature_type = ask.one("signature_type") or "0"
        if signature_type not in ("0", "1", "2", "3"):
            raise Refused("invalid signature type")
        return self._wallets.of_key(caller.address, int(signature_type)) or ""

    async def _tier(self, _ask: Ask, caller: Credentials) -> Reply:
        rates = self._gate.signers
        (order_rate, order_burst), (cancel_rate, cancel_burst) = (
            rates.limits(caller.address, "orders"),
            rates.limits(caller.address, "cancels"),
        )
        words: dict[str, object] = {"tier": rates.tier(caller.address)}
        words |= {"orders_per_second": order_rate, "orders_burst": order_burst}
        words |= {"cancels_per_second": cancel_rate, "cancels_burst": cancel_burst}
        return answer(words)

    async def _sessions(self, _ask: Ask, caller: Credentials) -> Reply:
        """The owner sees all, a session itself alone."""
        owned = self._wallets.owned_by(caller.address)
        wallet = owned or self._wallets.with_session(caller.address)
        if wallet is None:
            return answer({"wallet": caller.address, "signers": []})
        signers = [
            {"address": session, "scopes": ["CLOB"], "valid_until": until}
            for session, until in wallet.sessions.items()
            if owned is not None or session == caller.address
        ]
        return answer({"wallet": wallet.address, "signers": signers})

    async def _heartbeat(self, ask: Ask, caller: Credentials) -> Reply:
        try:
            asked = json.loads(ask.body or b"{}")
        except ValueError:
            raise Refused(INVALID_PAYLOAD) from None
        told = asked.get("heartbeat_id") if isinstance(asked, dict) else None
        return answer({"heartbeat_id": self._heartbeats.beat(caller.address, told or "")})

    def _is_hidden(self, record: OrderRecord | TradeRecord) -> bool:
        orders = [record] if isinstance(record, OrderRecord) else [part.order for part in record.parts]
        now_ms = self._world.now_ms()
        return any(each is not None and each.shown_from_ms > now_ms for each in orders)


def _is_between(trade: TradeRecord, ask: Ask) -> bool:
    """`after` and `before` in seconds; neither counts itself."""
    second = trade.matched_ms // 1_000
    after, before = (_second(ask.one(name)) for name in ("after", "before"))
    return (after is None or second > after) and (before is None or second < before)


def _second(text: str | None) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Refused("invalid time")
    return int(text)


def _has_maker(row: dict[str, object], address: str) -> bool:
    orders = row["maker_orders"]
    return isinstance(orders, list) and any(each["maker_address"] == address for each in orders)


def _token(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= TOKEN_DIGITS_MAX):
        raise Refused("invalid token id")
    return int(text)
