"""Makes leaders' actions of the logs of blocks and gives whole blocks to the sink.

A block is one walk, offered when all its logs are there: a partial total of the authoritative source would cap the
group. A trade whose condition nobody knows yet waits, and is never dropped without a word.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from copytrading.operations.chain_places import tell_missed
from copytrading.signals import CHAIN_LOGS, LeaderAction, Unreadable
from copytrading.sources.base import Reading
from copytrading.sources.block_chain import Header
from copytrading.sources.chain_actions import Draft, Found, actions_of
from copytrading.sources.chain_calls import ChainCalls
from copytrading.sources.chain_doors import ChainDoors, ChainSettings
from copytrading.sources.live import Ear
from execution.chain_events import Log, Undecodable, read_log
from execution.rpc import Call, NodesBehind

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class WholeBlock:
    """A block that is ready to be given on: its logs, and what each transaction holds.

    `lacking` are transactions whose receipt did not come with the others; it is asked for once more by itself.
    """

    header: Header
    logs: Mapping[int, Log]
    found: dict[str, Found]
    lacking: tuple[str, ...] = ()
    conditions: Mapping[int, str | None]

    def drafts(self) -> Iterator[Draft]:
        """What the leaders did."""
        return (draft for each in self.found.values() for draft in each.drafts)


@dataclass(slots=True)
class _Waiting:
    """Actions of one block whose condition is not known, and since when."""

    header: Header
    drafts: list[Draft]
    since_ms: float


class BlockReader:
    """Used by one task only."""

    def __init__(
        self, doors: ChainDoors, calls: ChainCalls, *, ear: Ear, settings: ChainSettings, wake: asyncio.Event
    ) -> None:
        """`wake` is set when a condition was found that somebody waits for."""
        self._calls = calls
        self._doors, self._ear, self._settings, self._wake = doors, ear, settings, wake
        self._waiting: dict[str, _Waiting] = {}
        self._asking: dict[int, asyncio.Task[str | None]] = {}

    @property
    def waiting(self) -> Mapping[str, object]:
        """The blocks, by hash, of which some action waits for its condition."""
        return self._waiting

    async def prepare(self, run: Sequence[tuple[Header, Iterable[Log]]]) -> list[WholeBlock]:
        """Ask for all that these blocks need besides their logs, at once for all of them. Raises RpcError."""
        blocks = []
        for header, logs in run:
            whole = {each.index: each for each in logs if each.block_hash == header.hash and not each.removed}
            self._ear.stats.received(len(whole))
            blocks.append(WholeBlock(header=header, logs=whole, found=self._found(whole), conditions={}))
        wanted = [(block, tx) for block in blocks for tx, each in block.found.items() if each.needs_receipt]
        receipts = await self._calls.many([Call("eth_getTransactionReceipt", (tx,)) for _block, tx in wanted])
        for (block, tx), receipt in zip(wanted, receipts, strict=True):
            try:
                self._complete(block, tx, receipt)
            except NodesBehind:
                block.lacking += (tx,)
        conditions = await self._conditions([draft for block in blocks for draft in block.drafts()])
        for block in blocks:
            block.conditions = conditions
        return blocks

    async def give(self, block: WholeBlock) -> dict[int, str]:
        """Give a whole block on; answers (log index -> transaction). Raises RpcError before anything was given on."""
        if block.lacking:
            calls = [Call("eth_getTransactionReceipt", (tx,), must_exist=True) for tx in block.lacking]
            for tx, receipt in zip(block.lacking, await self._calls.many(calls), strict=True):
                self._complete(block, tx, receipt)
        drafts = list(block.drafts())
        if any(not draft.condition_id and not block.conditions.get(draft.named_by or 0) for draft in drafts):
            # Once more a moment: an action that is given on after later ones may leave a holding unknown.
            block.conditions = await self._conditions(drafts)
        place = f"block {block.header.number}"
        refused = [Unreadable(place, sentence) for each in block.found.values() for sentence in each.refused]
        self._ear.stats.undecodable(len(refused))
        self.drop(block.header.hash)
        waiting = _Waiting(block.header, drafts, self._ear.clock.monotonic_ms())
        await self._offer(waiting, refused, block.conditions)
        return {each.index: each.tx_hash for each in block.logs.values()}

    async def try_waiting(self) -> None:
        """Offer what meanwhile has a condition, and give up what waited too long, with an event."""
        if not self._waiting:
            return
        conditions = await self._conditions([draft for block in self._waiting.values() for draft in block.drafts])
        for block in list(self._waiting.values()):
            patient = self._ear.clock.monotonic_ms() - block.since_ms < self._settings.resolve_max_s * 1_000
            del self._waiting[block.header.hash]
            if patient:
                await self._offer(block, [], conditions)
            else:
                await self._give_up(block)

    def drop(self, block_hash: str) -> None:
        """The block was orphaned or is read again: nothing of it waits any more."""
        self._waiting.pop(block_hash, None)

    async def close(self) -> None:
        """Ask nobody any more."""
        for task in self._asking.values():
            task.cancel()
        await asyncio.gather(*self._asking.values(), return_exceptions=True)
        self._asking.clear()

    def _found(self, logs: Mapping[int, Log]) -> dict[str, Found]:
        """What each transaction holds, as far as the logs that name leaders tell it."""
        wallets, contracts = self._ear.leaders.wallets, self._settings.contracts
        by_transaction: dict[str, list[Log]] = {}
        for each in logs.values():
            by_transaction.setdefault(each.tx_hash, []).append(each)
        return {tx: actions_of(group, wallets, contracts, whole=False) for tx, group in by_transaction.items()}

    def _complete(self, block: WholeBlock, tx: str, receipt: object) -> None:
        """Read a transaction again from its whole receipt. Raises NodesBehind when it is not of this block."""
        logs = _logs_of_receipt(receipt, block.header)
        block.found[tx] = actions_of(logs, self._ear.leaders.wallets, self._settings.contracts, whole=True)

    async def _offer(self, block: _Waiting, refused: Sequence[Reading], conditions: Mapping[int, str | None]) -> None:
        walk = f"{CHAIN_LOGS}:{block.header.hash}"
        ready: list[Reading] = []
        lacking = []
        for draft in block.drafts:
            condition = draft.condition_id or conditions.get(draft.named_by or 0)
            if condition:
                ready.append(_action(draft, condition, block.header))
            else:
                lacking.append(draft)
        if ready or refused:
            await self._ear.sink.offer(walk, [*ready, *refused], complete=True)
            # Groups are whole: what still waits is of other tokens, so it may well be another walk of this name.
            await self._ear.sink.end_walk(walk)
        if lacking:
            self._waiting[block.header.hash] = _Waiting(block.header, lacking, block.since_ms)

    async def _conditions(self, drafts: Iterable[Draft]) -> dict[int, str | None]:
        """What is known now, or within a moment; the rest is asked for on the side."""
        tokens = {draft.named_by for draft in drafts if not draft.condition_id and draft.named_by is not None}
        for token in tokens - self._asking.keys():
            task = asyncio.create_task(self._doors.directory.condition_of(token))
            task.add_done_callback(lambda _task: self._wake.set())
            self._asking[token] = task
        if tokens:
            await asyncio.wait([self._asking[token] for token in tokens], timeout=self._settings.resolve_s)
        return {token: self._asking.pop(token).result() for token in tokens if self._asking[token].done()}

    async def _give_up(self, block: _Waiting) -> None:
        place = f"block {block.header.number}"
        sentences = [f"nobody knows the condition of token {draft.named_by}" for draft in block.drafts]
        self._ear.stats.undecodable(len(sentences))
        self._ear.stats.missed(len(sentences))
        await self._ear.sink.offer(place, [Unreadable(place, sentence) for sentence in sentences], complete=True)
        await self._ear.sink.end_walk(place)
        subject = f"{CHAIN_LOGS}: {place}, {sentences[0]}"[:200]
        await self._doors.database.run(
            tell_missed, len(sentences), bound=None, subject=subject, now=self._ear.clock.now()
        )


def _logs_of_receipt(receipt: object, header: Header) -> list[Log]:
    values = receipt.get("logs") if isinstance(receipt, Mapping) else None
    if not isinstance(values, list):
        raise NodesBehind("a receipt holds no list of logs")
    logs = []
    for value in values:
        try:
            logs.append(read_log(value))
        except Undecodable as error:
            log.warning("A log of a receipt cannot be read.", action="chain", why=str(error))
    if any(each.block_hash != header.hash for each in logs):
        raise NodesBehind("a transaction is meanwhile in another block")
    return logs


def _action(draft: Draft, condition_id: str, header: Header) -> LeaderAction:
    return LeaderAction(
        source=CHAIN_LOGS,
        kind=draft.kind,
        wallet=draft.wallet,
        tx_hash=draft.tx_hash,
        condition_id=condition_id.lower(),
        token_id=draft.token_id,
        side=draft.side,
        size_micros=draft.size_micros,
        price_micros=draft.price_micros,
        traded_at=datetime.fromtimestamp(header.time_s, UTC),
    )
