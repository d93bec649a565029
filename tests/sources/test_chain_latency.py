"""Nodes far away: an answer takes longer than a block, and yet the source stays close behind the chain."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from copytrading.sources.base import Reading
from ledger.units import ONE
from tests.chain_bytes import CONDITION, LENA, NO, OTTO, POLYGON_CONTRACTS, YES, ZERO, moved, split
from tests.sources.chain_bench import AddingSink, Bench, eventually
from tests.sources.chain_node import ScriptedChain, ScriptedNode, Transaction

pytestmark = pytest.mark.django_db

BLOCK_S = 0.03
ANSWER_S = 0.05
"""Half a second where there are three blocks a second, ten times as fast."""

BLOCKS = 60
LAG_MAX = 24
"""Blocks: a few round trips of headers, logs and receipts. With one call after the other it would be most of them."""


async def worst_lag(bench: Bench, chain: ScriptedChain) -> int:
    """Mine a trade each block, and answer how many blocks of them were unheard at the worst."""
    worst = 0
    for size in range(1, BLOCKS + 1):
        chain.mine(chain.fill(LENA, size * ONE))
        await bench.clock.sleep(BLOCK_S)
        worst = max(worst, size - len(bench.sink.traded()))
    return worst


@pytest.mark.parametrize(
    "faults",
    [{}, {"mute": True}, {"range_max": 3}, {"batches": False}, {"heads_last": True, "lag": 2}],
    ids=str,
)
async def test_the_lag_stays_bounded_when_an_answer_takes_longer_than_a_block(faults: dict[str, Any]) -> None:
    chain = ScriptedChain()
    for _ in range(3):
        chain.mine()
    async with ScriptedNode(chain, delay_s=ANSWER_S, **faults) as node:
        bench = Bench([node], poll_s=0.02, reconcile_s=0.5)
        async with bench.listening():
            await bench.begun()
            assert await worst_lag(bench, chain) <= LAG_MAX
            node.faults.lag = 0
            await bench.sink.until(lambda: bench.sink.traded() == chain.traded(LENA, OTTO))
        assert bench.sink.withdrawn == []


def merge_through_an_adapter(chain: ScriptedChain) -> Transaction:
    adapter = POLYGON_CONTRACTS.ctf_collateral_adapter
    logs = [
        moved(LENA, adapter, operator=adapter, amounts={YES: 7, NO: 7}, batch=True),
        moved(adapter, ZERO, amounts={YES: 7, NO: 7}, batch=True),
        split(adapter, 7, merge=True),
    ]
    return Transaction(chain.new_hash(), logs)


async def test_forty_blocks_behind_are_read_in_few_round_trips() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], sockets=False)
        await bench.source.run_once()
        merges = [merge_through_an_adapter(chain) for _ in range(40)]
        for each in merges:
            chain.mine(each)
        before = node.requests
        await bench.source.run_once()
        await bench.close()
    keys = {(LENA, each.hash, CONDITION, None, "", "MERGE") for each in merges}
    assert bench.sink.totals().keys() == keys
    # The head, the headers below it, and for each run of blocks the logs and the receipts.
    assert node.requests - before <= 6


async def test_a_first_look_takes_few_round_trips() -> None:
    chain = ScriptedChain()
    for _ in range(300):
        chain.mine()
    async with ScriptedNode(chain) as node:
        bench = Bench([node])
        await bench.source.run_once()
        await bench.close()
    assert bench.source.follower.chain.tip is not None
    assert node.requests <= 12


async def test_a_node_that_keeps_no_old_blocks_is_begun_with_all_the_same() -> None:
    chain = ScriptedChain(first=86_000_000)
    chain.mine()
    chain.mine(chain.fill(LENA, ONE))
    async with ScriptedNode(chain) as node:
        bench = Bench([node])
        await bench.source.run_once()
        await bench.close()
    assert bench.sink.traded() == chain.traded(LENA, OTTO)


async def test_a_narrow_node_is_reconciled_too() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, loses_logs=True, range_max=3) as node:
        bench = Bench([node], sockets=False)
        await bench.source.run_once()
        for size in range(1, 20):
            chain.mine(chain.fill(LENA, size * ONE))
        await bench.source.run_once()
        assert bench.sink.actions == []
        node.faults.loses_logs = False
        await bench.source.follower.reconcile()
        await bench.close()
    assert bench.sink.traded() == chain.traded(LENA, OTTO)


async def test_a_range_of_another_fork_is_not_believed() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        bench = Bench([node], sockets=False)
        await bench.source.run_once()
        kept = [chain.fill(LENA, size * ONE) for size in range(1, 9)]
        for each in kept:
            chain.mine(each)
        first, last = chain.blocks[1]["number"], chain.blocks[-1]["number"]
        asked = node.eth_getLogs
        node.eth_getLogs = lambda wanted: [] if "fromBlock" in wanted else asked(wanted)  # type: ignore[method-assign]
        shown = node.eth_getBlockByNumber
        node.eth_getBlockByNumber = (  # type: ignore[method-assign]
            lambda number, bodies: shown(hex(first), bodies) if number == hex(last) else shown(number, bodies)
        )
        await bench.source.run_once()
        await bench.close()
    assert bench.sink.traded() == chain.traded(LENA, OTTO)


class StoppingSink(AddingSink):
    """Has the source stopped as soon as it hears of the first block."""

    def __init__(self) -> None:
        super().__init__()
        self.stop = asyncio.Event()

    async def offer(self, walk: str, readings: Sequence[Reading], *, complete: bool) -> None:
        await super().offer(walk, readings, complete=complete)
        self.stop.set()


async def test_a_stop_is_heeded_between_blocks_and_loses_none_of_the_rest() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain) as node:
        first, sink = Bench([node], sockets=False), StoppingSink()
        await first.source.run_once()
        object.__setattr__(first.ear, "sink", sink)
        for size in range(1, 9):
            chain.mine(chain.fill(LENA, size * ONE))
        await first.source.run(sink.stop)
        await first.close()
        assert [each.size_micros for each in sink.actions] == [ONE]
        second = Bench([node], sockets=False)
        await second.source.run_once()
        await second.close()
    assert second.sink.traded() == chain.traded(LENA, OTTO)


async def test_a_stop_does_not_wait_for_an_answer_that_is_under_way() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, delay_s=60.0) as node:
        bench = Bench([node], timeout_s=60.0)
        async with bench.listening():
            await eventually(lambda: node.requests > 0)
        assert bench.source.follower.chain.tip is None
