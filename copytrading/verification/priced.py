"""A live engine in this process whose paper followers trade on the books of a quiet sandbox."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from copytrading.hearing import Hearing
from copytrading.models import CopyTrade, Leader
from copytrading.operations.following import follow
from copytrading.operations.hearing import hear
from copytrading.sources.book_watch import BookWatch
from copytrading.supervisor import Engine, Supervisor
from copytrading.tokens import PlayedTokens
from copytrading.verification.market_events import CROWD, ListedHttp, Pointed
from copytrading.verification.processes import until
from copytrading.verification.steps import Wrong
from copytrading.wiring import build_engine, real_doors
from copytrading.wiring_choices import Choices
from copytrading.wiring_hearing import MARKET_EVENTS, build_hearing, build_network
from execution.quotes import LiveBooks
from execution.sandbox.markets import SandboxMarket
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.system import SeededRandomness, SystemClock, SystemIds
from ledger.units import ONE

SEED = 5
LEADERS, FOLLOWERS = 2, 100
LEADER_SHARES = 20 * ONE
SHARES = 5_000
"""Of each follower: together more than any book of the sandbox offers within the slippage."""

SLIPPAGE_BPS = 400
"""Below what opens a circuit breaker."""
WAIT_S = 10
DRAIN_MS = 5_000
BOOK_PATH = "/clob/book?"

TERMS: Mapping[str, Any] = {"sizing": "SHARES", "shares_micros": SHARES * ONE, "slippage_bps_max": SLIPPAGE_BPS}

SETTINGS: Mapping[str, Any] = {
    "PAPER_BOOKS": "VENUE",
    "COPY_TRADING_SIGNAL_MODE": "WS_ONLY",
    "COPY_TRADING_MARKET_CACHE_MS": 1_000,
    "COPY_TRADING_CHAIN_LOGS": False,
    "COPY_TRADING_MEMPOOL": False,
    "COPY_TRADING_QUOTE_WAIT_MS": 1_000,
    "COPY_TRADING_FALLBACK_PRICE_MS": 10_000,
    "COPY_TRADING_FORCE_FALLBACK_PRICE": False,
    "COPY_TRADING_BOOK_COMPARE_S": 600,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """One follower's answer as its row says it."""

    signal: int
    status: str
    quote_source: str
    limit_micros: int
    leader_price_micros: int
    filled_micros: int
    reasons: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class Scene:
    """The engine, what it hears, and what it asked for."""

    box: Sandbox
    engine: Engine
    hearing: Hearing
    books: LiveBooks
    http: ListedHttp
    clock: SystemClock = field(default_factory=SystemClock)

    async def trade(self, market: SandboxMarket, *, leaders: int = 1) -> list[Copy]:
        """So many leaders buy in this market at once; every copy of it, once it is decided and answered."""
        before = len(await self.copies(market))
        for leader in self.box.leaders[:leaders]:
            await self.box.trade(leader.wallet, "BUY", market.token_ids[0], shares_micros=LEADER_SHARES)
        wanted = before + leaders * FOLLOWERS

        async def copied() -> bool:
            return len(await self.copies(market)) >= wanted and not self.engine.sender.in_flight

        await until(self.clock, copied, within_s=WAIT_S, else_say="The trade was not copied by everybody.")
        return (await self.copies(market))[before:]

    async def copies(self, market: SandboxMarket) -> list[Copy]:
        """All copies of buys of the market's first token, oldest first.

        A leader may stand on the other side of a trade: then it sells this token, or buys the other one.
        """
        return await self.engine.database.run(_copies, market.token_ids[0])

    def asked_for(self, market: SandboxMarket) -> int:
        """Requests for the book of this market's first token so far."""
        return sum(f"{BOOK_PATH}token_id={market.token_ids[0]}" in asked for asked in self.http.asked)

    async def in_play(self, market: SandboxMarket) -> None:
        """Have the tokens in play read now, and wait until the market channel has told this one's book."""
        for part in self.hearing.parts:
            if isinstance(part, PlayedTokens):
                await part.run_once()
        await self.until_streamed(market)

    async def until_streamed(self, market: SandboxMarket) -> None:
        """Wait until the market channel has told this one's book."""

        async def told() -> bool:
            return market.token_ids[0] in self.books.streamed.tokens

        await until(self.clock, told, within_s=WAIT_S, else_say="The market channel told no book.")

    async def until_fresh(self, market: SandboxMarket) -> None:
        """Wait until there is a book that is not too old, without asking for one."""

        async def fresh() -> bool:
            return self.books.last(market.token_ids[0]) is not None

        await until(self.clock, fresh, within_s=WAIT_S, else_say="The market channel told of no trade.")

    @property
    def watch(self) -> BookWatch:
        """Who compares books."""
        found = [part for part in self.hearing.parts if isinstance(part, BookWatch)]
        if not found:
            raise Wrong("Nobody compares books.")
        return found[0]


Part = Callable[[Scene], Awaitable[str]]


@asynccontextmanager
async def priced_scene(pointed: Pointed, more: Mapping[str, Any]) -> AsyncIterator[Scene]:
    """A scene with these settings too; at the end nothing of it is left."""
    clock = SystemClock()
    # Another run has other transactions: those of the one before are known already.
    quiet = SandboxOptions(seed=SEED, leaders=LEADERS, rate=0, delay_factor=0, opening=False, limited=False)
    options = replace(quiet, run=SystemIds().token())
    async with open_sandbox(clock, SeededRandomness, options) as box:
        with pointed({"RPC_URLS": "", **box.environment(), **SETTINGS, **more}):
            doors, http = real_doors(Choices()), ListedHttp()
            network = build_network(doors, shards=1, http=http)
            if network.books is None:
                raise Wrong("Nobody is priced on the venue's books.")
            engine = build_engine(Choices(), network.doors_for_engine(doors))
            hearing = await engine.database.run(build_hearing, engine, network, doors)
            await engine.database.run(_cast, [leader.wallet for leader in box.leaders], clock)
            stop = asyncio.Event()
            running = asyncio.create_task(Supervisor(engine, drain_ms=DRAIN_MS).run(hearing, stop))
            try:
                await _subscribed(clock, hearing, box)
                yield Scene(box=box, engine=engine, hearing=hearing, books=network.books, http=http)
            finally:
                box.faults.lift()
                stop.set()
                try:
                    await running
                finally:
                    await network.close()
                    await engine.stores.close()
                    engine.database.close()


async def played(pointed: Pointed, parts: Mapping[str, Part], more: Mapping[str, Any]) -> dict[str, str | Wrong]:
    """Each part in turn on one scene; one that goes wrong does not keep the next from running."""
    told: dict[str, str | Wrong] = {}
    async with priced_scene(pointed, more) as scene:
        for promise, part in parts.items():
            try:
                told[promise] = await part(scene)
            except Wrong as wrong:
                told[promise] = wrong
            finally:
                scene.box.faults.lift()
    return told


def told(seen: str | Wrong) -> str:
    """The sentence of a part that held. Raises Wrong for one that did not."""
    if isinstance(seen, Wrong):
        raise seen
    return seen


async def _subscribed(clock: SystemClock, hearing: Hearing, box: Sandbox) -> None:
    """Return when the engine hears the stream: it has been shown a trade of somebody nobody follows."""

    async def heard() -> bool:
        await box.trade(CROWD, "BUY", box.markets[-1].token_ids[0], shares_micros=LEADER_SHARES)
        await clock.sleep(0.05)
        return any(stats.counts["received"] for name, stats in hearing.stats.items() if name != MARKET_EVENTS)

    await until(clock, heard, within_s=WAIT_S, else_say="The engine does not hear the stream.")


def _cast(wallets: list[str], clock: SystemClock) -> None:
    follow(wallets, followers=FOLLOWERS, cash_micros=1_000_000_000 * ONE, terms=TERMS)
    hear(list(Leader.objects.values_list("pk", flat=True)), now=clock.now())


def _copies(token_id: int) -> list[Copy]:
    return [
        Copy(
            signal=row.signal_id,
            status=row.status,
            quote_source=row.quote_source,
            limit_micros=row.limit_micros,
            leader_price_micros=row.leader_price_micros,
            filled_micros=row.fill_size_micros,
            reasons=tuple(each["reason"] for each in row.reasons if not each.get("note")),
            notes=tuple(each["reason"] for each in row.reasons if each.get("note")),
        )
        for row in CopyTrade.objects.filter(token_id=token_id, side="BUY").order_by("pk")
    ]
