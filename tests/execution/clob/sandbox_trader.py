"""Fay with a real key, a real client and `ClobVenue` on the CLOB of the sandbox, which verifies by itself."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any

from execution.clob.client import ClobClient
from execution.clob.credentials import Access
from execution.clob.login import obtain_credentials
from execution.clob.rates import OrderRates, RateSettings
from execution.eip1559 import Transaction
from execution.fees import FeeTerms
from execution.http import SharedHttp
from execution.orders import ExchangeDomain, OrderDraft, OrderPlan, OrderType, build_plan
from execution.ports import Login, OrderRef, OrderState, Outcome, SignerRefused
from execution.sandbox.exchange.settling import SettlementTimes
from execution.sandbox.markets import SandboxMarket
from execution.sandbox.sandbox import Sandbox
from execution.signing import LocalSigner, address_of, sign_login, sign_order
from execution.venues.clob import ClobDoors, ClobVenue
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE, Micros, Side
from tests.execution.clob.clob_double import clob_client
from tests.execution.clob.orders import FAY
from tests.sandbox.stage import Stage, stage

CHAIN_ID = 137
SECRET_KEY = bytes.fromhex("42" * 32)
KEY = address_of(SECRET_KEY).lower()
DEPOSIT_WALLET = "0x" + "d5" * 20
PLENTY = 100_000 * ONE
TICK = 10_000

_SALTS = count(1)


class OneKey:
    """`Signer` with Fay's key."""

    def __init__(self, *, session: bool = False) -> None:
        self._keys, self._session = LocalSigner({KEY: SECRET_KEY}), session

    async def sign_order(self, plan: OrderPlan, *, key: str) -> bytes:
        """As the account needs it."""
        return sign_order(self._keys, plan, wallet=key, session=self._session)

    async def sign_login(self, login: Login, *, key: str) -> bytes:
        """For the credentials."""
        return sign_login(self._keys, login, chain_id=CHAIN_ID)

    async def sign_transaction(self, transaction: Transaction, *, key: str) -> bytes:
        """None is needed here."""
        raise SignerRefused


@dataclass(slots=True, kw_only=True)
class SandboxTrader:
    """`CredentialBook`, `FeeBook`, signer and venue of one account."""

    on: Stage
    client: ClobClient
    signer: OneKey
    access: Access
    venue: ClobVenue = field(init=False)

    def __post_init__(self) -> None:
        self.forget_rates()

    @property
    def box(self) -> Sandbox:
        """The world."""
        return self.on.box

    def forget_rates(self) -> None:
        """A venue that knows of no pause."""
        clock = SystemClock()
        rates = OrderRates(clock, SeededRandomness(1), settings=RateSettings())
        self.venue = ClobVenue(ClobDoors(client=self.client, access=self, rates=rates, fees=self, clock=clock))

    async def of(self, follower_id: int) -> Access | None:
        """Fay's."""
        return self.access if follower_id == FAY else None

    async def fee_terms(self, token_id: int) -> FeeTerms | None:
        """As the sandbox charges."""
        return FeeTerms(rate_bps=self.box.world.market_of[token_id].fee_rate_bps)

    def plan(self, market: SandboxMarket | None = None, *, ticks: int = 0, **changes: Any) -> OrderPlan:
        """10 shares of a market's Yes, `ticks` beyond its best price."""
        market = market or self.box.markets[0]
        side = changes.get("side", Side.BUY)
        best = self.box.board.offers(market.token_ids[0], side.value)[0].price_micros
        wallet = self.access.wallet
        values: dict[str, Any] = {
            "domain": domain_of(market),
            "maker": wallet,
            "signer": wallet if self.access.signature_type == 3 else KEY,
            "signature_type": self.access.signature_type,
            "token_id": market.token_ids[0],
            "side": side,
            "size_micros": Micros(10 * ONE),
            "limit_micros": Micros(best + (ticks if side is Side.BUY else -ticks) * TICK),
            "tick_micros": Micros(TICK),
            "salt": next(_SALTS),
            "timestamp_ms": self.box.world.now_ms(),
            "order_type": OrderType.FAK,
            "key": KEY,
        }
        return build_plan(OrderDraft(**{**values, **changes}))

    async def submit(self, order: OrderPlan) -> Outcome:
        """Sign and send."""
        return await self.venue.submit(order, await self.signer.sign_order(order, key=KEY), follower_id=FAY)

    async def look_up(self, order: OrderPlan) -> OrderState:
        """Ask about it."""
        return await self.venue.look_up(self.ref(order))

    def ref(self, order: OrderPlan) -> OrderRef:
        """As a row would name it."""
        return OrderRef(
            order_hash=order.order_hash,
            follower_id=FAY,
            token_id=order.token_id,
            condition_id=self.box.world.market_of[order.token_id].condition_id,
            side=order.side,
            size_micros=order.size_micros,
            since=SystemClock().now() - timedelta(seconds=5),
        )

    def arrived(self, order: OrderPlan) -> int:
        """How often its bytes came to the venue."""
        return self.box.exchange.received[order.order_hash]

    def taken(self, orders: Sequence[OrderPlan]) -> int:
        """How many of these the venue has."""
        return sum(self.box.exchange.order(order.order_hash) is not None for order in orders)


def domain_of(market: SandboxMarket) -> ExchangeDomain:
    """Whose orders a market takes."""
    if market.version == "v2":
        return ExchangeDomain.V3
    return ExchangeDomain.NEG_RISK_V2 if market.neg_risk else ExchangeDomain.CTF_V2


@asynccontextmanager
async def sandbox_trader(
    *, session: bool = False, timeout_s: float = 5.0, slow: bool = False, **changes: Any
) -> AsyncIterator[SandboxTrader]:
    """A quiet sandbox, and Fay with money and credentials in it; `slow`: trades settle in minutes, else at once."""
    async with stage(**changes) as on:
        http = SharedHttp()
        try:
            wallet = DEPOSIT_WALLET if session else KEY
            if slow:
                on.box.exchange.configure(factor=1.0, limited=False)
                on.box.exchange.times = SettlementTimes(broadcast_ms=60_000)
            if session:
                exchange, owner = on.box.exchange, "0x" + "0a" * 20
                exchange.register_wallet(wallet, owner)
                exchange.authorize_session(wallet, KEY, valid_until_s=on.box.world.now_ms() // 1_000 + 3_600)
            on.box.exchange.fund(wallet, PLENTY)
            client = clob_client(http, SystemClock(), url=on.box.urls.clob, timeout_s=timeout_s)
            signer = OneKey(session=session)
            credentials = await obtain_credentials(client, signer, address=KEY)
            access = Access(credentials=credentials, wallet=wallet, signer=KEY, signature_type=3 if session else 0)
            yield SandboxTrader(on=on, client=client, signer=signer, access=access)
        finally:
            await http.close()
