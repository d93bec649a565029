"""A sandbox in process, leaders whom somebody follows, and the engines that listen, one life after the other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from copytrading.models import CopyConfig
from copytrading.operations.cast import seed_followers, seed_leaders
from copytrading.signals import CHAIN_LOGS
from execution.sandbox.chain_doors import chain_doors
from execution.sandbox.on_chain import OnChain, OnChainSettings
from execution.sandbox.reorgs import Reorg
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.db import ThreadedDatabase
from ledger.system import SeededRandomness
from ledger.units import ONE
from tests.hearing.found import (
    Trades,
    differences,
    moved,
    recorded,
    shown_by,
    torn_groups,
    trades_of,
    unknown_holdings,
    withdrawn,
    wrong_holdings,
)
from tests.hearing.listener import BOUND_S, CHAIN, LOOK_S, PENDING, SOCKET, LeapingClock, Listener

FOLLOWED, KNOWN = 3, 4
"""Of the sandbox's leaders: so many are followed, one more is only known."""

BEFORE_S, SETTLED_S = 600, 30
"""What the leaders hold lies so far back when it is read, and the reading so far when they go on."""

LATE_MAX = 3
"""Holdings that may be unlearned because the logs of a block came late; leaders hold some dozens."""

NOISE = 50
"""Frames a second of strangers: without any a stream counts as silent."""

STEPS = 48
SLICE = 6

# With this seed one leader converts, one gives something away, and one merges: all that holdings go through.
OPTIONS = SandboxOptions(seed=24, rate=0, delay_factor=0, limited=False, leaders=KNOWN)


@dataclass(slots=True)
class Stage:
    """What a test holds in its hand."""

    box: Sandbox
    clock: LeapingClock
    sources: frozenset[str]
    chain: OnChain | None
    database: ThreadedDatabase
    lives: list[Listener] = field(default_factory=list)
    dropped: set[str] = field(default_factory=set)
    """Transactions that a reorganisation took away for good."""

    @property
    def wallets(self) -> list[str]:
        """Of the leaders who are followed from the beginning."""
        return [leader.wallet for leader in self.box.leaders[:FOLLOWED]]

    @property
    def listener(self) -> Listener:
        """The engine that is alive."""
        return self.lives[-1]

    async def listen(self) -> Listener:
        """Another life of the engine."""
        listener = Listener(self.box, self.clock, self.sources)
        self.lives.append(listener)
        await listener.learn()
        if len(self.lives) == 1:
            assert await listener.positions.run_once() == len(listener.leaders.wallets)
            await self.later(SETTLED_S)
        await listener.start()
        return listener

    async def play(self, steps: int = STEPS, *, in_a_second: int = SLICE) -> None:
        """Go on with whatever the generator thinks of, a few steps to a second and to a block."""
        for _ in range(0, steps, in_a_second):
            self.clock.set_forward(1)
            await self.box.play(in_a_second)
            await self.mine()

    async def mine(self, blocks: int = 1) -> None:
        """Let blocks come, and the engine have its turn."""
        for _ in range(blocks):
            if self.chain is not None:
                await self.chain.mine()
        await self._one_look()

    async def later(self, seconds: float) -> None:
        """It is later all at once; the time of the next block was set with the last one, hence one more."""
        self.clock.leap(seconds)
        await self.mine()

    async def fault(self, words: str) -> None:
        """Set a fault; `chain:` stands for every provider."""
        door, _, kind = words.partition(":")
        for each in self._doors(door):
            await self.box.faults.apply(f"{each}:{kind}")

    async def struck(self, words: str) -> None:
        """Return when a fault has struck at least once."""
        door, _, kind = words.partition("=")[0].partition(":")
        faults = [self.box.faults.doors[each] for each in self._doors(door)]
        await self.listener.until(lambda: any(each.struck[kind] for each in faults), f"{words} struck")

    async def reorg(self, depth: int, *, drop: Collection[str] = ()) -> Reorg:
        """The last blocks come anew, without the transactions to drop."""
        assert self.chain is not None
        done = await self.chain.reorg(depth, drop=drop)
        self.dropped |= set(done.dropped)
        return done

    async def depth_of(self, tx_hash: str) -> int:
        """How many blocks a reorganisation must undo to reach a transaction; it mines one more before."""
        assert self.chain is not None
        receipt = await self.chain.node.call("eth_getTransactionReceipt", tx_hash)
        return self.chain.head - int(receipt["blockNumber"], 16) + 2

    def truth(self, wallets: Collection[str] | None = None) -> Trades:
        """The trades of the leaders who are followed."""
        return trades_of(self.box.truth, self.wallets if wallets is None else wallets)

    async def ask(self, question: Any, *args: Any) -> Any:
        """What the database says, asked on a connection of its own."""
        return await self.database.run(question, *args)

    async def until(self, what: Callable[[], bool], name: str) -> None:
        """Wait until the database says so."""
        try:
            async with asyncio.timeout(BOUND_S):
                while not await self.ask(what):
                    self.listener.raise_failure()
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            raise AssertionError(f"in {BOUND_S} s it never was so: {name}") from None

    async def hears(self, expected: Trades | None = None) -> None:
        """Wait until what was recorded is the truth, all of it and nothing else."""
        wanted = self.truth() if expected is None else expected
        try:
            async with asyncio.timeout(BOUND_S):
                while (found := await self.ask(recorded)) != wanted:
                    self.listener.raise_failure()
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            wrong = differences(wanted, await self.ask(recorded))
            raise AssertionError(f"{len(wrong)} of {len(wanted)} trades differ: {wrong[:5]}") from None
        assert found, "nothing happened"

    async def ends_with_the_truth(self) -> None:
        """Every trade once, to the last micro; and it stays so when everybody looked again and the engine stopped."""
        await self.hears()
        await self.listener.has_looked_again()
        kept = {key: size for key, size in self.truth().items() if key.tx_hash not in self.dropped}
        if CHAIN in self.listener.sources:
            await self.until(lambda: shown_by(CHAIN_LOGS) == kept, "the chain has shown every trade that is in it")
        await self.listener.stop()
        assert differences(self.truth(), await self.ask(recorded)) == []
        assert await self.ask(torn_groups) == []
        assert await self.ask(withdrawn) & {key.tx_hash for key in kept} == set()

    async def claims_no_wrong_holding(self, *, unseen: Collection[str] = ()) -> list[str]:
        """What it claims to know of the leaders' holdings is true, and the leaders of whom that can be said: who made
        a move that these sources do not show is left out.
        """
        kinds = moved(self.box.truth, self.wallets)
        seen = [wallet for wallet in self.wallets if not kinds[wallet] & set(unseen)]
        assert seen, "nobody is left to judge by"
        assert await self.ask(wrong_holdings, self.box.truth, seen) == []
        return seen

    async def knows_the_holdings(self, *, unseen: Collection[str] = ()) -> None:
        """And it knows the holdings of whom no conversion and no transaction that left the chain unlearned.

        With the chain but for a few: a loaded node shows a block before its logs, and a sale that is heard before its
        purchase takes more than is known.
        """
        seen = await self.claims_no_wrong_holding(unseen=unseen)
        kinds = moved(self.box.truth, self.wallets)
        doubted = {key.wallet for key in self.truth() if key.tx_hash in self.dropped}
        sure = [wallet for wallet in seen if "CONVERSION" not in kinds[wallet] and wallet not in doubted]
        assert sure, "nobody is left to judge by"
        unknown = await self.ask(unknown_holdings, sure)
        assert len(unknown) <= (LATE_MAX if CHAIN in self.sources else 0), unknown

    def _doors(self, door: str) -> list[str]:
        return [each for each in self.box.faults.doors if each == door or each.startswith(f"{door}-")]

    async def _one_look(self) -> None:
        # Everything here shares one loop: without a turn for the engine all would happen before it hears anything.
        await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def stage(*sources: str, begins: bool = True, **options: Any) -> AsyncIterator[Stage]:
    """Leaders who held something long before, and an engine that has read it and listens to these sources.

    Unless it `begins` the first engine is left to whoever asks.
    """
    clock = LeapingClock()
    wants_chain, noise = bool({CHAIN, PENDING} & set(sources)), NOISE if SOCKET in sources else 0
    node = OnChain(clock, OnChainSettings(block_ms=0)) if wants_chain else None
    attached = None if node is None else chain_doors(node)
    chosen = replace(OPTIONS, noise=noise, **options)
    async with open_sandbox(clock, SeededRandomness, chosen, settlement=node, attachment=attached) as box:
        made = Stage(box, clock, frozenset(sources), node, ThreadedDatabase(1))
        try:
            await made.mine()
            await made.later(BEFORE_S)
            await made.ask(_seed, box)
            if begins:
                await made.listen()
            yield made
        finally:
            for life in made.lives:
                await life.kill()
            made.database.close()


def follow(box: Sandbox, number: int, *, active: bool = True) -> None:
    """Somebody follows a leader of the sandbox, or does so no longer."""
    CopyConfig.objects.filter(leader__wallet=box.leaders[number].wallet).update(active=active)


def _seed(box: Sandbox) -> None:
    leaders = seed_leaders({leader.wallet: leader.name for leader in box.leaders}, holdings_complete=False)
    followed = {leader.wallet for leader in box.leaders[:FOLLOWED]}
    (fay,) = seed_followers(["Fay"], label="hearing", cash_micros=1_000_000 * ONE)
    for leader in leaders:
        CopyConfig.objects.create(follower=fay, leader=leader, active=leader.wallet in followed, percentage_bps=1_000)
