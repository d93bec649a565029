"""Calls to the nodes as a source makes them: many at once, and none any more when the source is to stop."""

import asyncio
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TypeVar

from execution.overlap import overlapped
from execution.rpc import BATCH_MAX, Call, Rpc, RpcError

AT_ONCE = 4
"""Requests under way at a time: two hundred calls in one round trip, and still few enough for a node's limits."""

T = TypeVar("T")


class Stopped(RpcError):
    """The source is to stop, so nobody is asked any more."""


class ChainCalls:
    """The nodes, until told to stop: an answer that is under way is then not waited for."""

    def __init__(self, rpc: Rpc) -> None:
        self._rpc, self._stop = rpc, asyncio.Event()

    def until(self, stop: asyncio.Event) -> None:
        """Heed this stop from now on."""
        self._stop = stop

    def check(self) -> None:
        """Raise Stopped when it is time."""
        if self._stop.is_set():
            raise Stopped("The source is to stop.")

    async def batch(self, calls: Sequence[Call]) -> list[object]:
        """The results of at most BATCH_MAX calls, in their order and from one node. Raises RpcError."""
        return await self._unless_stopped(self._rpc.batch(calls))

    async def batches(self, batches: Sequence[Sequence[Call]]) -> list[list[object]]:
        """The results of each batch; those of one batch are from one node. Raises RpcError."""
        return await overlapped([partial(self.batch, each) for each in batches], at_once=AT_ONCE)

    async def many(self, calls: Sequence[Call]) -> list[object]:
        """The results of any number of calls, perhaps from several nodes. Raises RpcError."""
        batches = [calls[start : start + BATCH_MAX] for start in range(0, len(calls), BATCH_MAX)]
        return [result for results in await self.batches(batches) for result in results]

    async def probe(self) -> None:
        """Have every node asked how it is. Raises Stopped."""
        await self._unless_stopped(self._rpc.probe())

    async def _unless_stopped(self, asked: Coroutine[object, object, T]) -> T:
        asking, stopping = asyncio.ensure_future(asked), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                self.check()
            return asking.result()
        finally:
            asking.cancel()
            stopping.cancel()
            await asyncio.gather(asking, stopping, return_exceptions=True)
