"""Whom a shard listens to: the set of leaders that somebody follows, as the live sources see it."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

NOBODY: Mapping[str, datetime] = MappingProxyType({})


class LeaderSet(Protocol):
    """Wallets in lower case, each with the moment since which it is heard: what it did before is history."""

    @property
    def wallets(self) -> Mapping[str, datetime]:
        """The set now; a new mapping after each change, so a reader may keep it for one round."""
        ...

    @property
    def version(self) -> int:
        """Rises with each change."""
        ...

    async def changed(self, version: int) -> None:
        """Return as soon as the version is another one than this."""
        ...


class HeardLeaders:
    """`LeaderSet` that the index of configs replaces."""

    def __init__(self) -> None:
        self._wallets: Mapping[str, datetime] = NOBODY
        self._version = 0
        self._bell = asyncio.Event()

    @property
    def wallets(self) -> Mapping[str, datetime]:
        """The set now."""
        return self._wallets

    @property
    def version(self) -> int:
        """Rises with each change."""
        return self._version

    async def changed(self, version: int) -> None:
        """Return when the set is another one."""
        while self._version == version:
            await self._bell.wait()

    def replace(self, wallets: Mapping[str, datetime]) -> None:
        """From now on these; the same set changes nothing."""
        if wallets == self._wallets:
            return
        self._wallets = MappingProxyType(dict(wallets))
        self._version += 1
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()
