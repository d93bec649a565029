"""Experimental, off by default: leaders' fills out of pending `matchOrders` calls, before they are mined.

Assumed, because calldata does not hold the state: the orders still have what the operator asks to fill. A call that
fails, is replaced or vanishes is withdrawn; what was copied on it stays copied and is marked. A replacement has another
transaction hash, so that it is another action: who copies from here accepts to copy such a trade twice. The time of a
pending trade is when it was heard; the chain's own word, which caps the group, comes with its block.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from copytrading.pauses import sleep_or_stop
from copytrading.signals import MEMPOOL, ActionKind, LeaderAction
from copytrading.sources.block_chain import read_header
from copytrading.sources.chain_actions import fill_price
from copytrading.sources.chain_follow import succeeded
from copytrading.sources.live import Ear
from copytrading.sources.node_feed import HEADS, Channels, FeedSettings, NodeFeed
from execution.chain_events import Undecodable
from execution.deployments import Deployment
from execution.match_calldata import NotReadable, PendingFill, is_match, read_match
from execution.rpc import BATCH_MAX, Call, Rpc, RpcError
from execution.sockets import Sockets
from ledger.units import MAX_MICROS, AmountError, Micros

WAITING_MAX = 10_000
"""Pushes not yet looked at: minutes of the whole chain; beyond it the newest are left to the chain's logs."""

TRACKED_MAX = 10_000
"""Transactions acted on and not yet mined."""

REMEMBERED_MAX = 50_000
"""Hashes looked at before: a node pushes one again after a reorganisation, and two nodes push the same ones."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MempoolDoors:
    """Where calls and subscriptions go."""

    rpc: Rpc
    sockets: Sockets


@dataclass(frozen=True, slots=True, kw_only=True)
class MempoolSettings:
    """`blocks_max` without being mined, and a transaction counts as vanished. `socket_urls` must not be empty."""

    contracts: Deployment
    socket_urls: tuple[str, ...]
    blocks_max: int = 20
    silence_s: float = 15.0
    check_s: float = 1.0


@dataclass(slots=True, kw_only=True)
class _Pending:
    """A transaction that was offered: whose, and the head when it was heard, None before the first head."""

    sender: str
    nonce: str
    head: int | None


class Mempool:
    """A source of the supervisor; never authoritative."""

    name = MEMPOOL

    def __init__(self, doors: MempoolDoors, ear: Ear, settings: MempoolSettings) -> None:
        self._doors, self._ear, self._settings = doors, ear, settings
        self._wake = asyncio.Event()
        self._waiting: list[object] = []
        self._bodies = True
        self._changed = asyncio.Event()
        self._head = 0
        self._checked = 0
        self._tracked: dict[str, _Pending] = {}
        self._remembered: dict[str, None] = {}

    # --- What the feed tells ------------------------------------------------------------------------------

    def channels(self) -> Channels:
        """Pending transactions with their bodies, or their hashes where the node has only those."""
        return {"pending": ("newPendingTransactions", True) if self._bodies else ("newPendingTransactions",)}

    async def changed(self) -> None:
        """The node refused bodies, so hashes are wanted."""
        await self._changed.wait()
        self._changed.clear()

    def connected(self) -> None:
        """Nothing is made up for: what was not pushed is heard from the chain's logs."""

    def refused(self, channel: str) -> None:
        """Ask for hashes then; a node that refuses these too has no mempool to show."""
        log.info(
            "A node does not show pending transactions so.", action="mempool", channel=channel, bodies=self._bodies
        )
        if self._bodies:
            self._bodies = False
            self._changed.set()

    def heard(self, channel: str, value: object) -> None:
        """Keep it for the reader."""
        if channel != HEADS:
            self._ear.stats.received()
            if len(self._waiting) < WAITING_MAX:
                self._waiting.append(value)
        else:
            try:
                self._head = max(self._head, read_header(value).number)
            except Undecodable:
                self._ear.stats.undecodable()
        self._wake.set()

    # --- The service --------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Listen and read until stopped; trouble of the nodes stays inside, a bug comes out."""
        settings, ear = self._settings, self._ear
        choices = FeedSettings(
            chain_id=settings.contracts.chain_id, urls=settings.socket_urls, silence_s=settings.silence_s
        )
        feed = NodeFeed(self._doors.sockets, ear.clock, ear.randomness, choices)
        tasks = [asyncio.create_task(feed.run(stop, self)), asyncio.create_task(self._read(stop))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def run_once(self) -> None:
        """Look at what was pushed, and at what became of what was offered. Raises RpcError."""
        waiting, self._waiting = self._waiting, []
        for transaction in await self._bodies_of(waiting):
            await self._take(transaction)
        if self._head > self._checked:
            self._checked = self._head
            await self._check()

    async def _read(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._wake.clear()
            try:
                await self.run_once()
            except RpcError as error:
                log.info("Pending transactions cannot be followed now.", action="mempool", why=str(error))
                self._checked = 0
                await sleep_or_stop(self._ear.clock, stop, self._settings.check_s)
                continue
            waits = [asyncio.create_task(self._wake.wait()), asyncio.create_task(stop.wait())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _bodies_of(self, values: list[object]) -> list[Mapping[str, object]]:
        bodies = [value for value in values if isinstance(value, Mapping)]
        hashes = [value for value in values if isinstance(value, str) and value.lower() not in self._remembered]
        for start in range(0, len(hashes), BATCH_MAX):
            calls = [Call("eth_getTransactionByHash", (each,)) for each in hashes[start : start + BATCH_MAX]]
            # Mined or gone by now where there is none.
            bodies += [body for body in await self._doors.rpc.batch(calls) if isinstance(body, Mapping)]
        return bodies

    async def _take(self, transaction: Mapping[str, object]) -> None:
        tx_hash, target, calldata = (str(transaction.get(name) or "").lower() for name in ("hash", "to", "input"))
        contracts = self._settings.contracts
        if tx_hash in self._remembered:
            self._ear.stats.duplicate()
            return
        self._remember(tx_hash)
        if not target or target not in (contracts.exchange_v2, contracts.neg_risk_exchange_v2):
            self._ear.stats.foreign()
            return
        self._ear.stats.alive(self._ear.clock.monotonic_ms())
        try:
            call = bytes.fromhex(calldata.removeprefix("0x"))
            actions = self._actions(call, tx_hash) if is_match(call) else []
        except (ValueError, AmountError) as error:
            self._ear.stats.undecodable()
            log.info("A pending match cannot be read.", action="mempool", why=str(error)[:200])
            return
        if not actions:
            self._ear.stats.foreign()
        elif len(self._tracked) < TRACKED_MAX:
            sender, nonce = str(transaction.get("from")).lower(), str(transaction.get("nonce"))
            self._tracked[tx_hash] = _Pending(sender=sender, nonce=nonce, head=self._head or None)
            walk = f"{MEMPOOL}:{tx_hash}"
            await self._ear.sink.offer(walk, actions, complete=True)
            await self._ear.sink.end_walk(walk)

    def _actions(self, call: bytes, tx_hash: str) -> list[LeaderAction]:
        match, leaders = read_match(call), self._ear.leaders.wallets
        ours = [fill for fill in match.fills if fill.wallet in leaders]
        return [self._action(fill, match.condition_id, tx_hash) for fill in ours if fill.shares > 0]

    def _action(self, fill: PendingFill, condition_id: str, tx_hash: str) -> LeaderAction:
        if fill.shares > MAX_MICROS or fill.token_id == 0:
            raise NotReadable("A fill has an absurd size or no token.")
        return LeaderAction(
            source=MEMPOOL,
            kind=ActionKind.TRADE,
            wallet=fill.wallet,
            tx_hash=tx_hash,
            condition_id=condition_id,
            token_id=fill.token_id,
            side=fill.side,
            size_micros=Micros(fill.shares),
            price_micros=fill_price(fill.shares, fill.cash),
            traded_at=self._ear.clock.now(),
        )

    async def _check(self) -> None:
        """Forget what was mined well; withdraw what failed, and what is not mined after too many blocks."""
        names = list(self._tracked)
        for start in range(0, len(names), BATCH_MAX):
            some = names[start : start + BATCH_MAX]
            receipts = await self._doors.rpc.batch([Call("eth_getTransactionReceipt", (each,)) for each in some])
            gone: list[str] = []
            for tx_hash, receipt in zip(some, receipts, strict=True):
                pending = self._tracked.get(tx_hash)
                if pending is None or (receipt is None and self._is_young(pending)):
                    continue
                del self._tracked[tx_hash]
                gone += self._replaced_by(pending) if succeeded(receipt) else [tx_hash]
            if gone:
                log.warning("Pending transactions were not mined.", action="mempool", transactions=len(gone))
                await self._ear.sink.withdraw(MEMPOOL, gone)

    def _is_young(self, pending: _Pending) -> bool:
        if pending.head is None:
            pending.head = self._head
        return self._head - pending.head < self._settings.blocks_max

    def _replaced_by(self, mined: _Pending) -> list[str]:
        """Others of the same sender with the same nonce: they can never be mined any more."""
        others = [each for each, pending in self._tracked.items() if _same_place(pending, mined)]
        for each in others:
            del self._tracked[each]
        return others

    def _remember(self, tx_hash: str) -> None:
        self._remembered[tx_hash] = None
        if len(self._remembered) > REMEMBERED_MAX:
            del self._remembered[next(iter(self._remembered))]


def _same_place(one: _Pending, other: _Pending) -> bool:
    return (one.sender, one.nonce) == (other.sender, other.nonce)
