"""A settlement on a real local chain: each happening is a transaction, and blocks come at their time."""

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from execution.sandbox.anvil import STATES_KEPT, Anvil, AnvilSettings
from execution.sandbox.chain_calls import Caller, ChainCall
from execution.sandbox.chain_funds import GAS_WEI, Changes, Funds, Key
from execution.sandbox.deployment import Addresses, Contracts, deploy, load_contracts
from execution.sandbox.happenings import Happening, Match, Settled
from execution.sandbox.markets import SandboxMarket
from execution.sandbox.node import Node
from execution.sandbox.off_chain import epoch_ms
from execution.sandbox.position_ids import condition_id, token_ids
from execution.sandbox.reorgs import RemovalListener, Reorg, Reorganiser, removal_of
from ledger.clock import Clock

OPERATORS_MAX = 6
"""Of the node's ten accounts; the others are the admin, the oracle, and one that is no operator."""

HEADER_ONLY = False
"""Of a block: without its transactions."""

HeadListener = Callable[[int], None]

HEAD_START_S = 600
"""How long ago the chain began: blocks that are mined on demand need room for their rising times."""


FIRST_BLOCK_AT_S = 1_700_000_000
"""The moment of block 0, if there had been a block each second; about as high as Polygon's own numbers."""

HISTORY_BLOCKS = 64
"""Empty blocks before the first happening, so that a reorg is possible at once."""

RUNS = 100_000


class SettlementFailed(RuntimeError):
    """A transaction that was answered as settled did not succeed: the happening was impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnChainSettings:
    """`block_ms` 0 mines only by `mine`. Blocks have whole seconds that must rise: below 1,000 they run ahead."""

    block_ms: int = 1_000
    operators: int = 3
    chain_id: int = 137
    addresses: Addresses = field(default_factory=Addresses)


class OnChain:
    """`Settlement` on anvil, the real ConditionalTokens and our own exchanges at the published addresses.

    Blocks are mined here and not by the node's own timer, so that number and time of the next block are known as soon
    as a transaction is sent: `settle` answers at once, and the transaction waits in the open until its block comes.
    A transaction that then fails raises SettlementFailed from the next call.
    """

    name = "on-chain"

    def __init__(self, clock: Clock, settings: OnChainSettings | None = None) -> None:
        self._clock = clock
        self._settings = settings or OnChainSettings()
        if not 1 <= self._settings.operators <= OPERATORS_MAX:
            raise ValueError(f"There are 1 to {OPERATORS_MAX} operators, not {self._settings.operators}.")
        now_s = epoch_ms(clock.now()) // 1_000
        start_s = now_s - HEAD_START_S
        # Numbers of blocks go on where an earlier run was, for an engine that remembers how far it heard.
        number = max(0, now_s - FIRST_BLOCK_AT_S - HISTORY_BLOCKS)
        self.anvil = Anvil(
            AnvilSettings(chain_id=self._settings.chain_id, genesis_time_s=start_s, genesis_number=number)
        )
        self._lock = asyncio.Lock()
        self._miner: asyncio.Task[None] | None = None
        self._removal_listeners: list[RemovalListener] = []
        self._head_listeners: list[HeadListener] = []
        self._failed: list[str] = []
        self._salt = 0
        # Goes into the gas of each transaction: the same move in another run has another hash.
        self._run = now_s % RUNS
        self._head, self._time_s, self._next_time_s = 0, start_s, 0
        self.first_block = 0
        # What each transaction changes, by the block it is in or will be in.
        self._effects: dict[int, dict[str, Changes]] = {}
        self._keyless: set[str] = set()

    @property
    def block_ms(self) -> int:
        """Between two blocks; 0 where they are mined only by `mine`."""
        return self._settings.block_ms

    async def start(self) -> None:
        """Start the node, put the contracts in place, begin to mine. Raises ChainUnavailable."""
        await self.anvil.start()
        try:
            await self._begin()
        except BaseException:
            await self.close()
            raise

    async def _begin(self) -> None:
        self.node = Node(self.anvil.http_url)
        self.contracts: Contracts = load_contracts()
        accounts = await self.node.call("eth_accounts")
        self.admin, self._oracle, self._outsider = accounts[0], accounts[1], accounts[2]
        self.operators: list[str] = accounts[3 : 3 + self._settings.operators]
        self.caller = Caller(self.contracts, self._settings.addresses)
        self._funds = Funds(self.node, self._settings.addresses)
        self._reorganiser = Reorganiser(self.node, self._funds, self._keyless)
        await deploy(self.node, self.contracts, self._settings.addresses, admin=self.admin, operators=self.operators)
        await self._note_head()
        self.first_block = self._head
        await self.node.call("anvil_mine", hex(HISTORY_BLOCKS), "0x1")
        await self._note_head()
        self._funds.mined(self._head)
        if self._settings.block_ms:
            self._miner = asyncio.create_task(self._mine_on())

    async def prepare(self, markets: Sequence[SandboxMarket]) -> tuple[SandboxMarket, ...]:
        """Conditions of v1 get the ids that the contract computes; v2 has no contract here and keeps its own."""
        async with self._lock:
            known = tuple([await self._prepare(market) for market in markets])
            await self._mine()
        return known

    async def settle(self, happening: Happening) -> Settled:
        """Send the transaction; it will be in the next block. Raises SettlementFailed for an earlier one."""
        async with self._lock:
            self._raise_failures()
            self._raise_of_miner()
            if isinstance(happening, Match):
                call = self._match_call(happening)
            else:
                call = self.caller.move(happening) or ChainCall(sender="", to=self.operators[0], calldata="0x")
            tx_hash = await self._send(call)
            return Settled(tx_hash=tx_hash, block_number=self._head + 1, block_time_s=self._next_time_s)

    async def resolve(self, market: SandboxMarket, winner: int) -> None:
        """The oracle reports; what is redeemed after this is redeemed after it."""
        if market.version == "v2":
            return
        call = ChainCall(
            sender=self._oracle,
            to=self._settings.addresses.conditional_tokens,
            calldata=self.caller.report(market, winner),
        )
        async with self._lock:
            await self._send(call)

    async def close(self) -> None:
        """End the node and the mining. Raises what the mining raised, and SettlementFailed for what failed."""
        miner, self._miner = self._miner, None
        ended: Sequence[BaseException | None] = ()
        if miner is not None:
            miner.cancel()
            ended = await asyncio.gather(miner, return_exceptions=True)
        if hasattr(self, "node"):
            await self.node.close()
        await self.anvil.close()
        for error in ended:
            if isinstance(error, Exception):
                raise error
        self._raise_failures()

    @property
    def head(self) -> int:
        """The number of the latest block."""
        return self._head

    async def mine(self) -> int:
        """Mine one block now, and answer its number."""
        async with self._lock:
            return await self._mine()

    async def broadcast_failing(self, match: Match) -> str:
        """Send a match that waits like any other, fails in its block, and is no part of the truth. Answers its hash."""
        async with self._lock:
            call = replace(self._match_call(match), sender=self._outsider)
            return await self._send(call, tracked=False)

    async def allow_unsigned(self, *, allowed: bool) -> None:
        """Whether the exchanges take orders without a signature, as `settle` sends them; mined on return."""
        calldata = self.contracts.exchange.call("setUnsignedAllowed", allowed)
        async with self._lock:
            for exchange in self.addresses.exchanges:
                await self._send(ChainCall(sender=self.admin, to=exchange, calldata=calldata))
            await self._mine()

    async def withdraw_pending(self, tx_hash: str) -> None:
        """Make a waiting transaction vanish, as if it had never been sent."""
        async with self._lock:
            await self.node.call("anvil_dropTransaction", tx_hash)

    @property
    def addresses(self) -> Addresses:
        """Where the contracts stand."""
        return self._settings.addresses

    async def balances(self, keys: Iterable[Key]) -> dict[Key, int]:
        """Shares of wallets (lower-case) and tokens in the latest block, in micros."""
        return await self._funds.read(keys)

    async def approvals(self, wallet: str) -> dict[str, tuple[int, bool]]:
        """By exchange: how much pUSD of a wallet it may take, in micros, and whether it may move the shares."""
        to, found = self.addresses, {}
        for exchange in to.exchanges:
            ledger = to.position_manager if exchange == to.exchange_v3 else to.conditional_tokens
            asked = (
                {"to": to.collateral, "data": self.contracts.collateral.call("allowance", wallet, exchange)},
                {"to": ledger, "data": self.contracts.conditional_tokens.call("isApprovedForAll", wallet, exchange)},
            )
            money, moves = await self.node.batch([("eth_call", (each, "latest")) for each in asked])
            found[exchange] = (int(money, 16), int(moves, 16) == 1)
        return found

    async def give_pol(self, wallet: str) -> None:
        """Enough for the fees of many transactions."""
        await self.node.call("anvil_setBalance", wallet, hex(GAS_WEI))

    def listen_to_heads(self, listener: HeadListener) -> None:
        """Be told the number of each new head."""
        self._head_listeners.append(listener)

    def listen_to_reorgs(self, listener: RemovalListener) -> None:
        """Be told what a reorg takes back, before the new blocks come."""
        self._removal_listeners.append(listener)

    async def reorg(self, depth: int, *, drop: Collection[str] = ()) -> Reorg:
        """Undo the last blocks and mine them anew with other hashes, without the transactions to drop, and one more
        block, since only a longer chain wins. Raises ValueError where the chain is not that long.
        """
        async with self._lock:
            await self._mine()
            if not 0 < depth <= min(self._head - self.first_block, STATES_KEPT - 1):
                raise ValueError(f"A reorg of {depth} blocks is not possible at block {self._head}.")
            blocks = range(self._head - depth + 1, self._head + 1)
            effects = {tx: changes for number in blocks for tx, changes in self._effects.get(number, {}).items()}
            orphans = await self._reorganiser.undo(depth, drop, effects)
            removal = removal_of(orphans)
            for listener in self._removal_listeners:
                listener(removal)
            hashes = await self._reorganiser.redo(orphans, drop)
            await self._funds.reread({key for changes in effects.values() for key in changes}, self._head)
            await self._mine()
        was = [sent.tx_hash for orphan in orphans for sent in orphan.sent]
        return Reorg(
            removal=removal,
            mined_again=tuple(each for each in was if each in hashes),
            dropped=tuple(each for each in was if each not in hashes),
            renamed={old: new for old, new in hashes.items() if old != new},
        )

    async def _prepare(self, market: SandboxMarket) -> SandboxMarket:
        if market.version == "v2":
            self.caller.add(market)
            return market
        addresses = self._settings.addresses
        condition = condition_id(self._oracle, market.question_id)
        known = market.with_ids(condition, token_ids(addresses.collateral, condition))
        if condition in self.caller.markets:
            return known
        self.caller.add(known)
        calldata = self.caller.prepare(known, self._oracle)
        await self._send(ChainCall(sender=self._oracle, to=addresses.conditional_tokens, calldata=calldata))
        if known.neg_risk:
            calldata = self.caller.add_question(known)
            await self._send(ChainCall(sender=self.admin, to=addresses.neg_risk_adapter, calldata=calldata))
        return known

    def _match_call(self, match: Match) -> ChainCall:
        self._salt += len(match.legs)
        return self.caller.match(match, first_salt=self._salt, now_ms=epoch_ms(self._clock.now()))

    async def _send(self, call: ChainCall, *, tracked: bool = True) -> str:
        await self._funds.meet(call.wallets)
        if call.exactly is not None:
            if self._funds.waits_for([call.exactly]):
                await self._mine()
            await self._funds.hold_exactly(call.exactly, call.leaving[call.exactly])
        await self._funds.provide(call.leaving)
        sender = call.sender or self.operators[self._salt % len(self.operators)]
        if sender in call.wallets and sender not in self._keyless:
            await self.node.call("anvil_impersonateAccount", sender)
            self._keyless.add(sender)
        transaction = {"from": sender, "to": call.to, "data": call.calldata, "gas": hex(call.gas + self._run)}
        tx_hash = await self.node.text("eth_sendTransaction", transaction)
        if tracked:
            self._funds.expect(call.changes)
            self._effects.setdefault(self._head + 1, {})[tx_hash] = call.changes
        return tx_hash

    async def _mine_on(self) -> None:
        while True:
            await self._clock.sleep(self._settings.block_ms / 1_000)
            async with self._lock:
                await self._mine()

    async def _mine(self) -> int:
        await self.node.call("evm_mine", {"timestamp": self._next_time_s})
        waited = self._effects.get(self._head + 1, {})
        await self._note_head()
        self._funds.mined(self._head)
        self._effects.pop(self._head - STATES_KEPT, None)
        if waited:
            receipts = await self.node.call("eth_getBlockReceipts", hex(self._head))
            succeeded = {each["transactionHash"] for each in receipts if each["status"] == "0x1"}
            self._failed += [tx_hash for tx_hash in waited if tx_hash not in succeeded]
        return self._head

    async def _note_head(self) -> None:
        block = await self.node.call("eth_getBlockByNumber", "latest", HEADER_ONLY)
        self._head, self._time_s = int(block["number"], 16), int(block["timestamp"], 16)
        planned_s = (epoch_ms(self._clock.now()) + self._settings.block_ms) // 1_000
        self._next_time_s = max(self._time_s + 1, planned_s)
        for listener in self._head_listeners:
            listener(self._head)

    def _raise_of_miner(self) -> None:
        """Without blocks nothing settles any more."""
        if self._miner is not None and self._miner.done():
            self._miner.result()

    def _raise_failures(self) -> None:
        if self._failed:
            failed, self._failed = self._failed, []
            raise SettlementFailed(f"These transactions failed: {', '.join(failed)}.")
