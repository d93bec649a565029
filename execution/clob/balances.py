"""What accounts hold on the venue: remembered for a moment, and asked once however many want to know."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from execution.clob.client import Balance, ClobClient
from execution.clob.credentials import Access
from ledger.clock import Clock

ENTRIES_MAX = 20_000
"""Balances remembered at once; the one that was not looked at for longest makes room."""

Key = tuple[str, int | None]
"""Wallet in lower case and token; None is the wallet's pUSD."""


@dataclass(frozen=True, slots=True)
class _Known:
    balance: Balance
    asked_ms: float


@dataclass(frozen=True, slots=True)
class _Asking:
    task: "asyncio.Task[Balance]"
    number: int


class Balances:
    """Balances of all accounts. Every read may raise HostDown or HostRefused; what was known before is then unknown.

    A fresh read never rests on an answer, nor on a question under way, that is older than itself.
    """

    def __init__(self, client: ClobClient, clock: Clock, *, ttl_ms: int) -> None:
        self._client, self._clock, self._ttl_ms = client, clock, ttl_ms
        self._known: OrderedDict[Key, _Known] = OrderedDict()
        self._asking: dict[Key, _Asking] = {}
        self._number = 0

    async def collateral(self, access: Access, *, fresh: bool = False) -> Balance:
        """The pUSD of the account's wallet, and what each contract may take of it."""
        return await self._read((access.wallet.lower(), None), lambda: self._client.collateral(access), fresh=fresh)

    async def shares(self, access: Access, token_id: int, *, version: str, fresh: bool = False) -> Balance:
        """The shares of one token; `version` is the market's."""
        key = (access.wallet.lower(), token_id)
        return await self._read(key, lambda: self._client.shares(access, token_id, version=version), fresh=fresh)

    def forget(self, wallet: str, token_id: int | None = None) -> None:
        """What is remembered of this wallet's token, or of its pUSD, is no longer so; nor is what is being asked."""
        self._known.pop((wallet.lower(), token_id), None)
        self._asking.pop((wallet.lower(), token_id), None)

    async def _read(self, key: Key, ask: Callable[[], Awaitable[Balance]], *, fresh: bool) -> Balance:
        known = self._known.get(key)
        if known is not None and not fresh and self._clock.monotonic_ms() - known.asked_ms < self._ttl_ms:
            self._known.move_to_end(key)
            return known.balance
        since = self._number
        while True:
            asking = self._asking.get(key) or self._ask(key, ask)
            if fresh and asking.number <= since:
                # It may have been answered before what happened since: it only has to end.
                await asyncio.wait([asking.task])
                continue
            # Others wait for the same answer: whoever gives up must not take it from them.
            return await asyncio.shield(asking.task)

    def _ask(self, key: Key, ask: Callable[[], Awaitable[Balance]]) -> _Asking:
        self._number += 1
        self._known.pop(key, None)
        task = asyncio.ensure_future(self._answer(key, ask, number=self._number))
        task.add_done_callback(_heard)
        asking = self._asking[key] = _Asking(task, self._number)
        return asking

    async def _answer(self, key: Key, ask: Callable[[], Awaitable[Balance]], *, number: int) -> Balance:
        asked_ms = self._clock.monotonic_ms()
        balance: Balance | None = None
        try:
            balance = await ask()
            return balance
        finally:
            # Unless it was forgotten meanwhile.
            asking = self._asking.get(key)
            if asking is not None and asking.number == number:
                del self._asking[key]
                if balance is not None:
                    self._remember(key, _Known(balance, asked_ms))

    def _remember(self, key: Key, known: _Known) -> None:
        self._known[key] = known
        if len(self._known) > ENTRIES_MAX:
            self._known.popitem(last=False)


def _heard(task: "asyncio.Task[Balance]") -> None:
    """Everybody who waited has given up: that is no error of the task's."""
    if not task.cancelled():
        task.exception()
