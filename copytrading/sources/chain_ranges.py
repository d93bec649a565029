"""Reads the logs that name a leader: of blocks by their hashes, of a run of blocks, or of a range of heights."""

from collections.abc import Iterable, Mapping, Sequence

import structlog

from copytrading.sources.block_chain import Header, read_header
from copytrading.sources.chain_actions import names_one_of
from copytrading.sources.chain_calls import ChainCalls
from copytrading.sources.chain_doors import ChainSettings
from copytrading.sources.chain_filters import Filter, filters_for
from copytrading.sources.chain_headers import NO_BODIES
from copytrading.sources.live import Ear
from execution.chain_events import Log, Undecodable, read_log
from execution.rpc import BATCH_MAX, Call, NodesBehind, NoNode, RangeTooWide

FEW = 3
"""So many blocks are asked for one by one, in one request; more of them by range, which costs a node far less."""

log = structlog.get_logger(__name__)


class Width:
    """How many blocks to ask for at once: halved by trouble, doubled by success."""

    def __init__(self, most: int) -> None:
        self.blocks = self._most = most

    def narrow(self, tried: int) -> None:
        """So many were too many."""
        self.blocks = max(1, min(self.blocks, tried // 2))

    def widen(self) -> None:
        """More may do."""
        self.blocks = min(self._most, self.blocks * 2)


class LogReader:
    """Used by one task only. `allowed` is what nodes do not refuse, `stretch` what they answer at all, in time."""

    def __init__(self, calls: ChainCalls, ear: Ear, settings: ChainSettings) -> None:
        self._calls, self._ear, self._settings = calls, ear, settings
        self.allowed, self.stretch = Width(settings.range_max), Width(settings.range_max)

    async def of(self, run: Sequence[Header]) -> dict[str, list[Log]]:
        """All such logs of these blocks, by block hash. Raises RpcError; NodesBehind when no node has all of them."""
        filters = self._filters()
        if not filters or not run:
            return {}
        try:
            logs = await self._of_run(run, filters) if len(run) > FEW else None
            if logs is None:
                logs = await self._of_each(run, filters)
        except NodesBehind:
            raise
        except NoNode:
            self.stretch.narrow(len(run))
            raise
        self.stretch.widen()
        return by_block(logs)

    async def after(self, first: int, last: int) -> tuple[list[Log], Header]:
        """All such logs from the first height on, as far as the nodes allow and at most to the last one.

        Answers the header of the block up to which was read as well. Raises RpcError.
        """
        while True:
            upto = min(last, first + min(self.allowed.blocks, self.stretch.blocks) - 1)
            try:
                answer = await self._between(first, upto)
            except RangeTooWide:
                if first == upto:
                    raise
                self.allowed.narrow(upto - first + 1)
            except NodesBehind:
                raise
            except NoNode:
                self.stretch.narrow(upto - first + 1)
                raise
            else:
                self.stretch.widen()
                return answer

    async def _between(self, first: int, last: int) -> tuple[list[Log], Header]:
        header, *results = await self._calls.batch([_header_at(last), *_ranges(self._filters(), first, last)])
        return self._read(results), read_header(header)

    async def _of_run(self, run: Sequence[Header], filters: Sequence[Filter]) -> list[Log] | None:
        """By range, all from one node; None when that cannot be, or when its chain was another one meanwhile."""
        first, last, width = run[0].number, run[-1].number, self.allowed.blocks
        pieces = [(start, min(last, start + width - 1)) for start in range(first, last + 1, width)]
        asked = [call for start, upto in pieces for call in _ranges(filters, start, upto)]
        if last - first + 1 != len(run) or len(asked) + 2 > BATCH_MAX:
            return None
        # The last block lies on all others: while it is the chain's at its height, so are they.
        try:
            before, *results, after = await self._calls.batch([_header_at(last), *asked, _header_at(last)])
        except RangeTooWide:
            self.allowed.narrow(pieces[0][1] - first + 1)
            return None
        logs, hashes = self._read(results), {each.hash for each in run}
        same = {read_header(before).hash, read_header(after).hash} == {run[-1].hash}
        return logs if same and all(each.block_hash in hashes for each in logs) else None

    async def _of_each(self, run: Sequence[Header], filters: Sequence[Filter]) -> list[Log]:
        at_once = max(1, BATCH_MAX // (len(filters) + 1))
        # A node that does not know the block may answer with no logs; one that shows its header knows it.
        batches = [
            [call for header in run[start : start + at_once] for call in _of_block(filters, header)]
            for start in range(0, len(run), at_once)
        ]
        answers = [answer for answers in await self._calls.batches(batches) for answer in answers]
        return self._read(answer for index, answer in enumerate(answers) if index % (len(filters) + 1))

    def _filters(self) -> Sequence[Filter]:
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


def by_block(logs: Iterable[Log]) -> dict[str, list[Log]]:
    """Logs by the hash of their block, in the order of the chain."""
    found: dict[str, list[Log]] = {}
    for each in sorted(logs, key=lambda each: (each.block_number, each.index)):
        found.setdefault(each.block_hash, []).append(each)
    return found


def _header_at(number: int) -> Call:
    return Call("eth_getBlockByNumber", (hex(number), NO_BODIES), must_exist=True)


def _ranges(filters: Sequence[Filter], first: int, last: int) -> list[Call]:
    bounds: Mapping[str, object] = {"fromBlock": hex(first), "toBlock": hex(last)}
    return [Call("eth_getLogs", ({**each, **bounds},)) for each in filters]


def _of_block(filters: Sequence[Filter], header: Header) -> list[Call]:
    logs = [Call("eth_getLogs", ({**each, "blockHash": header.hash},), must_exist=True) for each in filters]
    return [Call("eth_getBlockByHash", (header.hash, NO_BODIES), must_exist=True), *logs]
