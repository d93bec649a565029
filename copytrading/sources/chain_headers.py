"""Reads the headers of blocks from the nodes: one, some by their numbers, or a branch down to a block that is held."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from copytrading.sources.block_chain import Header, read_header
from copytrading.sources.chain_calls import ChainCalls
from execution.rpc import BATCH_MAX, Call

NO_BODIES = False
"""Of a block only the header is wanted, not its transactions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a branch may come down to: the number of the tip, which hashes are held, and headers that were pushed."""

    tip: int
    held: Callable[[str], object]
    pushed: Mapping[str, Header]
    far: int


class HeaderReader:
    """Used by one task only. Everything raises RpcError, or Undecodable for what is no header."""

    def __init__(self, calls: ChainCalls) -> None:
        self._calls = calls

    async def newest(self) -> Header:
        """The nodes' newest block."""
        return read_header((await self._calls.batch([_by_number("latest")]))[0])

    async def of(self, block_hash: str) -> Header:
        """The block of a hash."""
        return (await self.of_all([block_hash]))[0]

    async def of_all(self, hashes: Sequence[str]) -> list[Header]:
        """The blocks of these hashes, in their order."""
        calls = [Call("eth_getBlockByHash", (each, NO_BODIES), must_exist=True) for each in hashes]
        return [read_header(each) for each in await self._calls.many(calls)]

    async def at(self, numbers: Sequence[int]) -> list[Header]:
        """The blocks of these heights, in their order."""
        return [read_header(each) for each in await self._calls.many([_by_number(hex(each)) for each in numbers])]

    async def there_at(self, numbers: Sequence[int]) -> list[Header]:
        """Those of the blocks of these heights that a node has: it may be behind, or keep no old ones."""
        found = await self._calls.many([Call("eth_getBlockByNumber", (hex(each), NO_BODIES)) for each in numbers])
        return [read_header(each) for each in found if each is not None]

    async def branch(self, head: Header, ground: Ground) -> list[Header] | None:
        """The headers from the first block that is not held to this one; None when they reach too far back.

        Each lies on the one before by its hash: those read by height are a guess, and what does not fit is not used.
        """
        branch, known, guess = [head], dict(ground.pushed), 1
        while not ground.held(branch[-1].parent):
            above = branch[-1]
            if len(branch) > ground.far or above.number == 0:
                return None
            if above.parent not in known:
                gap = above.number - ground.tip - 1
                # Below the tip nobody knows how deep the branch goes, so the guesses grow.
                known.update(await self._below(above, gap if gap > 0 else guess))
                guess = min(BATCH_MAX, guess * 2)
            branch.append(known.get(above.parent) or await self.of(above.parent))
        branch.reverse()
        return branch

    async def _below(self, above: Header, count: int) -> dict[str, Header]:
        if count == 1:
            return {above.parent: await self.of(above.parent)}
        headers = await self.there_at(range(max(0, above.number - count), above.number))
        return {each.hash: each for each in headers}


def _by_number(number: str) -> Call:
    return Call("eth_getBlockByNumber", (number, NO_BODIES), must_exist=True)
