"""Reads the logs of blocks, makes leaders' actions of them and gives whole blocks to the sink.

A block is one walk, offered when all its logs are there: a partial total of the authoritative source would cap the
group. A trade whose condition nobody knows yet waits, and is never dropped without a word.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from copytrading.operations.chain_places import tell_missed
from copytrading.signals import CHAIN_LOGS, LeaderAction, Unreadable
from copytrading.sources.base import Reading
from copytrading.sources.block_chain import Header, read_header
from copytrading.sources.chain_actions import Draft, Found, actions_of, names_one_of
from copytrading.sources.chain_doors import ChainDoors, ChainSettings
from copytrading.sources.chain_filters import filters_for
from copytrading.sources.chain_headers import NO_BODIES
from copytrading.sources.live import Ear
from execution.chain_events import Log, Undecodable, read_log
from execution.rpc import BATCH_MAX, Call, NodeRefused, NodesBehind

RUN_LOGS_MAX = 1_000
"""Logs of one range from which on a node may have kept some back without a word: then each block is asked for."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Waiting:
    """Actions of one block whose condition is not known, and since when."""

    header: Header
    drafts: list[Draft]
    since_ms: float


class BlockReader:
    """Used by one task only."""

    def __init__(self, doors: ChainDoors, ear: Ear, settings: ChainSettings, wake: asyncio.Event) -> None:
        """`wake` is set when a condition was found that somebody waits for."""
        self._doors, self._ear, self._settings, self._wake = doors, ear, settings, wake
        self._waiting: dict[str, _Waiting] = {}
        self._asking: dict[int, asyncio.Task[str | None]] = {}

    @property
    def waiting(self) -> Mapping[str, object]:
        """The blocks, by hash, of which some action waits for its condition."""
        return self._waiting

    async def logs_of(self, header: Header) -> list[Log]:
        """All logs of a block that name a leader. Raises RpcError; NodesBehind when no node has the block."""
        calls = [
            Call("eth_getLogs", ({**each, "blockHash": header.hash},), must_exist=True) for each in self._filters()
        ]
        if not calls:
            return []
        # A node that does not know the block may answer with no logs; one that shows its header knows it.
        header_call = Call("eth_getBlockByHash", (header.hash, NO_BODIES), must_exist=True)
        _header, *results = await self._doors.rpc.batch([header_call, *calls])
        return self._read(results)

    async def logs_of_run(self, run: Sequence[Header]) -> list[Log] | None:
        """All such logs of blocks that lie on one another, asked for as one range.

        None unless there is an answer, of these very blocks and whole: a range is answered by number, by a node that
        may be behind, on another branch, or narrow. Then each block is to be asked for by its hash.
        """
        try:
            results, last = await self._range(run[0].number, run[-1].number)
        except (NodeRefused, NodesBehind):
            return None
        logs, hashes = self._read(results), {each.number: each.hash for each in run}
        whole = sum(len(each) for each in results if isinstance(each, list)) < RUN_LOGS_MAX
        ours = all(hashes.get(each.block_number) == each.block_hash and not each.removed for each in logs)
        return logs if whole and ours and last.hash == run[-1].hash else None

    async def logs_between(self, first: int, last: int) -> tuple[list[Log], Header]:
        """All such logs of a range of blocks, and the header of its last block. Raises RpcError."""
        results, header = await self._range(first, last)
        return self._read(results), header

    async def take(self, header: Header, logs: Iterable[Log]) -> dict[int, str]:
        """Give a whole block on; answers (log index -> transaction). Raises RpcError before anything was given on."""
        whole = {each.index: each for each in logs if each.block_hash == header.hash and not each.removed}
        self._ear.stats.received(len(whole))
        found = await self._found(header, list(whole.values()))
        drafts = [draft for each in found for draft in each.drafts]
        refused: list[Reading] = [
            Unreadable(f"block {header.number}", sentence) for each in found for sentence in each.refused
        ]
        self._ear.stats.undecodable(len(refused))
        self.drop(header.hash)
        await self._offer(header, drafts, refused, since_ms=self._ear.clock.monotonic_ms())
        return {each.index: each.tx_hash for each in whole.values()}

    async def try_waiting(self) -> None:
        """Offer what meanwhile has a condition, and give up what waited too long, with an event."""
        for block in list(self._waiting.values()):
            patient = self._ear.clock.monotonic_ms() - block.since_ms < self._settings.resolve_max_s * 1_000
            del self._waiting[block.header.hash]
            if patient:
                await self._offer(block.header, block.drafts, [], since_ms=block.since_ms)
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

    async def _range(self, first: int, last: int) -> tuple[list[object], Header]:
        """The answer to each filter, and the header that the same node has of the last block: one that has it."""
        bounds = {"fromBlock": hex(first), "toBlock": hex(last)}
        calls = [Call("eth_getLogs", ({**each, **bounds},)) for each in self._filters()]
        header_call = Call("eth_getBlockByNumber", (hex(last), NO_BODIES), must_exist=True)
        header, *results = await self._doors.rpc.batch([header_call, *calls])
        return results, read_header(header)

    def _filters(self) -> Sequence[Mapping[str, object]]:
        settings = self._settings
        return filters_for(self._ear.leaders.wallets, settings.contracts, wallets_max=settings.wallets_max)

    def _read(self, results: Iterable[object]) -> list[Log]:
        wallets, found = self._ear.leaders.wallets, {}
        for result in results:
            if not isinstance(result, list):
                raise NodesBehind("a node's logs are no list")
            for value in result:
                try:
                    each = read_log(value)
                except Undecodable as error:
                    self._ear.stats.undecodable()
                    log.warning("A log cannot be read.", action="chain", why=str(error))
                    continue
                if names_one_of(each, wallets):
                    found[each.block_hash, each.index] = each
        return list(found.values())

    async def _found(self, header: Header, logs: Sequence[Log]) -> list[Found]:
        """What each transaction holds, with the whole receipts of those that need them."""
        wallets, contracts = self._ear.leaders.wallets, self._settings.contracts
        by_transaction: dict[str, list[Log]] = {}
        for each in logs:
            by_transaction.setdefault(each.tx_hash, []).append(each)
        found = {tx: actions_of(group, wallets, contracts, whole=False) for tx, group in by_transaction.items()}
        for tx, group in (await self._receipts(header, [tx for tx in found if found[tx].needs_receipt])).items():
            found[tx] = actions_of(group, wallets, contracts, whole=True)
        return list(found.values())

    async def _receipts(self, header: Header, transactions: Sequence[str]) -> dict[str, list[Log]]:
        logs: dict[str, list[Log]] = {}
        for start in range(0, len(transactions), BATCH_MAX):
            some = transactions[start : start + BATCH_MAX]
            calls = [Call("eth_getTransactionReceipt", (tx,), must_exist=True) for tx in some]
            for tx, receipt in zip(some, await self._doors.rpc.batch(calls), strict=True):
                logs[tx] = _logs_of_receipt(receipt, header)
        return logs

    async def _offer(
        self, header: Header, drafts: Sequence[Draft], refused: Sequence[Reading], *, since_ms: float
    ) -> None:
        conditions = await self._conditions(drafts)
        walk = f"{CHAIN_LOGS}:{header.hash}"
        ready = [
            _action(draft, condition, header)
            for draft in drafts
            if (condition := draft.condition_id or conditions.get(draft.named_by or 0))
        ]
        lacking = [draft for draft in drafts if not draft.condition_id and not conditions.get(draft.named_by or 0)]
        if ready or refused:
            await self._ear.sink.offer(walk, [*ready, *refused], complete=True)
            # Groups are whole: what still waits is of other tokens, so it may well be another walk of this name.
            await self._ear.sink.end_walk(walk)
        if lacking:
            self._waiting[header.hash] = _Waiting(header, lacking, since_ms)

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
