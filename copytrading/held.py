"""Signals that the pipeline has taken from the queue and not yet marked as done there."""

from collections.abc import Container

from guardrails.stores.base import QueueStore, StoreDown


class Held:
    """What one round of the pipeline has in hand. Lost with the process: the queue gives it out again."""

    def __init__(self, queue: QueueStore) -> None:
        self._queue = queue
        self._receipts: dict[int, str] = {}

    async def take(self, most: int, *, wait_ms: int) -> list[int]:
        """Take up to so many; their ids. Raises StoreDown."""
        taken = await self._queue.take(most, wait_ms=wait_ms)
        self._receipts |= {int(item.item): item.receipt for item in taken}
        return [int(item.item) for item in taken]

    async def more(self, most: int) -> list[int]:
        """What waits already, up to so many; none while the queue is down, for the rest must not wait for it."""
        try:
            return await self.take(most, wait_ms=0)
        except StoreDown:
            return []

    async def end_all_but(self, signal_ids: Container[int], *, last: bool) -> None:
        """Mark the others as done. What cannot be marked now is marked the next time; raises StoreDown at the last."""
        ended = [signal_id for signal_id in self._receipts if signal_id not in signal_ids]
        try:
            await self._queue.done([self._receipts[each] for each in ended])
        except StoreDown:
            if last:
                raise
            return
        for each in ended:
            del self._receipts[each]
