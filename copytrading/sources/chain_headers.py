"""Asks nodes for headers: one by number or by hash, or as many before one as lie on one another. No logs here."""

from collections.abc import Sequence

from copytrading.sources.block_chain import Header, read_header
from execution.rpc import Call, NodesBehind, Rpc

NO_BODIES = False
"""Of a block only the header is wanted, not its transactions."""

HEADERS_MAX = 10
"""Headers in one request: some providers refuse longer batches."""


class ChainHeaders:
    """Each method raises RpcError; NodesBehind when no node has the block."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def newest(self) -> Header:
        """The newest block of the node that is asked."""
        return read_header(await self._rpc.call("eth_getBlockByNumber", "latest", NO_BODIES, must_exist=True))

    async def at(self, number: int) -> Header:
        """The block of a number."""
        return read_header(await self._rpc.call("eth_getBlockByNumber", hex(number), NO_BODIES, must_exist=True))

    async def of(self, block_hash: str) -> Header:
        """The block of a hash."""
        return read_header(await self._rpc.call("eth_getBlockByHash", block_hash, NO_BODIES, must_exist=True))

    async def before(self, header: Header, *, above: int) -> list[Header]:
        """Blocks before this one, newest first, each the parent of the one before it: at least one.

        Several in one request where more than one lies above a number; they are asked for by number, and what is of
        another branch is left out.
        """
        found: list[Header] = []
        expected = header.parent
        for each in await self._several(range(header.number - 1, max(above, header.number - 1 - HEADERS_MAX), -1)):
            if each.hash != expected:
                break
            found.append(each)
            expected = each.parent
        return found or [await self.of(header.parent)]

    async def _several(self, numbers: Sequence[int]) -> list[Header]:
        """None where it is only one, or where no node has them all."""
        if len(numbers) < 2:
            return []
        calls = [Call("eth_getBlockByNumber", (hex(each), NO_BODIES), must_exist=True) for each in numbers]
        try:
            return [read_header(each) for each in await self._rpc.batch(calls)]
        except NodesBehind:
            return []
