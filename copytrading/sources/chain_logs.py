"""The authoritative source: what leaders did as the logs of the chain's blocks tell it.

Subscriptions only say that there is something new; what counts is read block by block over HTTP, so that a socket
that dies, lies or stays silent costs time and never a trade.
"""

import asyncio
from collections.abc import Coroutine

import structlog

from copytrading.pauses import sleep_or_stop
from copytrading.signals import CHAIN_LOGS
from copytrading.sources.block_chain import Header, read_header
from copytrading.sources.chain_actions import names_one_of
from copytrading.sources.chain_doors import ChainDoors, ChainSettings
from copytrading.sources.chain_filters import filters_for
from copytrading.sources.chain_follow import ChainFollower
from copytrading.sources.live import Ear
from copytrading.sources.node_feed import HEADS, Channels, FeedSettings, NodeFeed
from execution.backoff import backoff_s
from execution.chain_events import Log, Undecodable, read_log
from execution.rpc import RpcError

PUSHED_MAX = 20_000
"""Logs pushed and not yet met in a block that was read; the oldest are forgotten, and read over HTTP all the same."""

RETRY_S = 0.1
"""A node's HTTP side is often a moment behind what its socket has just announced."""

log = structlog.get_logger(__name__)


class ChainLogs:
    """A source of the supervisor. `run` alone uses the follower; the feed only leaves news in `_Pushed`."""

    name = CHAIN_LOGS

    def __init__(self, doors: ChainDoors, ear: Ear, settings: ChainSettings) -> None:
        self._doors, self._ear, self._settings = doors, ear, settings
        self._wake = asyncio.Event()
        self._pushed = _Pushed(ear, settings, self._wake)
        self._reconciled_ms = ear.clock.monotonic_ms()
        self.follower = ChainFollower(doors, ear, settings, self._wake)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen and read until stopped; trouble of the nodes stays inside, a bug comes out."""
        tasks = [asyncio.create_task(self._read(stop))]
        if self._settings.socket_urls:
            tasks.append(asyncio.create_task(self._feed().run(stop, self._pushed)))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.follower.reader.close()

    async def run_once(self) -> None:
        """Read everything up to the nodes' newest block. Raises RpcError."""
        await self.follower.advance()

    def _feed(self) -> NodeFeed:
        settings, ear = self._settings, self._ear
        choices = FeedSettings(
            chain_id=settings.contracts.chain_id,
            urls=settings.socket_urls,
            silence_s=settings.silence_s,
            base_s=settings.base_s,
            cap_s=settings.cap_s,
        )
        return NodeFeed(self._doors.sockets, ear.clock, ear.randomness, choices)

    async def _read(self, stop: asyncio.Event) -> None:
        failures = 0
        while not stop.is_set():
            if not self._ear.leaders.wallets:
                await self._for_leaders(stop)
                continue
            try:
                await self._round()
                failures = 0
            except (RpcError, Undecodable) as error:
                log.info("The chain cannot be read now.", action="chain", why=str(error))
                base_s, cap_s = min(RETRY_S, self._settings.base_s), self._settings.cap_s
                delay_s = backoff_s(failures, base_s=base_s, cap_s=cap_s, randomness=self._ear.randomness)
                failures += 1
                await sleep_or_stop(self._ear.clock, stop, delay_s)
                continue
            await self._for_news(stop)

    async def _round(self) -> None:
        """Whatever was pushed, or at least the nodes' newest block; now and then everything recent once more."""
        follower, pushed = self.follower, self._pushed
        self._wake.clear()
        head = pushed.take_head()
        logs = pushed.logs()
        if head is None and not pushed.take_doubt() and (unknown := follower.unknown(logs)) is not None:
            head = await follower.header_of(unknown)
        elif head is None and follower.reopen(logs):
            head = follower.chain.tip
        await follower.advance(head, logs)
        pushed.forget(follower)
        if self._ear.clock.monotonic_ms() - self._reconciled_ms >= self._settings.reconcile_s * 1_000:
            self._reconciled_ms = self._ear.clock.monotonic_ms()
            await self._doors.rpc.probe()
            await follower.reconcile()

    async def _for_news(self, stop: asyncio.Event) -> None:
        """Wait for a push, for the next look, or for the end."""
        settings = self._settings
        seconds = settings.resolve_again_s if self.follower.reader.waiting else settings.poll_s
        await _first(self._wake.wait(), sleep_or_stop(self._ear.clock, stop, seconds))

    async def _for_leaders(self, stop: asyncio.Event) -> None:
        leaders = self._ear.leaders
        await _first(leaders.changed(leaders.version), stop.wait())


class _Pushed:
    """The `Listener` of the feed: the newest head, the logs by block, and whether some log was taken back."""

    def __init__(self, ear: Ear, settings: ChainSettings, wake: asyncio.Event) -> None:
        self._ear, self._settings, self._wake = ear, settings, wake
        self._head: Header | None = None
        self._logs: dict[tuple[str, int], Log] = {}
        self._doubt = False
        self._version = -1

    def channels(self) -> Channels:
        """The logs that name a leader; one subscription for each filter."""
        leaders, settings = self._ear.leaders, self._settings
        self._version = leaders.version
        filters = filters_for(leaders.wallets, settings.contracts, wallets_max=settings.wallets_max)
        return {f"logs {index}": ("logs", each) for index, each in enumerate(filters)}

    async def changed(self) -> None:
        """Other leaders are followed."""
        await self._ear.leaders.changed(self._version)

    def connected(self) -> None:
        """Look at once what was not pushed."""
        self._doubt = True
        self._wake.set()

    def refused(self, channel: str) -> None:
        """Heads alone do as well: each block is read over HTTP anyway."""

    def heard(self, channel: str, value: object) -> None:
        """Keep it for the reader."""
        try:
            if channel == HEADS:
                self._head = read_header(value)
            else:
                self._keep(read_log(value))
        except Undecodable as error:
            self._ear.stats.undecodable()
            log.warning("A push cannot be read.", action="chain", channel=channel, why=str(error))
        self._wake.set()

    def take_head(self) -> Header | None:
        """The newest head, once."""
        head, self._head = self._head, None
        return head

    def take_doubt(self) -> bool:
        """Whether the chain may have changed without a head that says so, once."""
        doubt, self._doubt = self._doubt, False
        return doubt

    def logs(self) -> list[Log]:
        """What was pushed and not yet forgotten."""
        return list(self._logs.values())

    def forget(self, follower: ChainFollower) -> None:
        """Drop what was read, and what no block of the chain can hold any more."""
        tip = follower.chain.tip
        oldest = tip.number - self._settings.depth if tip else 0
        for name, each in list(self._logs.items()):
            block = follower.chain.get(each.block_hash)
            if each.block_number < oldest or (block is not None and each.index in block.seen):
                del self._logs[name]

    def _keep(self, each: Log) -> None:
        name = (each.block_hash, each.index)
        if not names_one_of(each, self._ear.leaders.wallets):
            self._ear.stats.foreign()
        elif each.removed:
            self._logs.pop(name, None)
            self._doubt = True
        elif name in self._logs:
            self._ear.stats.duplicate()
        else:
            self._logs[name] = each
            if len(self._logs) > PUSHED_MAX:
                del self._logs[next(iter(self._logs))]


async def _first(*waits: Coroutine[object, object, object]) -> None:
    """Return when the first of them is done; the others are cancelled."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
