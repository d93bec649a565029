"""The sandbox as a whole: one world, one generator, one server with all doors. In process or behind a command."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from execution.sandbox import activity, clob_door, data_api, gamma_door, market_socket
from execution.sandbox.board import Board
from execution.sandbox.control import PATH as CONTROL_PATH
from execution.sandbox.control import ControlDoor
from execution.sandbox.exchange import user_socket
from execution.sandbox.exchange.desk import DeskParts, Exchange
from execution.sandbox.exchange.page import ExchangePage
from execution.sandbox.faults import Faults
from execution.sandbox.generator import Generator, MarketEnd, NewMarket, What
from execution.sandbox.happenings import Settlement, SideName
from execution.sandbox.holdings import Positions
from execution.sandbox.later import Later
from execution.sandbox.leaders import LEADERS, SandboxLeader, make_crowd, make_leaders
from execution.sandbox.markets import SandboxMarket, make_markets
from execution.sandbox.moves import redemption
from execution.sandbox.noise import Noise
from execution.sandbox.off_chain import OffChain
from execution.sandbox.serving import HOST, Server
from execution.sandbox.trading import Trading, Wish
from execution.sandbox.truth import Truth
from execution.sandbox.world import Event, World
from ledger.clock import Clock, Randomness

ChanceOf = Callable[[int], Randomness]
"""A stream of chance that follows from a number."""

STREAMS = 1_000_003
"""Keeps the streams of one seed apart from those of the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxOptions:
    """`rate` 1 is about 3 trades of leaders a second, 0 lets nothing happen by itself.

    `delay_factor` shrinks the delays of all doors; with 0 a door shows at once, before `happen` returns. `noise` are
    frames a second of wallets that nobody knows. `limited` keeps to the published limits of requests. `run` goes into
    the hashes of an off-chain settlement, so that a second run with the same seed has its own. `faults` are set, in
    words, before anything happens.
    """

    seed: int = 1
    leaders: int = LEADERS
    rate: float = 1.0
    delay_factor: float = 1.0
    noise: int = 0
    port: int = 0
    limited: bool = True
    opening: bool = True
    run: str = ""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Urls:
    """Where the doors are. `gamma`, `clob` and `data_api` are what paths are appended to."""

    activity: str
    data_api: str
    gamma: str
    clob: str
    market: str
    user: str
    control: str


Attachment = Callable[["Sandbox"], AbstractAsyncContextManager[Mapping[str, str]]]
"""Doors built elsewhere: opened before anything happens, they name their faults and answer settings with their URLs."""


@asynccontextmanager
async def open_sandbox(
    clock: Clock,
    chance_of: ChanceOf,
    options: SandboxOptions,
    *,
    settlement: Settlement | None = None,
    attachment: Attachment | None = None,
) -> AsyncIterator["Sandbox"]:
    """A running sandbox; at the end nothing of it is left. It plays by itself when the rate is above zero.

    The settlement is the off-chain one unless another is given; it is started and closed here. Raises UnknownFault for
    an unreadable fault and OSError when the port is taken.
    """
    settles = settlement or OffChain(clock, options.seed, run=options.run)
    try:
        await settles.start()
        markets = await settles.prepare(make_markets(options.seed))
        sandbox = Sandbox(World(clock, settles, markets), chance_of, options)
        async with AsyncExitStack() as opened:
            if attachment is not None:
                sandbox.extra_urls |= await opened.enter_async_context(attachment(sandbox))
            opened.push_async_callback(sandbox.close)
            await sandbox.start()
            yield sandbox
    finally:
        await settles.close()


class Sandbox:
    """What a test or the command holds in its hand. Made by `open_sandbox`."""

    def __init__(self, world: World, chance_of: ChanceOf, options: SandboxOptions) -> None:
        generation, fault_chance, delays, noise = (chance_of(options.seed * STREAMS + number) for number in range(4))
        self.world = world
        self.options = options
        self.faults = Faults(world.clock, fault_chance)
        self.leaders: tuple[SandboxLeader, ...] = make_leaders(options.seed, options.leaders)
        self.board = Board(world.markets.values(), generation)
        self.extra_urls: dict[str, str] = {}
        """Addresses of doors that are built elsewhere, by the name of their setting."""
        self._later = Later(world.clock)
        self._trading = self._make_trading(generation)
        self._generator = Generator(options.seed, self._trading, chance=generation, leaders=self.leaders)
        self._server = Server(world.clock, options.port)
        self.activity, self.data_api, self.market = self._open_doors(delays)
        self.exchange = self._open_exchange()
        self._noise = Noise(options.seed, self.activity, clock=world.clock, chance=noise)
        self._turn = asyncio.Lock()

    @property
    def truth(self) -> Truth:
        """The exact totals and holdings."""
        return self.world.truth

    @property
    def markets(self) -> tuple[SandboxMarket, ...]:
        """All markets, ended ones too, in the order of their opening."""
        return tuple(self.world.markets.values())

    @property
    def urls(self) -> Urls:
        """Where the doors are, once started."""
        place = f"{HOST}:{self._server.port}"
        return Urls(
            activity=f"ws://{place}{activity.PATH}",
            data_api=f"http://{place}{data_api.PATH}",
            gamma=f"http://{place}{gamma_door.PATH}",
            clob=f"http://{place}{clob_door.PATH}",
            market=f"ws://{place}{market_socket.PATH}",
            user=f"ws://{place}{user_socket.PATH}",
            control=f"http://{place}{CONTROL_PATH}",
        )

    def environment(self) -> dict[str, str]:
        """The variables that point Slipstream at this sandbox."""
        urls = self.urls
        return {
            "COPY_TRADING_WS_URL": urls.activity,
            "DATA_API_URL": urls.data_api,
            "GAMMA_URL": urls.gamma,
            "CLOB_URL": urls.clob,
            "COPY_TRADING_MARKET_WS_URL": urls.market,
            "CLOB_USER_WS_URL": urls.user,
            **self.extra_urls,
        }

    def summary(self) -> Mapping[str, object]:
        """What there is, in words of JSON."""
        return {
            "seed": self.options.seed,
            "settlement": self.world.settlement.name,
            "environment": self.environment(),
            "control": self.urls.control,
            "leaders": [{"name": each.name, "wallet": each.wallet} for each in self.leaders],
            "markets": [{"condition_id": each.condition_id, "title": each.title} for each in self.markets],
            "groups": len(self.truth.totals),
            "activity_frames": self.activity.frames,
            "noise_frames": self._noise.sent,
        }

    async def start(self) -> None:
        """Listen, let the leaders' opening happen, and play when the rate is above zero."""
        await self._server.start()
        for words in self.options.faults:
            await self.faults.apply(words)
        if self.options.opening:
            for happening in self._generator.opening():
                await self.world.happen(happening)
        if self.options.rate > 0:
            self._later.keep(self._play_on())
        if self.options.noise:
            self._later.keep(self._noise.run(self.options.noise, self.markets))

    async def until_broken(self) -> None:
        """Return when something in the background failed; closing raises what."""
        await self._later.broken.wait()

    async def close(self) -> None:
        """Stop playing and listening. Raises what failed in the background."""
        try:
            await self._later.close()
        finally:
            await self._server.close()

    async def play(self, steps: int) -> int:
        """Go on by so many steps of the generator without waiting between them; answers how many happenings."""
        return sum([await self._step() for _ in range(steps)])

    async def trade(
        self, wallet: str, side: SideName, token_id: int, *, shares_micros: int, maker: bool = False
    ) -> Event:
        """Make one trade happen, as far as the book goes. Raises ValueError where there is nothing to trade."""
        async with self._turn:
            market = self.world.market_of.get(token_id)
            if market is None or market not in self._trading.open:
                raise ValueError("no open market has this token")
            if side == "SELL" and self.truth.held(wallet, token_id) < shares_micros:
                raise ValueError("the wallet does not hold that much")
            wish = Wish(
                wallet=wallet, market=market, token_id=token_id, side=side, shares_micros=shares_micros, maker=maker
            )
            match = self._trading.match(wish)
            if match is None:
                raise ValueError("the book is empty")
            return await self.world.happen(match)

    async def open_market(self, market: SandboxMarket) -> SandboxMarket:
        """Open one more market, as the venue does all day long; answers it with the ids that the settlement gave it."""
        known = await self.world.open(market)
        self.board.add(known)
        self._trading.open.append(known)
        return known

    async def end_market(self, market: SandboxMarket, winner: int) -> None:
        """End a market: nobody trades in it any more, and `winner` pays one. Raises ValueError where it has ended."""
        async with self._turn:
            if market not in self._trading.open:
                raise ValueError("no such market is open")
            await self._do(MarketEnd(market=market, winner=winner))

    async def redeem(self, wallet: str) -> tuple[Event, ...]:
        """Redeem all that a wallet holds of ended markets: a transaction for each token, whether it pays or not."""
        events = []
        async with self._turn:
            while (move := redemption(self.truth, wallet)) is not None:
                events.append(await self.world.happen(move))
        return tuple(events)

    async def _play_on(self) -> None:
        began, due_ms = self.world.clock.monotonic_ms(), 0.0
        while True:
            step = self._generator.next()
            due_ms += step.gap_ms / self.options.rate
            wait_ms = due_ms - (self.world.clock.monotonic_ms() - began)
            await self.world.clock.sleep(max(0.0, wait_ms / 1_000))
            async with self._turn:
                for what in step.act():
                    await self._do(what)

    async def _step(self) -> int:
        async with self._turn:
            happened = self._generator.next().act()
            for what in happened:
                await self._do(what)
        return len(happened)

    async def _do(self, what: What) -> None:
        if isinstance(what, NewMarket):
            await self.open_market(what.market)
        elif isinstance(what, MarketEnd):
            self._trading.open.remove(what.market)
            await self.world.resolve(what.market, what.winner)
        else:
            await self.world.happen(what)

    def _make_trading(self, chance: Randomness) -> Trading:
        seed = self.options.seed
        trading = Trading(seed, self.board, self.truth, chance=chance, crowd=make_crowd(seed))
        trading.cast(self.leaders, self.markets)
        return trading

    def _open_exchange(self) -> Exchange:
        """The private half of the CLOB. Opened after the others: they hear of each trade before it does."""
        options = self.options
        exchange = Exchange(
            DeskParts(
                world=self.world,
                server=self._server,
                faults=self.faults,
                board=self.board,
                trading=self._trading,
                later=self._later,
                seed=options.seed,
            )
        )
        exchange.configure(factor=options.delay_factor, limited=options.limited)
        exchange.floor.when_book_moved = self.market.tell_changes
        self._clob.delays_ms = exchange.floor.delays_ms
        ExchangePage(exchange, self._server)
        return exchange

    def _open_doors(
        self, chance: Randomness
    ) -> tuple[activity.ActivityDoor, data_api.DataApiDoor, market_socket.MarketSocket]:
        world, server, options, door = self.world, self._server, self.options, self.faults.door
        positions = Positions(world, self.board)
        stream = activity.ActivityDoor(
            world, server, door(activity.DOOR, kinds=activity.KINDS), later=self._later, chance=chance
        )
        data = data_api.DataApiDoor(
            world, server, door(data_api.DOOR, kinds=data_api.KINDS), positions=positions, chance=chance
        )
        socket = market_socket.MarketSocket(
            world,
            server,
            door(market_socket.DOOR, kinds=market_socket.KINDS),
            board=self.board,
            later=self._later,
            chance=chance,
        )
        gamma = gamma_door.GammaDoor(world, server, door(gamma_door.DOOR, kinds=gamma_door.KINDS), board=self.board)
        clob = clob_door.ClobDoor(world, server, door(clob_door.DOOR, kinds=clob_door.KINDS), board=self.board)
        self._clob = clob
        for shrinkable in (stream, data, socket):
            shrinkable.factor = options.delay_factor
        for limited in (data, gamma, clob):
            limited.limited = options.limited
        ControlDoor(self, server)
        return stream, data, socket
