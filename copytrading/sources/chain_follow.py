"""Follows the chain block by block: reads what is new, undoes what a reorganisation orphaned, and keeps the cursor."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import structlog

from copytrading.operations.chain_places import move_place, tell_missed
from copytrading.queries import heard_transactions, source_position
from copytrading.signals import CHAIN_LOGS
from copytrading.sources.block_chain import (
    Block,
    BlockChain,
    Disjoint,
    Header,
    Mark,
    cursor_text,
    mark_of,
    read_cursor,
    read_header,
)
from copytrading.sources.chain_blocks import BlockReader
from copytrading.sources.chain_doors import ChainDoors, ChainSettings
from copytrading.sources.chain_headers import NO_BODIES, ChainHeaders
from copytrading.sources.live import Ear
from execution.chain_events import Log, Undecodable, quantity
from execution.rpc import BATCH_MAX, Call, NodesBehind, RangeTooWide

DEEPEST_LOOK = 256
"""Blocks before the oldest remembered one at which a cursor begins again when no remembered block is in the chain."""

FIRST_LOOK = 256
"""Blocks before the head at which a chain without a cursor begins at most: six minutes, far more than a start takes."""

RUN_MAX = 16
"""Blocks whose logs are asked for at once by who is behind: with three blocks a second and answers of half a second
one after the other would never catch up. Each is looked at a second time all the same."""

log = structlog.get_logger(__name__)


class ChainFollower:
    """The state of one shard's walk along the chain; used by one task only. A failed call may be repeated."""

    def __init__(self, doors: ChainDoors, ear: Ear, settings: ChainSettings, wake: asyncio.Event) -> None:
        self._doors, self._ear, self._settings = doors, ear, settings
        self.reader = BlockReader(doors, ear, settings, wake)
        self._headers = ChainHeaders(doors.rpc)
        self.chain = BlockChain(settings.depth)
        self._orphaned: dict[str, None] = {}
        self._saved: str | None = None
        self._reads_runs = True
        self._told_missed_to = -1

    async def advance(self, head: Header | None = None, pushed: Iterable[Log] = ()) -> None:
        """Read up to this header, or to the nodes' newest block. Raises RpcError, and then goes on at the next call.

        `pushed` are logs that a subscription showed; they are added to what the nodes answer.
        """
        head = head or await self._headers.newest()
        if self.chain.tip is None:
            await self._begin(head)
        elif self.chain.get(head.hash) is None:
            await self._join(head)
        await self._take_untaken(list(pushed))
        await self._look_again()
        await self._withdraw_orphaned()
        await self.reader.try_waiting()
        await self._save()

    async def header_of(self, block_hash: str) -> Header:
        """A block's header. Raises RpcError."""
        return await self._headers.of(block_hash)

    async def reconcile(self) -> None:
        """Ask again, by range, for the newest logs; blocks that hold more are read anew. Raises RpcError."""
        tip = self.chain.tip
        held = {block.header.number for block in self.chain if block.taken}
        if tip is None or not held:
            return
        first = max(min(held), tip.number - self._settings.reconcile_depth + 1)
        logs = await self._logs_again(first, tip.number)
        self.reopen(logs)
        await self._take_untaken(logs)
        await self._save()

    def unknown(self, logs: Iterable[Log]) -> str | None:
        """The hash of the newest block that these logs name and that is not held, if it may still come to be."""
        tip = self.chain.tip
        if tip is None:
            return None
        news = [each for each in logs if each.block_number > tip.number and self.chain.get(each.block_hash) is None]
        return max(news, key=lambda each: each.block_number).block_hash if news else None

    def reopen(self, logs: Iterable[Log]) -> bool:
        """Mark the blocks that hold more than was read of them; whether there is one."""
        news = False
        for each in logs:
            block = self.chain.get(each.block_hash)
            if block is not None and block.taken and each.index not in block.seen:
                block.taken, news = False, True
        return news

    # --- The beginning, and gaps too long to walk ---------------------------------------------------------

    async def _begin(self, head: Header) -> None:
        """Go on from the cursor; without one begin where the first leader is heard since: before it is history."""
        settings = self._settings
        keys = (settings.cursor_key, *settings.other_keys)
        text = await self._doors.database.run(source_position, CHAIN_LOGS, keys)
        self._saved = await self._doors.database.run(source_position, CHAIN_LOGS, keys[:1])
        marks = read_cursor(text or "")
        if not marks or marks[-1].number > head.number:
            # No cursor, or one that a node far behind (or a chain that began anew) has never seen.
            await self._begin_anew(head)
            return
        anchor, forked = await self._anchor(marks, head)
        if forked:
            self._orphaned.update(dict.fromkeys(await self._heard_since(anchor)))
        await self._catch_up(anchor, head)

    async def _begin_anew(self, head: Header) -> None:
        """Begin where the first leader is heard since: blocks are mined between a follow and the first look here."""
        since = min(self._ear.leaders.wallets.values(), default=None)
        anchor, back = head, 1
        while since is not None and anchor.number > 0 and anchor.time_s >= int(since.timestamp()):
            if back > FIRST_LOOK:
                break
            try:
                anchor = await self._headers.at(max(0, head.number - back))
            except NodesBehind:
                break  # a chain that begins here, or nodes that keep no more: from the oldest they have
            back *= 2
        if anchor is head:
            self.chain.begin(head)
        else:
            await self._catch_up(anchor, head)

    async def _join(self, head: Header) -> None:
        tip = self.chain.tip
        assert tip is not None
        branch = await self._branch(head) if head.number - tip.number <= self._settings.walk_max else None
        if branch is not None:
            self._orphan(self._joined(branch))
            return
        anchor, forked = await self._anchor([mark_of(block.header) for block in self.chain.above(-1)], head)
        if forked:
            self._orphan(self.chain.above(anchor.number))
            # The rows as well: the branch may begin before the oldest block that is held.
            self._orphaned.update(dict.fromkeys(await self._heard_since(anchor)))
        unread = min((block.header.number for block in self.chain.untaken()), default=anchor.number + 1)
        if unread <= anchor.number:
            anchor = await self._headers.at(unread - 1)
        await self._catch_up(anchor, head)

    async def _heard_since(self, anchor: Header) -> tuple[str, ...]:
        since = datetime.fromtimestamp(anchor.time_s, UTC)
        return await self._doors.database.run(heard_transactions, CHAIN_LOGS, since=since)

    async def _anchor(self, marks: Sequence[Mark], head: Header) -> tuple[Header, bool]:
        """The newest remembered block that is still in the chain, and whether a newer one has left it."""
        forked = False
        for mark in marks:
            if mark.number <= head.number:
                header = await self._headers.at(mark.number)
                if mark.is_of(header):
                    return header, forked
                if marks[0].number > head.number:
                    # Receipts asked for now might be missing only because the node has not got so far.
                    raise NodesBehind("the nodes have another chain, and not yet as much of it")
                forked = True
        log.warning("No remembered block is in the chain.", action="chain", oldest=marks[-1].number)
        return await self._headers.at(max(0, marks[-1].number - DEEPEST_LOOK)), forked

    async def _catch_up(self, anchor: Header, head: Header) -> None:
        """Read everything after the anchor by range up to where walking begins, within the bounds of a backfill."""
        last = max(anchor.number, head.number - self._settings.walk_max)
        first = await self._bounded(anchor, head)
        if last == anchor.number:
            self.chain.begin(anchor)
        else:
            self.chain.begin(await self._read_range(first, last) if first <= last else await self._headers.at(last))
        branch = await self._branch(head)
        if branch is None:
            raise NodesBehind("the nodes' blocks do not lie on one another")
        self._joined(branch)

    async def _bounded(self, anchor: Header, head: Header) -> int:
        """The first block to read; what lies between the anchor and it is missed, counted and told."""
        settings = self._settings
        behind, behind_s = head.number - anchor.number, max(1, head.time_s - anchor.time_s)
        by_age = behind if behind_s <= settings.backfill_age_s else behind * settings.backfill_age_s // behind_s
        wanted = max(min(behind, by_age, settings.backfill_max), min(behind, settings.walk_max))
        missed = behind - wanted
        if missed > 0 and anchor.number + missed > self._told_missed_to:
            self._told_missed_to = anchor.number + missed
            self._ear.stats.missed(missed)
            log.warning("The chain was left alone for too long.", action="chain", missed_blocks=missed)
            subject = f"{CHAIN_LOGS}: blocks {anchor.number + 1} to {anchor.number + missed}"
            now = self._ear.clock.now()
            await self._doors.database.run(tell_missed, missed, bound=wanted, subject=subject, now=now)
        return anchor.number + missed + 1

    async def _read_range(self, first: int, last: int) -> Header:
        """Read and give on a range of blocks, oldest first; answers the header of the last one."""
        size, header = self._settings.range_max, None
        while header is None or header.number < last:
            upto = min(last, first + size - 1)
            try:
                logs, header = await self.reader.logs_between(first, upto)
            except RangeTooWide:
                if first == upto:
                    raise
                size = max(1, (upto - first + 1) // 2)
                continue
            await self._take_range(logs)
            if not self.reader.waiting and not self._orphaned:
                await self._write([mark_of(header)])
            first = upto + 1
        return header

    async def _take_range(self, logs: Sequence[Log]) -> None:
        by_block: dict[str, list[Log]] = {}
        for each in sorted(logs, key=lambda each: (each.block_number, each.index)):
            by_block.setdefault(each.block_hash, []).append(each)
        hashes = list(by_block)
        for start in range(0, len(hashes), BATCH_MAX):
            some = hashes[start : start + BATCH_MAX]
            calls = [Call("eth_getBlockByHash", (each, NO_BODIES), must_exist=True) for each in some]
            for value in await self._doors.rpc.batch(calls):
                header = read_header(value)
                await self.reader.take(header, by_block[header.hash])

    # --- Block by block -----------------------------------------------------------------------------------

    async def _branch(self, head: Header) -> list[Header] | None:
        """The headers from the first unknown block to this one; None when they reach too far back."""
        branch, floor = [head], self.chain.tip.number if self.chain.tip else -1
        while self.chain.get(branch[-1].parent) is None:
            if len(branch) > self._settings.walk_max + self._settings.depth or branch[-1].number == 0:
                return None
            branch += await self._headers.before(branch[-1], above=floor)
        branch.reverse()
        return branch

    def _joined(self, branch: Sequence[Header]) -> list[Block]:
        try:
            return self.chain.join(branch)
        except Disjoint as error:
            raise NodesBehind(f"the nodes' blocks do not lie on one another: {error}") from None

    def _orphan(self, orphans: Iterable[Block]) -> None:
        for block in orphans:
            log.warning("A block left the chain.", action="reorg", number=block.header.number, hash=block.header.hash)
            self.reader.drop(block.header.hash)
            self._orphaned.update(dict.fromkeys(block.seen.values()))

    async def _take_untaken(self, pushed: Sequence[Log]) -> None:
        for run in runs_of(self.chain.untaken(), RUN_MAX):
            logs = await self._logs_of_run(run)
            for block in run:
                await self._take(block, await self.reader.logs_of(block.header) if logs is None else logs, pushed)
            self._reads_runs = True

    async def _logs_of_run(self, run: Sequence[Block]) -> list[Log] | None:
        """None where each block is to be asked for: also in the round after one that no node answered."""
        if len(run) == 1 or not self._reads_runs:
            return None
        self._reads_runs = False
        logs = await self.reader.logs_of_run([each.header for each in run])
        self._reads_runs = True
        return logs

    async def _take(self, block: Block, logs: Sequence[Log], pushed: Sequence[Log]) -> None:
        """Give on what these logs, of this block and perhaps of others, say of it."""
        own = [each for each in logs if each.block_hash == block.header.hash]
        known = {each.index for each in own}
        extra = [each for each in pushed if each.block_hash == block.header.hash and each.index not in known]
        block.seen.update(await self.reader.take(block.header, [*own, *extra]))
        block.taken, block.taken_ms = True, self._ear.clock.monotonic_ms()
        age_s = self._ear.clock.now().timestamp() - block.header.time_s
        if age_s < self._settings.silence_s:
            self._ear.stats.alive(self._ear.clock.monotonic_ms())

    async def _look_again(self) -> None:
        """Ask once more for the logs of blocks that were read a moment ago, by range, and read what grew anew.

        Nodes show a block before its logs: on a loaded one every fifth run lost a whole block's (2026-11). Until then
        the cursor stays before the block.
        """
        until_ms = self._ear.clock.monotonic_ms() - self._settings.again_s * 1_000
        due = [block for block in self.chain if block.taken and not block.sure and block.taken_ms <= until_ms]
        if not due:
            return
        logs = await self._logs_again(due[0].header.number, due[-1].header.number)
        for block in due:
            block.sure = True
        if self.reopen(logs):
            await self._take_untaken(logs)

    async def _logs_again(self, first: int, last: int) -> list[Log]:
        """By range, in halves where the nodes find that too wide. Raises RpcError."""
        try:
            return (await self.reader.logs_between(first, last))[0]
        except RangeTooWide:
            if first == last:
                raise
            middle = (first + last) // 2
            return [*await self._logs_again(first, middle), *await self._logs_again(middle + 1, last)]

    async def _withdraw_orphaned(self) -> None:
        """Judge transactions of orphaned blocks, once all blocks up to the tip are read.

        What a held block holds is in the chain; of the rest the receipt decides. One that names neither a block that is
        final nor one still to be read is of a fork that is going on: it is judged again in the next round.
        """
        for block in self.chain:
            for tx in block.seen.values():
                self._orphaned.pop(tx, None)
        suspects = list(self._orphaned)
        for start in range(0, len(suspects), BATCH_MAX):
            some = suspects[start : start + BATCH_MAX]
            receipts = await self._doors.rpc.batch([Call("eth_getTransactionReceipt", (tx,)) for tx in some])
            told = list(zip(some, receipts, strict=True))
            gone = [tx for tx, receipt in told if not succeeded(receipt)]
            if gone:
                log.warning("Transactions left the chain.", action="reorg", transactions=len(gone))
                await self._ear.sink.withdraw(CHAIN_LOGS, gone)
            for tx in (*gone, *(tx for tx, receipt in told if self._is_final(receipt))):
                self._orphaned.pop(tx, None)

    def _is_final(self, receipt: object) -> bool:
        """Whether a receipt names a block under those that are held."""
        oldest = next(iter(self.chain)).header.number
        number = receipt.get("blockNumber") if isinstance(receipt, dict) else None
        try:
            return quantity(number) <= oldest
        except Undecodable:
            return False

    # --- The cursor ---------------------------------------------------------------------------------------

    async def _save(self) -> None:
        done = self.chain.last_done(self.reader.waiting)
        held = {block.header.hash for block in self.chain}
        # What waits for a condition since before the blocks that are held, and what may have left the chain, keep the
        # cursor where it was: after a crash it is from there that both are found again.
        if done is not None and not self._orphaned and all(block_hash in held for block_hash in self.reader.waiting):
            await self._write(self.chain.marks(done.number))

    async def _write(self, marks: Sequence[Mark]) -> None:
        text, key = cursor_text(marks), self._settings.cursor_key
        if text == self._saved:
            return
        if await self._doors.database.run(move_place, CHAIN_LOGS, key, before=self._saved, after=text):
            self._saved = text
            return
        log.warning("Somebody else moved the cursor of the chain.", action="chain", key=key)
        self._saved = await self._doors.database.run(source_position, CHAIN_LOGS, (key,))


def runs_of(blocks: Iterable[Block], most: int) -> list[list[Block]]:
    """Blocks, oldest first, in runs of at most so many whose numbers follow on one another."""
    runs: list[list[Block]] = []
    for block in blocks:
        if runs and len(runs[-1]) < most and runs[-1][-1].header.number + 1 == block.header.number:
            runs[-1].append(block)
        else:
            runs.append([block])
    return runs


def succeeded(receipt: object) -> bool:
    """Whether a receipt is there and is not that of a transaction that failed."""
    return isinstance(receipt, dict) and receipt.get("status") != "0x0"
