"""The composition root's part about real money: signer, venue, accounts and what follows orders, from the settings."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from copytrading.accounts.doubts import said
from copytrading.operations.moves import Move
from copytrading.sending import Route
from copytrading.stale_markets import Markets, StaleMarkets
from copytrading.supervisor import Engine, Service
from copytrading.tracking.audit import Audit, AuditDoors
from copytrading.tracking.user_streams import StreamDoors, StreamSettings, UserStreams
from copytrading.wiring import EngineDoors, ExchangeDoors, build_shared_stores, what_has_time
from copytrading.wiring_accounts import (
    AccountDoors,
    Accounts,
    build_accounts,
    build_client,
    build_rpc,
    ensure_trader,
    exchange_addresses,
)
from copytrading.wiring_signer import build_signer, build_vault, expect_of, needed_secrets, refuse_lost_keys
from execution.clob.client import BODY_MAX, ClobClient
from execution.clob.market_fees import StoredFees
from execution.clob.rates import OrderRates, RateSettings
from execution.clob.warmth import Warmth
from execution.deployments import POLYGON
from execution.http import Http, SharedHttp
from execution.order_status import OrdersOnChain
from execution.orders import OrderPlan
from execution.ports import Rejected, RejectReason
from execution.signer.remote import RemoteSigner
from execution.sockets import Sockets
from execution.venues.clob import ClobDoors, ClobVenue
from guardrails.stores.base import Stores
from ledger.units import Side

ORDERS_TENTHS = 7
"""Of the connections, for orders. The rest is for what is asked side by side, which is bounded elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """All that real money needs, beside the engine it is given to."""

    doors: ExchangeDoors
    client: ClobClient
    venue: ClobVenue
    accounts: Accounts
    stale: StaleMarkets
    sockets: Sockets
    close: Callable[[], Awaitable[None]]

    def join(self, engine: Engine, doors: EngineDoors) -> Engine:
        """The engine with the services that look after accounts and follow what was sent.

        Its doors had these `doors`; the fills that rescue keeps are those that the user's connections bring.
        """
        fills, accounts, database = engine.rescue.fills, self.accounts, what_has_time(engine.database)
        fills.listeners.append(self._settled)
        streams = UserStreams(
            StreamDoors(
                database=database,
                clock=engine.clock,
                randomness=doors.randomness,
                sockets=self.sockets,
                access=accounts.book,
                trades=self.venue,
                fills=fills,
                doubt=accounts.keeper.doubt,
            ),
            StreamSettings(
                url=settings.CLOB_USER_WS_URL,
                active_for=timedelta(seconds=settings.CLOB_USER_ACTIVE_S),
                connections_max=settings.CLOB_USER_SOCKETS_COUNT,
            ),
            shard=engine.lease.shard,
        )
        audit = Audit(AuditDoors(database=database, clock=engine.clock, history=self.venue), shard=engine.lease.shard)
        services: tuple[Service, ...] = (
            accounts.keeper,
            accounts.funds,
            streams,
            audit,
            self.stale,
            *self._warmth(engine),
        )
        return replace(engine, following=(*engine.following, *services))

    def _settled(self, move: Move) -> None:
        self.accounts.funds.changed(move.row.follower_id)

    def _warmth(self, engine: Engine) -> tuple[Service, ...]:
        if not settings.CLOB_WARM_COUNT:
            return ()
        return (
            Warmth(
                self.client,
                engine.clock,
                connections=settings.CLOB_WARM_COUNT,
                keep_alive_s=settings.CLOB_KEEP_ALIVE_S,
            ),
        )


def refuse_real_trading() -> None:
    """Raise ImproperlyConfigured, with a sentence, where real money must not be traded as things are set."""
    if connection.vendor != "postgresql":
        raise ImproperlyConfigured("ENABLE_REAL_TRADING needs Postgres. Set DATABASE_URL to postgres://….")
    if not settings.REDIS_URL:
        raise ImproperlyConfigured("ENABLE_REAL_TRADING needs Redis. Set REDIS_URL to redis://….")
    if settings.CHAIN_ID != POLYGON:
        raise ImproperlyConfigured(
            f"ENABLE_REAL_TRADING needs chain {POLYGON}: orders are signed for it alone, and CHAIN_ID is "
            f"{settings.CHAIN_ID}."
        )
    if settings.SIGNER_SOCKET and settings.TRADING_PRIVATE_KEY:
        raise ImproperlyConfigured(
            "SIGNER_SOCKET and TRADING_PRIVATE_KEY are both set: a key that another process keeps has no place here."
        )
    refuse_lost_keys(build_vault(), needed_secrets())


def build_exchange(
    doors: EngineDoors, *, shards: int, sockets: Sockets, markets: Markets, http: Http | None = None
) -> Exchange:
    """The way to the venue, its accounts and their services. Raises ImproperlyConfigured."""
    ensure_trader()
    pool = http or order_pool()
    shared = build_shared_stores(doors.clock) if settings.REDIS_URL else None
    counters = shared.counters if shared else None
    outside = AccountDoors(database=doors.database, clock=doors.clock, randomness=doors.randomness)
    client = build_client(outside, pool, shards=shards, counters=counters)
    signer = build_signer(doors.database, doors.clock)
    accounts = build_accounts(outside, pool, client=client, signer=signer)
    stale = StaleMarkets(markets, doors.clock)
    rates = _rates(doors, shared, shards=shards)
    venue = ClobVenue(
        ClobDoors(
            client=client,
            access=accounts.book,
            rates=rates,
            fees=StoredFees(doors.database, doors.clock, learn=stale.learn),
            clock=doors.clock,
            on_rejected=_Listening(accounts, stale).rejected,
            chain=_orders_on_chain(outside, pool),
        )
    )

    async def close() -> None:
        await pool.close()
        if isinstance(signer, RemoteSigner):
            await signer.close()
        if shared is not None:
            await shared.close()

    def expect() -> None:
        rates.expect()
        expect_of(signer)

    async def sign(plan: OrderPlan) -> bytes:
        return await signer.sign_order(plan, key=plan.key)

    return Exchange(
        doors=ExchangeDoors(
            route=Route(venue=venue, sign=sign, at_once=orders_at_once(), expect=expect),
            funds=accounts.funds,
            rates=rates,
        ),
        client=client,
        venue=venue,
        accounts=accounts,
        stale=stale,
        sockets=sockets,
        close=close,
    )


def orders_at_once() -> int:
    """Orders that need not wait for a connection, though questions about orders, trades and money share the pool."""
    return max(1, settings.CLOB_CONNECTIONS_COUNT * ORDERS_TENTHS // 10)


def order_pool(make: Callable[..., Http] = SharedHttp) -> Http:
    """The connections that all accounts' orders share, within the bounds of the settings."""
    return make(
        connections_max=settings.CLOB_CONNECTIONS_COUNT, body_max=BODY_MAX, keep_alive_s=settings.CLOB_KEEP_ALIVE_S
    )


def _orders_on_chain(doors: AccountDoors, http: Http) -> OrdersOnChain | None:
    rpc = build_rpc(doors, http)
    return None if rpc is None else OrdersOnChain(rpc, exchange_addresses().values())


def _rates(doors: EngineDoors, shared: Stores | None, *, shards: int) -> OrderRates:
    terms = RateSettings(
        short=settings.CLOB_ORDERS_COUNT,
        long=settings.CLOB_ORDERS_LONG_COUNT,
        share_percent=settings.CLOB_SHARE_PERCENT,
        shards=shards,
    )
    counters, cache = (shared.counters, shared.cache) if shared else (None, None)
    return OrderRates(doors.clock, doors.randomness, settings=terms, counters=counters, cache=cache)


class _Listening:
    """What a definite no of the venue says about the account, its money, the market, or where this machine is."""

    def __init__(self, accounts: Accounts, stale: StaleMarkets) -> None:
        self._accounts, self._stale = accounts, stale

    def rejected(self, plan: OrderPlan, follower_id: int, outcome: Rejected) -> None:
        """Pass it on; must not block."""
        if outcome.reason is RejectReason.ACCOUNT_REFUSED or "invalid signature" in outcome.detail.lower():
            self._accounts.keeper.doubt(follower_id, said(outcome.detail))
        elif outcome.reason is RejectReason.NOT_ENOUGH_BALANCE:
            self._accounts.funds.forget(follower_id)
            if plan.side is Side.SELL:
                # Perhaps the leave to move the shares was taken back.
                self._accounts.approvals.forget(plan.maker)
        elif outcome.reason is RejectReason.BLOCKED:
            self._accounts.place.look_again()
        elif outcome.reason in (RejectReason.OFF_TICK, RejectReason.WRONG_VERSION, RejectReason.MARKET_CLOSED):
            self._stale.note(plan.token_id)
