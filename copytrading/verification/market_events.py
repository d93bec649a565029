"""What `verify market-events` proves: markets that change, end and open are known in time, and asked for once."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

from copytrading.hearing import Hearing
from copytrading.models import CopyTrade, Leader
from copytrading.operations.following import follow
from copytrading.operations.hearing import hear
from copytrading.supervisor import Engine, Supervisor
from copytrading.tokens import PlayedTokens
from copytrading.verification.processes import until
from copytrading.verification.recovery import Once
from copytrading.verification.steps import Step, Wrong, same
from copytrading.wiring import build_engine, real_doors
from copytrading.wiring_choices import Choices
from copytrading.wiring_hearing import MARKET_EVENTS, build_hearing, build_network
from execution.http import Answer, Http, MayLeave, SharedHttp
from execution.models import Market
from execution.sandbox.markets import SandboxMarket, new_market
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.system import SeededRandomness, SystemClock
from ledger.units import ONE

SEED = 3
LEADERS, FOLLOWERS = 2, 60
SHARES = 20 * ONE
REMEMBERED_S = 1.1
"""The terms of a market may be remembered for a second (COPY_TRADING_MARKET_CACHE_MS)."""

WAIT_S = 8
DRAIN_MS = 5_000
CENT, FINE = 10_000, 1_000
STEPS_DOWN_MAX = 500
CASH_MICROS = 1_000_000 * ONE
TERMS: Mapping[str, Any] = {"sizing": "SHARES", "shares_micros": 100 * ONE, "slippage_bps_max": 1_000}
NEW_NUMBER, SHOWN_NUMBER = 5_000, 6_000
CROWD = "0x" + "9d" * 20
SLOW_GAMMA = "gamma:delay=300ms"
GAMMA_PATH = "/gamma/"

SETTINGS: Mapping[str, Any] = {
    "COPY_TRADING_SIGNAL_MODE": "WS_ONLY",
    "COPY_TRADING_MARKET_CACHE_MS": 1_000,
    "COPY_TRADING_ENABLE_MARKET_EVENTS": True,
    "COPY_TRADING_CHAIN_LOGS": False,
    "COPY_TRADING_MEMPOOL": False,
}

Pointed = Callable[[Mapping[str, Any]], AbstractContextManager[None]]
"""Has these settings in force in this process for as long as it is open."""

CopyRow = tuple[int, str, int, bool, str]
"""Of a copy: signal, status, tick, whether it was written with an order, and its first reason."""


class ListedHttp:
    """`Http` that remembers what was asked for."""

    def __init__(self) -> None:
        self._http: Http = SharedHttp()
        self.asked: list[str] = []

    async def get(
        self,
        url: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
    ) -> Answer:
        """Ask, and remember it."""
        self.asked.append(f"{url} {dict(query or {})}")
        return await self._http.get(url, query=query, headers=headers, timeout_s=timeout_s)

    async def post(
        self,
        url: str,
        *,
        body: bytes,
        headers: Mapping[str, str] | None = None,
        timeout_s: float,
        may_leave: MayLeave | None = None,
    ) -> Answer:
        """Send."""
        return await self._http.post(url, body=body, headers=headers, timeout_s=timeout_s, may_leave=may_leave)

    async def delete(
        self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None, timeout_s: float
    ) -> Answer:
        """Have something removed."""
        return await self._http.delete(url, body=body, headers=headers, timeout_s=timeout_s)

    async def close(self) -> None:
        """Let go."""
        await self._http.close()


@dataclass(slots=True, kw_only=True)
class Scene:
    """A live engine in this process on a quiet sandbox."""

    box: Sandbox
    engine: Engine
    hearing: Hearing
    http: ListedHttp
    clock: SystemClock = field(default_factory=SystemClock)

    async def trade(self, market: SandboxMarket, *, leaders: int = 1) -> list[CopyRow]:
        """So many leaders buy in this market at once; every copy of it, once it is decided and answered."""
        before = len(await self.copies(market))
        for leader in self.box.leaders[:leaders]:
            await self.box.trade(leader.wallet, "BUY", market.token_ids[0], shares_micros=SHARES)
        wanted = before + leaders * FOLLOWERS

        async def copied() -> bool:
            return len(await self.copies(market)) >= wanted and not self.engine.sender.in_flight

        await until(self.clock, copied, within_s=WAIT_S, else_say="The trade was not copied by everybody.")
        return (await self.copies(market))[before:]

    async def copies(self, market: SandboxMarket) -> list[CopyRow]:
        """All copies in this market, oldest first."""
        return await self.engine.database.run(_copies, market.condition_id)

    async def row(self, market: SandboxMarket) -> Market | None:
        """What is stored of the market."""
        return await self.engine.database.run(_market, market.condition_id)

    async def until_row(self, market: SandboxMarket, what: Callable[[Market], bool], *, else_say: str) -> None:
        """Wait until the market's row is so, and nobody remembers another."""

        async def is_so() -> bool:
            row = await self.row(market)
            return row is not None and what(row)

        await until(self.clock, is_so, within_s=WAIT_S, else_say=else_say)
        await self.clock.sleep(REMEMBERED_S)

    async def until_told(self, more_than: int) -> None:
        """Wait until the market channel has sent more frames than this."""

        async def told() -> bool:
            return self.frames > more_than

        await until(self.clock, told, within_s=WAIT_S, else_say="The market channel told nothing.")

    @property
    def frames(self) -> int:
        """Of the market channel so far."""
        return self.hearing.stats[MARKET_EVENTS].counts["received"]

    def asked_gamma_for(self, market: SandboxMarket) -> int:
        """Questions to Gamma that name the market or a token of it."""
        names = (market.condition_id, *map(str, market.token_ids))
        return sum(GAMMA_PATH in asked and any(name in asked for name in names) for asked in self.http.asked)


Part = Callable[[Scene], Awaitable[str]]


def market_event_steps(pointed: Pointed) -> Iterable[Step]:
    """The steps in their order; all look at one run."""
    told = Once(lambda: asyncio.run(_played(pointed)))
    return [Step(promise, lambda promise=promise: _told(told()[promise])) for promise in PARTS]  # type: ignore[misc]


def _told(seen: str | Wrong) -> str:
    if isinstance(seen, Wrong):
        raise seen
    return seen


async def _played(pointed: Pointed) -> dict[str, str | Wrong]:
    """Each part in turn; one that goes wrong does not keep the next from running."""
    told: dict[str, str | Wrong] = {}
    async with _scene(pointed) as scene:
        for promise, part in PARTS.items():
            try:
                told[promise] = await part(scene)
            except Wrong as wrong:
                told[promise] = wrong
    return told


async def _new_tick(scene: Scene) -> str:
    """The price of a market falls until its tick becomes finer; whoever copies then must know it."""
    market = scene.box.markets[0]
    before = {row[2] for row in await scene.trade(market)}
    same("Ticks of the first orders", before, {CENT})
    await _listened(scene)
    for _step in range(STEPS_DOWN_MAX):
        scene.box.board.wander(market, -1)
        view = scene.box.board.view(market.token_ids[0])
        if view is not None and view.tick_micros == FINE:
            break
    # Somebody nobody follows trades: the channel tells of the tick behind that trade.
    await scene.box.trade(CROWD, "BUY", market.token_ids[0], shares_micros=SHARES)
    await scene.until_row(market, lambda row: row.tick_micros == FINE, else_say="The tick of the row did not change.")
    rows = await scene.trade(market)
    same("Ticks of the next orders", {row[2] for row in rows}, {FINE})
    same("Copies without an order", sum(not row[3] for row in rows), 0)
    return f"{FOLLOWERS} followers ordered on a tick of 0.01, then on one of 0.001."


async def _resolved(scene: Scene) -> str:
    market = scene.box.markets[0]
    await scene.box.world.resolve(market, market.token_ids[0])
    await scene.until_row(market, lambda row: row.closed, else_say="The market's row is still open.")
    rows = await scene.trade(market)
    same("What became of copies after the end", {(row[1], row[4]) for row in rows}, {("SKIPPED", "MARKET_CLOSED")})
    return f"{FOLLOWERS} copies of a late trade are SKIPPED (MARKET_CLOSED)."


async def _described_late(scene: Scene) -> str:
    frames = scene.frames
    market = await scene.box.open_market(new_market(SEED, NEW_NUMBER))
    await scene.until_told(frames)
    if await scene.row(market) is not None or scene.asked_gamma_for(market):
        raise Wrong("The market was asked for or stored before anybody needed it.")
    await scene.trade(market)
    row = await scene.row(market)
    same("The title that is stored", row and row.title, market.title)
    return "Told of it, nothing is asked; with the first trade it is stored under its title."


async def _asked_once(scene: Scene) -> str:
    market = await scene.box.open_market(new_market(SEED, NEW_NUMBER + 1))
    await scene.box.faults.apply(SLOW_GAMMA)
    try:
        rows = await scene.trade(market, leaders=LEADERS)
    finally:
        scene.box.faults.lift()
    same("Questions to Gamma about it", scene.asked_gamma_for(market), 1)
    if len({row[0] for row in rows}) < LEADERS:
        raise Wrong(f"Not every one of {LEADERS} leaders' trades was copied.")
    return f"{len(rows)} copies of {LEADERS} leaders' trades waited; Gamma was asked once."


PARTS: Mapping[str, Part] = {
    "after tick_size_change the next order is on the new tick": _new_tick,
    "after market_resolved the market is closed and copies are refused": _resolved,
    "a new market is described when it is first needed, not before": _described_late,
    "an unknown market is asked for once, however many followers wait": _asked_once,
}


@asynccontextmanager
async def _scene(pointed: Pointed) -> AsyncIterator[Scene]:
    clock = SystemClock()
    options = SandboxOptions(seed=SEED, leaders=LEADERS, rate=0, delay_factor=0, opening=False, limited=False)
    async with open_sandbox(clock, SeededRandomness, options) as box:
        with pointed({"RPC_URLS": "", **box.environment(), **SETTINGS}):
            doors, http = real_doors(Choices()), ListedHttp()
            network = build_network(doors, shards=1, http=http)
            engine = build_engine(Choices(), replace(doors, markets=network.directory))
            hearing = await engine.database.run(build_hearing, engine, network, doors)
            await engine.database.run(_cast, [leader.wallet for leader in box.leaders], clock)
            stop = asyncio.Event()
            running = asyncio.create_task(Supervisor(engine, drain_ms=DRAIN_MS).run(hearing, stop))
            try:
                await _subscribed(clock, hearing, box)
                yield Scene(box=box, engine=engine, hearing=hearing, http=http)
            finally:
                stop.set()
                try:
                    await running
                finally:
                    # What was decided while draining may have asked again.
                    await network.close()
                    await engine.stores.close()
                    engine.database.close()


async def _subscribed(clock: SystemClock, hearing: Hearing, box: Sandbox) -> None:
    """Return when the engine hears the stream: it has been shown a trade of somebody nobody follows."""

    async def heard() -> bool:
        await box.trade(CROWD, "BUY", box.markets[-1].token_ids[0], shares_micros=SHARES)
        await clock.sleep(0.05)
        return any(stats.counts["received"] for name, stats in hearing.stats.items() if name != MARKET_EVENTS)

    await until(clock, heard, within_s=WAIT_S, else_say="The engine does not hear the stream.")


async def _listened(scene: Scene) -> None:
    """Have the tokens in play read now, which by itself takes seconds; return when the market channel is heard."""
    for part in scene.hearing.parts:
        if isinstance(part, PlayedTokens):
            await part.run_once()
    number = count(SHOWN_NUMBER)

    async def heard() -> bool:
        # Whoever hears of new markets has said in the same message which tokens it wants.
        await scene.box.open_market(new_market(SEED, next(number)))
        await scene.clock.sleep(0.1)
        return scene.frames > 0

    await until(scene.clock, heard, within_s=WAIT_S, else_say="The market channel told nothing.")


def _cast(wallets: list[str], clock: SystemClock) -> None:
    follow(wallets, followers=FOLLOWERS, cash_micros=CASH_MICROS, terms=TERMS)
    hear(list(Leader.objects.values_list("pk", flat=True)), now=clock.now())


def _copies(condition_id: str) -> list[CopyRow]:
    rows = CopyTrade.objects.filter(condition_id=condition_id).order_by("pk")
    columns = rows.values_list("signal_id", "status", "tick_micros", "order_hash", "reasons")
    return [
        (signal, status, tick, order_hash is not None, next((each["reason"] for each in reasons), ""))
        for signal, status, tick, order_hash, reasons in columns
    ]


def _market(condition_id: str) -> Market | None:
    return Market.objects.filter(condition_id=condition_id).first()
