"""A whole sandbox on a chain: what the chain says in the end is the world's truth, whatever was reorganised."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from execution.sandbox.chain_doors import chain_doors
from execution.sandbox.node import Node
from execution.sandbox.on_chain import OnChain, OnChainSettings
from execution.sandbox.sandbox import Sandbox, SandboxOptions, open_sandbox
from ledger.system import SeededRandomness, SystemClock
from tests.sandbox.chain_stage import needs_chain

pytestmark = needs_chain

STEPS = 40
Fills = Mapping[tuple[str, str, int, str], int]


@asynccontextmanager
async def playing(*faults: str) -> AsyncIterator[tuple[Sandbox, OnChain]]:
    """A sandbox on a chain that mines when asked."""
    clock = SystemClock()
    chain = OnChain(clock, OnChainSettings(block_ms=0))
    options = SandboxOptions(rate=0, delay_factor=0, limited=False, faults=faults)
    async with open_sandbox(
        clock, SeededRandomness, options, settlement=chain, attachment=chain_doors(chain)
    ) as sandbox:
        yield sandbox, chain


async def filled(chain: OnChain, url: str) -> Fills:
    """Shares by transaction, wallet, token and side, as OrderFilled tells them."""
    asked = {
        "fromBlock": hex(chain.first_block),
        "address": list(chain.addresses.exchanges),
        "topics": [chain.contracts.exchange.topics["OrderFilled"]],
    }
    node = Node(url)
    fills: Counter[tuple[str, str, int, str]] = Counter()
    for log in await node.call("eth_getLogs", asked):
        side, token, making, taking = (int(log["data"][2 + 64 * at : 66 + 64 * at], 16) for at in range(4))
        wallet = "0x" + log["topics"][2][-40:]
        fills[(log["transactionHash"], wallet, token, ("BUY", "SELL")[side])] += making if side else taking
    await node.close()
    return fills


def traded(sandbox: Sandbox) -> Fills:
    """The same, as the truth has it."""
    rows: Any = sandbox.truth.rows()
    return {
        (key.tx_hash, key.wallet, key.token_id, key.side): total.shares_micros
        for key, total in rows
        if key.kind == "TRADE"
    }


def providers(sandbox: Sandbox) -> list[str]:
    """Where calls go; subscriptions are taken at the same places."""
    return [url for url in sandbox.environment()["RPC_URLS"].split(",") if url.startswith("http")]


@pytest.mark.parametrize("depth", [0, 1, 3])
async def test_the_chain_tells_every_trade_once_to_the_micro(depth: int) -> None:
    async with playing() as (sandbox, chain):
        for _ in range(4):
            assert await sandbox.play(STEPS // 4) > 0
            await chain.mine()
            if depth:
                await sandbox.faults.apply(f"chain:reorg={depth}")
        for url in providers(sandbox):
            assert await filled(chain, url) == traded(sandbox)


async def test_wallets_hold_on_the_chain_what_they_hold_in_the_truth() -> None:
    async with playing("chain:reorg=2") as (sandbox, chain):
        await sandbox.play(STEPS)
        await chain.mine()
        tokens = {token for market in sandbox.markets if market.version == "v1" for token in market.token_ids}
        held = {
            (wallet, token): shares
            for wallet, holding in sandbox.truth.holdings.items()
            for token, shares in holding.items()
            if shares > 0 and token in tokens
        }
        assert len(held) > 10
        assert await chain.balances(held) == held


async def test_each_provider_has_faults_of_its_own() -> None:
    async with playing("chain-b:behind=3") as (sandbox, chain):
        heads = []
        for url in providers(sandbox):
            node = Node(url)
            heads.append(await node.number("eth_blockNumber"))
            await node.close()
        assert heads == [chain.head, chain.head - 3]


async def test_blocks_come_by_themselves() -> None:
    chain = OnChain(SystemClock(), OnChainSettings(block_ms=20))
    heads: asyncio.Queue[int] = asyncio.Queue()
    await chain.start()
    try:
        chain.listen_to_heads(heads.put_nowait)
        first, second = await heads.get(), await heads.get()
        assert second == first + 1
    finally:
        await chain.close()


@pytest.mark.parametrize("providers", [0, 4])
async def test_there_are_some_providers_but_not_too_many(providers: int) -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        chain_doors(OnChain(SystemClock()), providers=providers)
