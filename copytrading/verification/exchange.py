"""Real orders on the sandbox: followers with keys of their own, an engine in this process that signs and sends for
them, and the venue's own truth to hold its rows against.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

from copytrading.hearing import Hearing
from copytrading.models import CopyConfig, CopyTrade, Follower, Leader
from copytrading.operations.accounts import NewAccount, add_account
from copytrading.operations.cast import seed_leaders
from copytrading.operations.hearing import hear
from copytrading.states import Status
from copytrading.supervisor import Engine, Supervisor
from copytrading.verification.processes import until
from copytrading.verification.steps import Wrong
from copytrading.verification.timed_venue import TimedHttp
from copytrading.wiring import EngineDoors, build_engine, real_doors
from copytrading.wiring_choices import Choices
from copytrading.wiring_exchange import Exchange, build_exchange
from copytrading.wiring_hearing import MARKET_EVENTS, Network, build_hearing, build_network
from copytrading.wiring_signer import build_vault
from execution.accounts import AccountFacts
from execution.models import Position, TradingAccount
from execution.queries import accounts
from execution.sandbox.happenings import Move
from execution.sandbox.markets import SandboxMarket
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from execution.signing import address_of
from guardrails.models import Scope, Switch
from guardrails.operations import set_switch
from ledger.db import ThreadedDatabase
from ledger.hidden import Hidden
from ledger.models import CashBalance
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE

SEED = 7
CROWD = "0x" + "9d" * 20
WAIT_S = 20
DRAIN_MS = 5_000
CASH = 1_000 * ONE
LEADER_SHARES = 50 * ONE
TERMS: Mapping[str, Any] = {"sizing": "SHARES", "shares_micros": 20 * ONE, "slippage_bps_max": 2_000}
SESSION_LASTS = timedelta(days=180)

KEK = Hidden("k1:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")
"""Of a scratch database that is gone in a minute; the same 32 bytes in every run."""

SETTINGS: Mapping[str, Any] = {
    "ENABLE_REAL_TRADING": True,
    "COPY_TRADING_DRY_RUN": False,
    "COPY_TRADING_SIGNAL_MODE": "WS_ONLY",
    "COPY_TRADING_CHAIN_LOGS": False,
    "COPY_TRADING_MEMPOOL": False,
    "RPC_URLS": "",
    "CHAIN_ID": 137,
    "SLIPSTREAM_KEK": KEK,
    "SLIPSTREAM_KEK_PATH": "",
    "TRADING_PRIVATE_KEY": Hidden(""),
    "SIGNER_SOCKET": "",
    "TRADING_GEOBLOCK_URL": "",
    "CLOB_WARM_COUNT": 1,
}

OPEN = (Status.READY, Status.PENDING, Status.UNKNOWN, Status.LIVE, Status.MATCHED)

Pointed = Callable[[Mapping[str, Any]], AbstractContextManager[None]]
"""Has these settings in force in this process for as long as it is open."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """A follower to be made: what it is called, and whether a session key of its deposit wallet trades for it."""

    name: str
    session: bool = False
    terms: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trader:
    """A follower with its account: the wallet that holds the money, and the address of the key that signs."""

    follower_id: int
    wallet: str
    signer: str


@dataclass(slots=True, kw_only=True)
class RealScene:
    """A running engine whose followers trade on the sandbox."""

    box: Sandbox
    engine: Engine
    exchange: Exchange
    traders: Mapping[str, Trader]
    database: ThreadedDatabase
    http: TimedHttp
    clock: SystemClock = field(default_factory=SystemClock)

    @property
    def market(self) -> SandboxMarket:
        """Where everybody trades unless another is named."""
        return self.box.markets[0]

    async def leader_trades(
        self, side: str = "BUY", *, market: SandboxMarket | None = None, shares: int = LEADER_SHARES, outcome: int = 0
    ) -> None:
        """The leader trades in public; the engine hears it as it hears everybody."""
        token = (market or self.market).token_ids[outcome]
        wallet = self.box.leaders[0].wallet
        await self.box.trade(wallet, "BUY" if side == "BUY" else "SELL", token, shares_micros=shares)

    async def copies(self, name: str | None = None) -> list[CopyTrade]:
        """Every copy, or one follower's, oldest first."""
        follower = None if name is None else self.traders[name].follower_id
        return await self.database.run(_copies, follower)

    async def settled(self, copies: int) -> list[CopyTrade]:
        """Every copy, once there are so many and none of them is open."""

        async def done() -> bool:
            rows = await self.copies()
            return len(rows) >= copies and all(Status(row.status) not in OPEN for row in rows)

        try:
            await self.until(done, f"{copies} copies were not settled")
        except Wrong:
            rows = await self.copies()
            told = [f"{row.follower_id} {row.side} {row.status} {row.reasons}" for row in rows]
            raise Wrong(f"{copies} copies were not settled in {WAIT_S} s: {told}") from None
        await self.box.exchange.settled()
        return await self.copies()

    async def until(self, what: Callable[[], Awaitable[bool]], else_say: str) -> None:
        """Return when it is so. Raises Wrong."""
        await until(self.clock, what, within_s=WAIT_S, else_say=f"In {WAIT_S} s: {else_say}.", alive=[])

    async def ready(self, *names: str) -> None:
        """Return when these accounts, or all, have been found ready and their money is booked."""
        wanted = {self.traders[name].follower_id for name in names or self.traders}

        async def known() -> bool:
            return wanted <= set(await self.database.run(_ready_followers))

        await self.until(known, "the accounts were not found ready")

    async def differs(self, *names: str) -> str:
        """Where the books of these, or all, differ from the venue's truth, in a sentence; empty when nowhere."""
        chosen = [self.traders[name] for name in names or self.traders]
        return await self.database.run(_difference, self.box, chosen)

    async def decided(self, copies: int) -> None:
        """Return when there are so many copies, in whatever state."""

        async def done() -> bool:
            return len(await self.copies()) >= copies

        await self.until(done, f"there were no {copies} copies")

    async def facts(self) -> list[AccountFacts]:
        """The accounts as the decisions see them, without their money."""
        followers = [each.follower_id for each in self.traders.values()]
        return list((await self.database.run(_facts, followers)).values())

    async def dry_run(self, *, on: bool) -> None:
        """Switch the dry run of everybody."""
        await self.database.run(_switch_dry_run, on)

    async def take_away(self, trader: Trader, token_id: int, shares_micros: int) -> None:
        """The owner sends shares away, by a way that the engine has no part in."""
        move = Move(
            kind="TRANSFER",
            wallet=trader.wallet,
            condition_id=self.box.world.market_of[token_id].condition_id,
            shares_micros=shares_micros,
            token_id=token_id,
            other_wallet=CROWD,
        )
        await self.box.world.happen(move)


@asynccontextmanager
async def real_scene(
    pointed: Pointed,
    people: Sequence[Who],
    *,
    settings: Mapping[str, Any] | None = None,
    http: TimedHttp | None = None,
) -> AsyncIterator[RealScene]:
    """A quiet sandbox, these followers of its first leader with $1,000 each, and an engine that trades for them."""
    options = SandboxOptions(seed=SEED, leaders=1, rate=0, delay_factor=0, limited=False, opening=False)
    database = ThreadedDatabase(1)
    async with open_sandbox(SystemClock(), SeededRandomness, options) as box:
        values = {**settings_for(box), **(settings or {})}
        with pointed(values):
            try:
                traders = await database.run(cast, box.leaders[0].wallet, people)
                for who in people:
                    admit(box, traders[who.name], who)
                async with _running(box, traders, database, http or TimedHttp()) as scene:
                    yield scene
            finally:
                database.close()


def settings_for(box: Sandbox) -> dict[str, Any]:
    """What points an engine at this sandbox, with real orders."""
    return {
        **SETTINGS,
        "COPY_TRADING_WS_URL": box.urls.activity,
        "DATA_API_URL": box.urls.data_api,
        "GAMMA_URL": box.urls.gamma,
        "CLOB_URL": box.urls.clob,
        "COPY_TRADING_MARKET_WS_URL": box.urls.market,
        "CLOB_USER_WS_URL": box.urls.user,
    }


@asynccontextmanager
async def _running(
    box: Sandbox, traders: Mapping[str, Trader], database: ThreadedDatabase, http: TimedHttp
) -> AsyncIterator[RealScene]:
    choices = Choices(seed=SEED)
    doors = await database.run(real_doors, choices)
    network = build_network(doors, shards=1)
    exchange = await database.run(_exchange, doors, network, http)
    engine = build_engine(choices, replace(network.doors_for_engine(doors), exchange=exchange.doors))
    engine = exchange.join(engine, doors)
    hearing = await database.run(build_hearing, engine, network, doors)
    stop = asyncio.Event()
    running = asyncio.create_task(Supervisor(engine, drain_ms=DRAIN_MS).run(hearing, stop))
    scene = RealScene(box=box, engine=engine, exchange=exchange, traders=traders, database=database, http=http)
    try:
        await scene.until(_heard(box, hearing, running), "the engine does not hear the stream")
        await scene.ready()
        yield scene
    finally:
        stop.set()
        try:
            await running
        finally:
            await exchange.close()
            await network.close()
            await doors.stores.close()
            doors.database.close()


def _exchange(doors: EngineDoors, network: Network, http: TimedHttp) -> Exchange:
    return build_exchange(doors, shards=1, sockets=network.sockets, markets=network.directory, http=http)


def _heard(box: Sandbox, hearing: Hearing, running: "asyncio.Task[bool]") -> Callable[[], Awaitable[bool]]:
    """Whether the engine hears the stream: it has been shown a trade of somebody nobody follows."""

    async def heard() -> bool:
        if running.done():
            running.result()
        await box.trade(CROWD, "BUY", box.markets[-1].token_ids[0], shares_micros=10 * ONE)
        return any(stats.counts["received"] for name, stats in hearing.stats.items() if name != MARKET_EVENTS)

    return heard


def cast(leader_wallet: str, people: Sequence[Who]) -> dict[str, Trader]:
    """A leader who is heard, and these followers of it with accounts whose keys are sealed."""
    (leader,) = seed_leaders({leader_wallet: "Leader"}, holdings_complete=True)
    hear([leader.pk], now=SystemClock().now() - timedelta(seconds=1))
    return {who.name: _trader(leader, who) for who in people}


def _trader(leader: Leader, who: Who) -> Trader:
    secret = sha256(f"key of {who.name}".encode()).digest()
    signer = address_of(secret).lower()
    wallet = f"0x{sha256(f'wallet of {who.name}'.encode()).hexdigest()[:40]}" if who.session else signer
    follower = Follower.objects.create(name=who.name, wallet=wallet)
    kind = TradingAccount.Kind.SESSION if who.session else TradingAccount.Kind.EOA
    new = NewAccount(
        wallet=wallet,
        signer=signer,
        kind=kind,
        signature_type=3 if who.session else 0,
        valid_until=SystemClock().now() + SESSION_LASTS if who.session else None,
    )
    add_account(new, secret, vault=build_vault(), actor="verify")
    CopyConfig.objects.create(leader=leader, follower=follower, **{**TERMS, **who.terms})
    return Trader(follower_id=follower.pk, wallet=wallet, signer=signer)


def admit(box: Sandbox, trader: Trader, who: Who) -> None:
    """Have the venue know this follower's wallet and key, with $1,000."""
    if who.session:
        owner = address_of(sha256(f"owner of {who.name}".encode()).digest())
        box.exchange.register_wallet(trader.wallet, owner)
        until_s = int((SystemClock().now() + SESSION_LASTS).timestamp())
        box.exchange.authorize_session(trader.wallet, trader.signer, valid_until_s=until_s)
    box.exchange.fund(trader.wallet, CASH)


def _copies(follower_id: int | None) -> list[CopyTrade]:
    rows = CopyTrade.objects.order_by("pk")
    return list(rows if follower_id is None else rows.filter(follower_id=follower_id))


def _facts(follower_ids: Sequence[int]) -> dict[int, AccountFacts]:
    return accounts(follower_ids, now=SystemClock().now())


def _switch_dry_run(on: bool) -> None:
    now = SystemClock().now()
    set_switch(kind=Switch.Kind.DRY_RUN, scope=Scope.GLOBAL, key="", on=on, who="verify", why="a check", now=now)


def _ready_followers() -> list[int]:
    rows = TradingAccount.objects.filter(missing=[], synced_at__isnull=False)
    return list(rows.values_list("follower_id", flat=True))


def _difference(box: Sandbox, traders: Sequence[Trader]) -> str:
    """The chain's balances against cash and positions, and the venue's orders against rows, one of each."""
    for each in traders:
        booked = CashBalance.objects.get(follower_id=each.follower_id)
        if (booked.cash_micros, booked.reserved_micros) != (box.exchange.cash(each.wallet), 0):
            return f"{each.wallet} has {box.exchange.cash(each.wallet)} on the venue, and here {booked.cash_micros}."
        for position in Position.objects.filter(follower_id=each.follower_id):
            shares = box.exchange.shares(each.wallet, int(position.token_id))
            if (position.size_micros, position.reserved_micros) != (shares, 0):
                return f"{each.wallet} has {shares} shares on the venue, and here {position.size_micros}."
    rows = CopyTrade.objects.exclude(order_hash=None).exclude(status=Status.SKIPPED)
    sent = set(rows.values_list("order_hash", flat=True))
    known = {order.order_hash for order in box.exchange.orders()}
    if known - sent:
        return f"The venue has {len(known - sent)} orders that no row knows."
    often = {key: number for key, number in box.exchange.received.items() if number > 1}
    return f"{len(often)} orders arrived more than once." if often else ""
