"""What accounts hold on the venue: asked once however many want to know at a time, and remembered by nobody here."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from execution.clob.client import Balance, ClobClient
from execution.clob.credentials import Access

Key = tuple[str, int | None]
"""Wallet in lower case and token; None is the wallet's pUSD."""


@dataclass(frozen=True, slots=True)
class _Asking:
    task: "asyncio.Task[Balance]"
    number: int


class Balances:
    """Balances of all accounts. Every read may raise HostDown or HostRefused.

    A read never rests on a question that is older than itself: shares may have gone since, by another way than ours.
    """

    def __init__(self, client: ClobClient) -> None:
        self._client = client
        self._asking: dict[Key, _Asking] = {}
        self._number = 0

    async def collateral(self, access: Access) -> Balance:
        """The pUSD of the account's wallet, and what each contract may take of it."""
        return await self._read((access.wallet.lower(), None), lambda: self._client.collateral(access))

    async def shares(self, access: Access, token_id: int, *, version: str) -> Balance:
        """The shares of one token; `version` is the market's."""
        key = (access.wallet.lower(), token_id)
        return await self._read(key, lambda: self._client.shares(access, token_id, version=version))

    async def _read(self, key: Key, ask: Callable[[], Awaitable[Balance]]) -> Balance:
        since = self._number
        while True:
            asking = self._asking.get(key) or self._ask(key, ask)
            if asking.number <= since:
                # It may have been answered before what happened since: it only has to end.
                await asyncio.wait([asking.task])
                continue
            # Others wait for the same answer: whoever gives up must not take it from them.
            return await asyncio.shield(asking.task)

    def _ask(self, key: Key, ask: Callable[[], Awaitable[Balance]]) -> _Asking:
        self._number += 1
        task = asyncio.ensure_future(self._answer(key, ask))
        task.add_done_callback(_heard)
        asking = self._asking[key] = _Asking(task, self._number)
        return asking

    async def _answer(self, key: Key, ask: Callable[[], Awaitable[Balance]]) -> Balance:
        try:
            return await ask()
        finally:
            del self._asking[key]


def _heard(task: "asyncio.Task[Balance]") -> None:
    """Everybody who waited has given up: that is no error of the task's."""
    if not task.cancelled():
        task.exception()
