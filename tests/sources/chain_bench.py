"""A chain source on real doors against scripted nodes, and a sink that adds up as the engine does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from copytrading.groups import Tally
from copytrading.signals import CHAIN_LOGS, ActionKind, LeaderAction, Unreadable
from copytrading.sources.base import Reading
from copytrading.sources.chain_doors import ChainDoors, ChainSettings
from copytrading.sources.chain_logs import ChainLogs
from copytrading.sources.leaders import HeardLeaders
from copytrading.sources.live import Ear
from copytrading.sources.stats import SourceStats
from execution.http import SharedHttp
from execution.rpc import Rpc, RpcSettings, read_urls
from execution.sockets import WebSockets
from ledger.system import SeededRandomness, SystemClock
from tests.chain_bytes import CONDITION, LENA, OTTO, POLYGON_CONTRACTS
from tests.doors import InlineDatabase
from tests.sources.chain_node import Key, ScriptedNode

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PATIENCE_S = 10
FAST: dict[str, Any] = {
    "poll_s": 0.3,
    "silence_s": 5.0,
    "base_s": 0.01,
    "cap_s": 0.05,
    "reconcile_s": 60.0,
    "again_s": 0.0,
    "resolve_s": 0.02,
    "resolve_again_s": 0.02,
}


async def eventually(what: Callable[[], bool]) -> None:
    """Let the others work until it is so; fail when it takes too long."""
    async with asyncio.timeout(PATIENCE_S):
        while not what():  # noqa: ASYNC110 (what others hold has no event to wait for)
            await asyncio.sleep(0.001)


class AddingSink:
    """The sink's promise in small: rows of a walk are summed, the largest total counts, until it is withdrawn."""

    def __init__(self) -> None:
        self._walks: dict[str, Tally] = {}
        self._totals: dict[str, tuple[LeaderAction, int]] = {}
        self._changed = asyncio.Event()
        self.actions: list[LeaderAction] = []
        self.unreadable: list[Unreadable] = []
        self.withdrawn: list[str] = []
        self.offers: list[tuple[str, bool]] = []

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        self.offers.append((walk, complete))
        tally = self._walks.setdefault(walk, Tally())
        for each in readings:
            if isinstance(each, LeaderAction):
                total = tally.add(each)
                self.actions.append(each)
                self._totals[total.key] = (each, max(self._totals.get(total.key, (each, 0))[1], total.size_micros))
            elif isinstance(each, Unreadable):
                self.unreadable.append(each)
        self._ring()

    async def end_walk(self, walk: str) -> None:
        self._walks.pop(walk, None)

    async def withdraw(self, source: str, tx_hashes: Sequence[str]) -> None:
        self.withdrawn += tx_hashes
        self._totals = {key: each for key, each in self._totals.items() if each[0].tx_hash not in tx_hashes}
        self._ring()

    def totals(self) -> dict[tuple[Any, ...], int]:
        """Every action that the engine would believe in now: (wallet, transaction, condition, token, side, kind)."""
        return {
            (each.wallet, each.tx_hash, each.condition_id, each.token_id, each.side or "", each.kind.name): size
            for each, size in self._totals.values()
        }

    def traded(self) -> dict[Key, int]:
        """What the engine would hold to be traded now."""
        return {
            (each.wallet, each.tx_hash, each.token_id or 0, each.side or ""): size
            for each, size in self._totals.values()
            if each.kind is ActionKind.TRADE
        }

    async def until(self, what: Callable[[], bool]) -> None:
        """Return as soon as it is so after an offer or a withdrawal; fail when it takes too long."""
        async with asyncio.timeout(PATIENCE_S):
            while not what():
                await self._changed.wait()

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


class Directory:
    """Knows the condition of every token but those in `unknown`."""

    def __init__(self) -> None:
        self.unknown: set[int] = set()
        self.conditions: dict[int, str] = {}

    async def condition_of(self, token_id: int) -> str | None:
        return None if token_id in self.unknown else self.conditions.get(token_id, CONDITION)


class Bench:
    """One source with everything around it; `listening` runs it."""

    def __init__(
        self, nodes: Sequence[ScriptedNode], *, sockets: bool = True, urls: Sequence[str] = (), **choices: Any
    ) -> None:
        """`urls` are those of nodes that are not scripted, as RPC_URLS has them."""
        given = read_urls(",".join([*urls, *(node.url for node in nodes), *(node.ws_url for node in nodes)]))
        self.clock, self.randomness, self.http = SystemClock(), SeededRandomness(1), SharedHttp()
        self.leaders, self.sink, self.stats = HeardLeaders(), AddingSink(), SourceStats(CHAIN_LOGS)
        self.follow(LENA, OTTO)
        self.directory = Directory()
        self.rpc = Rpc(
            self.http,
            self.clock,
            self.randomness,
            urls=given.calls,
            settings=RpcSettings(chain_id=137, timeout_s=0.5, rest_s=0.01),
        )
        self.settings = ChainSettings(
            contracts=POLYGON_CONTRACTS,
            socket_urls=given.sockets if sockets else (),
            **{"cursor_key": "137", **FAST, **choices},
        )
        self.ear = Ear(
            clock=self.clock, randomness=self.randomness, sink=self.sink, leaders=self.leaders, stats=self.stats
        )
        doors = ChainDoors(rpc=self.rpc, sockets=WebSockets(), database=InlineDatabase(), directory=self.directory)
        self.source = ChainLogs(doors, self.ear, self.settings)

    def follow(self, *wallets: str) -> None:
        self.leaders.replace(dict.fromkeys(wallets, LONG_AGO))

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """The source runs; at the end it must stop in time and without a word."""
        stop = asyncio.Event()
        running = asyncio.create_task(self.source.run(stop))
        try:
            yield
        finally:
            stop.set()
            async with asyncio.timeout(PATIENCE_S):
                await running
            await self.http.close()

    async def begun(self) -> None:
        """The source has found its place in the chain."""
        await eventually(lambda: self.source.follower.chain.tip is not None)

    async def close(self) -> None:
        await self.source.follower.reader.close()
        await self.http.close()
