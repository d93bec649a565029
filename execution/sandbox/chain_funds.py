"""What wallets own on the local chain. They are plain addresses without keys: approvals, cash and missing shares are
written into storage, so that no listener hears a transfer that is no part of the truth.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from execution.sandbox.anvil import STATES_KEPT
from execution.sandbox.deployment import (
    COLLATERAL_ALLOWANCES,
    COLLATERAL_BALANCES,
    TOKENS_APPROVALS,
    TOKENS_BALANCES,
    UNLIMITED,
    Addresses,
    as_number,
    mapping_cell,
    store,
)
from execution.sandbox.node import Call, Node

CASH_MICROS = 10**15
"""pUSD of a wallet when it is first seen: nobody's cash on chain is part of the truth."""

GAS_WEI = 10**24

Key = tuple[str, int]
"""A wallet, lower-case, and a token."""

Changes = Mapping[Key, int]


@dataclass(frozen=True, slots=True)
class _Gift:
    """Shares written into storage beside all transactions, or taken out of it."""

    key: Key
    shares_micros: int


class Funds:
    """Keeps the balances as they are in the latest block and as they will be once what waits is mined.

    Only right while every transaction that moves tokens is announced by `expect`, and every block by `mined`.
    """

    def __init__(self, node: Node, addresses: Addresses) -> None:
        self._node = node
        self._addresses = addresses
        self._latest: Counter[Key] = Counter()
        self._coming: Counter[Key] = Counter()
        self._known: set[str] = set()
        # By the number of the block that was the latest when it was written: a reorg forgets what came after a block.
        self._written: defaultdict[int, list[str | _Gift]] = defaultdict(list)
        self._head = 0

    async def meet(self, wallets: Iterable[str]) -> None:
        """Give new wallets gas, cash, and the approvals that the venue asks for."""
        new = sorted({each.lower() for each in wallets} - self._known)
        await self._node.batch([call for wallet in new for call in self._greeting(wallet)])
        self._known.update(new)
        self._written[self._head] += new

    async def provide(self, needed: Changes) -> None:
        """Give what a wallet will lack when so much leaves it."""
        missing = {key: amount - held for key, amount in needed.items() if (held := self._coming[key]) < amount}
        await self._give(missing)

    async def hold_exactly(self, key: Key, shares_micros: int) -> None:
        """Set a balance. Nothing that waits may touch it."""
        assert not self.waits_for([key])
        await self._give({key: shares_micros - self._latest[key]})

    def waits_for(self, keys: Sequence[Key]) -> bool:
        """Whether one of the balances will change when what waits is mined."""
        return any(self._latest[key] != self._coming[key] for key in keys)

    def expect(self, changes: Changes) -> None:
        """A transaction was sent that will do this."""
        for key, change in changes.items():
            self._coming[key] += change

    def mined(self, head: int) -> None:
        """Everything that was sent is in the chain now, up to this block."""
        self._latest = self._coming.copy()
        self._head = head
        self._written.pop(head - STATES_KEPT, None)

    async def rolled_back(self, head: int, extra: Changes) -> None:
        """The chain ends at an older block again: write what was written there, and give `extra`, which will be lacking
        because some transactions do not come again.
        """
        self._head = head
        self._written[head] += [_Gift(key, shares) for key, shares in extra.items() if shares > 0]
        await self.replay(head)

    async def replay(self, head: int) -> None:
        """Write once more what was written when this block was the latest, which a new block of its number lacks."""
        self._head = head
        written = self._written[head]
        calls = [call for each in written if isinstance(each, str) for call in self._greeting(each)]
        gifts: Counter[Key] = Counter()
        for each in written:
            if isinstance(each, _Gift):
                gifts[each.key] += each.shares_micros
        held = await self.read(gifts)
        calls += [self._balance(key, max(0, held[key] + gift)) for key, gift in gifts.items()]
        await self._node.batch(calls)

    async def reread(self, keys: Iterable[Key], head: int) -> None:
        """Believe the chain about these balances; nothing may wait."""
        held = await self.read(keys)
        self._coming.update({key: shares - self._coming[key] for key, shares in held.items()})
        self.mined(head)

    async def read(self, keys: Iterable[Key]) -> dict[Key, int]:
        """The balances in the latest block."""
        wanted = list(keys)
        address = self._addresses.conditional_tokens
        cells = [mapping_cell(TOKENS_BALANCES, token, as_number(wallet)) for wallet, token in wanted]
        answers = await self._node.batch(
            [("eth_getStorageAt", (address, f"0x{cell:064x}", "latest")) for cell in cells]
        )
        return {key: int(answer, 16) for key, answer in zip(wanted, answers, strict=True)}

    async def _give(self, gifts: Changes) -> None:
        gifts = {key: gift for key, gift in gifts.items() if gift}
        for key, gift in gifts.items():
            self._latest[key] += gift
            self._coming[key] += gift
        await self._node.batch([self._balance(key, self._latest[key]) for key in gifts])
        self._written[self._head] += [_Gift(key, gift) for key, gift in gifts.items()]

    def _balance(self, key: Key, shares_micros: int) -> Call:
        wallet, token = key
        cell = mapping_cell(TOKENS_BALANCES, token, as_number(wallet))
        return store(self._addresses.conditional_tokens, cell, shares_micros)

    def _greeting(self, wallet: str) -> list[Call]:
        own, to = as_number(wallet), self._addresses
        spenders = (to.exchange, to.neg_risk_exchange, to.conditional_tokens)
        movers = (to.exchange, to.neg_risk_exchange, to.neg_risk_adapter)
        return [
            ("anvil_setBalance", (wallet, hex(GAS_WEI))),
            store(to.collateral, mapping_cell(COLLATERAL_BALANCES, own), CASH_MICROS),
            *(
                store(to.collateral, mapping_cell(COLLATERAL_ALLOWANCES, own, as_number(each)), UNLIMITED)
                for each in spenders
            ),
            *(store(to.conditional_tokens, mapping_cell(TOKENS_APPROVALS, own, as_number(each)), 1) for each in movers),
        ]
