"""Traders at the sandbox: they sign with the venue's own client, send by themselves, and know nothing of ours."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import aiohttp
from eth_abi.abi import encode
from py_clob_client_v2.clob_types import ApiCreds, RequestArgs
from py_clob_client_v2.headers.headers import create_level_1_headers, create_level_2_headers
from py_clob_client_v2.order_utils import ExchangeOrderBuilderV2, Side, SignatureTypeV2
from py_clob_client_v2.order_utils.model.order_data_v2 import OrderDataV2, order_to_json_v2
from py_clob_client_v2.signer import Signer

from execution.sandbox.deployment import Addresses
from execution.sandbox.markets import SandboxMarket
from tests.sandbox.stage import ONE, Stage, stage

CHAIN_ID = 137
CONTRACTS = Addresses()
DEPOSIT_WALLET = "0x" + "d5" * 20
PLENTY = 100_000 * ONE
_SALTS = count(1)


@dataclass(slots=True, kw_only=True)
class Trader:
    """A key, the wallet it trades for, and its API key once it is logged in."""

    on: Stage
    signer: Signer
    wallet: str
    signature_type: int = 0
    session: bool = False
    creds: ApiCreds | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """Of the key."""
        return str(self.signer.address()).lower()

    async def login(self, *, method: str = "POST", path: str = "/auth/api-key", **headers: str) -> Any:
        """Make or find the API key, and keep it."""
        own = create_level_1_headers(self.signer, timestamp=self._now_s())
        found = await self.send(method, path, headers={**own, **headers})
        self.creds = ApiCreds(found["apiKey"], found["secret"], found["passphrase"])
        return found

    async def ask(self, method: str, path: str, body: object = None, **query: str) -> tuple[int, Any, dict[str, str]]:
        """Status, body and headers of a request signed by the API key."""
        assert self.creds is not None
        text = None if body is None else json.dumps(body, separators=(",", ":"))
        signed = RequestArgs(method=method, request_path=path, body=body, serialized_body=text)
        headers = create_level_2_headers(self.signer, self.creds, signed, timestamp=self._now_s())
        return await self._request(method, path, headers=headers, text=text, query=query)

    async def send(self, method: str, path: str, *, headers: dict[str, str]) -> Any:
        """The body of a request that must succeed."""
        status, body, _ = await self._request(method, path, headers=headers)
        assert status == 200, body
        return body

    async def get(self, path: str, **query: str) -> Any:
        """The body of a GET that must succeed."""
        status, body, _ = await self.ask("GET", path, **query)
        assert status == 200, body
        return body

    async def rows(self, path: str, **query: str) -> list[dict[str, Any]]:
        """All pages of /data/orders or /data/trades."""
        found: list[dict[str, Any]] = []
        cursor = "MA=="
        while cursor != "LTE=":
            page = await self.get(path, **query, next_cursor=cursor)
            found, cursor = found + page["data"], page["next_cursor"]
        return found

    def body(self, market: SandboxMarket, **order: Any) -> dict[str, Any]:
        """The body of POST /order, with the arguments of `signed`, and `kind` and `post_only` beside them."""
        kind, post_only = order.pop("kind", "FAK"), order.pop("post_only", False)
        assert self.creds is not None
        made: dict[str, Any] = order_to_json_v2(self.signed(market, **order), self.creds.api_key, kind, post_only)
        return made

    def signed(
        self,
        market: SandboxMarket,
        *,
        price: int,
        shares: int = 10 * ONE,
        side: str = "BUY",
        outcome: int = 0,
        expiration: int = 0,
        contract: tuple[str, str] | None = None,
    ) -> Any:
        """A signed order of so many shares (micros) at a price (micros); `contract` is version and address."""
        cash = shares * price // ONE
        making, taking = (cash, shares) if side == "BUY" else (shares, cash)
        version, address = contract or exchange_of(market)
        builder = ExchangeOrderBuilderV2(address, CHAIN_ID, self.signer, partial(next, _SALTS), domain_version=version)
        made = builder.build_signed_order(
            OrderDataV2(
                maker=self.wallet,
                signer=self.wallet if self.signature_type == 3 else self.signer.address(),
                tokenId=str(market.token_ids[outcome]),
                makerAmount=str(making),
                takerAmount=str(taking),
                side=Side.BUY if side == "BUY" else Side.SELL,
                signatureType=SignatureTypeV2(self.signature_type),
                timestamp=str(self.on.box.world.now_ms()),
                expiration=str(expiration),
            )
        )
        if self.session:
            made.signature = as_session(made.signature, self.address)
        return made

    async def post(self, market: SandboxMarket, **order: Any) -> Any:
        """The answer to an order that must be taken."""
        status, body, _ = await self.ask("POST", "/order", self.body(market, **order))
        assert status == 200, body
        return body

    async def refused(self, market: SandboxMarket, **order: Any) -> tuple[int, str]:
        """Status and text of an order that must not be taken."""
        status, body, _ = await self.ask("POST", "/order", self.body(market, **order))
        assert "error" in body, body
        return status, body["error"]

    def greeting(self) -> dict[str, Any]:
        """What opens a user socket."""
        assert self.creds is not None
        words = {"apiKey": self.creds.api_key, "secret": self.creds.api_secret}
        return {"type": "user", "auth": {**words, "passphrase": self.creds.api_passphrase}}

    def _now_s(self) -> int:
        return self.on.box.world.now_ms() // 1_000

    async def _request(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str],
        text: str | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, Any, dict[str, str]]:
        url = self.on.box.urls.clob + path
        async with self.on.session.request(method, url, params=query, data=text, headers=headers) as answer:
            return answer.status, await answer.json(), dict(answer.headers)


def exchange_of(market: SandboxMarket) -> tuple[str, str]:
    """The version and the address that orders of a market are signed for."""
    if market.version == "v2":
        return "3", CONTRACTS.exchange_v3
    return "2", CONTRACTS.neg_risk_exchange if market.neg_risk else CONTRACTS.exchange


def as_session(signature: str, session: str) -> str:
    """A session key's nested signature as its wallet takes it (polymarket.md 2.2)."""
    inner = bytes.fromhex(signature.removeprefix("0x"))
    words = [bytes(12) + bytes.fromhex(session.removeprefix("0x")), bytes(32), inner]
    return "0x" + (encode(["bytes32", "bytes32", "bytes"], words) + bytes.fromhex("6492" * 16)).hex()


async def trader(on: Stage, number: int = 1, *, pusd: int = PLENTY) -> Trader:
    """Somebody with a key of his own and money, logged in."""
    signer = Signer("0x" + f"{number:02x}" * 32, CHAIN_ID)
    made = Trader(on=on, signer=signer, wallet=signer.address())
    on.box.exchange.fund(made.wallet, pusd)
    await made.login()
    return made


async def session_trader(on: Stage, *, owner: Trader, number: int = 9, valid_s: int = 3_600) -> Trader:
    """A session key on the owner's deposit wallet, which has money, logged in."""
    box = on.box
    box.exchange.register_wallet(DEPOSIT_WALLET, owner.address)
    box.exchange.fund(DEPOSIT_WALLET, PLENTY)
    signer = Signer("0x" + f"{number:02x}" * 32, CHAIN_ID)
    made = Trader(on=on, signer=signer, wallet=DEPOSIT_WALLET, signature_type=3, session=True)
    valid_until_s = box.world.now_ms() // 1_000 + valid_s
    box.exchange.authorize_session(DEPOSIT_WALLET, made.address, valid_until_s=valid_until_s)
    await made.login()
    return made


@asynccontextmanager
async def floor(**changes: Any) -> AsyncIterator[tuple[Stage, Trader]]:
    """A quiet sandbox and one trader."""
    async with stage(**changes) as on:
        yield on, await trader(on)


def asks(on: Stage, market: SandboxMarket) -> tuple[int, int]:
    """Price and shares of the best offer of the first outcome."""
    view = on.box.board.view(market.token_ids[0])
    assert view is not None
    return view.asks[0].price_micros, view.asks[0].shares_micros


def bids(on: Stage, market: SandboxMarket) -> tuple[int, int]:
    """Price and shares of the best bid for the first outcome."""
    view = on.box.board.view(market.token_ids[0])
    assert view is not None
    return view.bids[0].price_micros, view.bids[0].shares_micros


async def hear(on: Stage, who: Trader) -> aiohttp.ClientWebSocketResponse:
    """A user socket whose greeting has been read."""
    socket = await on.open(on.box.urls.user)
    await socket.send_str(json.dumps(who.greeting()))
    await socket.send_str("PING")
    assert await socket.receive_str(timeout=10) == "PONG"
    return socket


async def heard(socket: aiohttp.ClientWebSocketResponse) -> list[dict[str, Any]]:
    """Everything that was sent before a PING is answered."""
    await socket.send_str("PING")
    found = []
    while (text := await socket.receive_str(timeout=10)) != "PONG":
        found.append(json.loads(text))
    return found
