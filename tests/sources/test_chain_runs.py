"""Who is behind reads blocks in runs: by range where that is certainly the same, and one by one where it may not be."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copytrading.sources import chain_blocks
from copytrading.sources.block_chain import Block, Header
from copytrading.sources.chain_follow import RUN_MAX, runs_of
from ledger.units import ONE
from tests.chain_bytes import LENA, STRANGER
from tests.sources.chain_bench import Bench
from tests.sources.chain_node import ScriptedChain, ScriptedNode, Transaction

pytestmark = pytest.mark.django_db

BEHIND = 20
"""Blocks that were mined meanwhile."""

ONE_BY_ONE = 2 * BEHIND
"""Requests that reading each block by itself takes at least: its header, and its logs."""


def trade(chain: ScriptedChain, shares: int = 1) -> Transaction:
    """Lena buys some shares."""
    return chain.fill(LENA, shares * ONE)


async def falls_behind(chain: ScriptedChain, bench: Bench) -> None:
    """The source has begun, and then many blocks with a trade each are mined while it does not look."""
    await bench.source.run_once()
    for number in range(BEHIND):
        chain.mine(trade(chain, 1 + number))


async def test_who_is_behind_asks_far_less_often_than_once_for_each_block() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node])
        await falls_behind(chain, bench)
        before = node.requests
        await bench.source.run_once()
        asked = node.requests - before
        await bench.close()
    assert bench.sink.traded() == chain.traded(LENA)
    assert asked <= ONE_BY_ONE // 4
    assert bench.stats.counts["received"] == BEHIND


@pytest.mark.parametrize(
    "fault",
    [{"range_max": 3}, {"results_max": 5}, {"batches": False}, {"late_logs": 4}],
    ids=lambda fault: next(iter(fault)),
)
async def test_nodes_that_answer_ranges_badly_cost_time_and_no_trade(fault: dict[str, Any]) -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node])
        await falls_behind(chain, bench)
        for name, value in fault.items():
            setattr(node.faults, name, value)
        await bench.source.run_once()
        node.faults.late_logs = 0
        await bench.source.follower.reconcile()
        await bench.close()
    assert bench.sink.traded() == chain.traded(LENA)
    assert len({each.tx_hash for each in bench.sink.actions}) == BEHIND


async def test_a_node_that_breaks_down_over_ranges_is_asked_for_each_block() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node], poll_s=0.01, again_s=60.0)
        await falls_behind(chain, bench)
        node.faults.no_ranges = True
        async with bench.listening():
            await bench.sink.until(lambda: bench.sink.traded() == chain.traded(LENA))


async def test_an_answer_so_long_that_it_may_have_been_cut_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain_blocks, "RUN_LOGS_MAX", 5)
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True, logs_max=5) as node:
        bench = Bench([node], again_s=60.0)
        await falls_behind(chain, bench)
        await bench.source.run_once()
        await bench.close()
    assert bench.sink.traded() == chain.traded(LENA)


async def test_a_range_of_another_branch_is_not_taken_for_ours() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as first, ScriptedNode(chain, mute=True) as second:
        bench = Bench([first, second], again_s=60.0)
        await falls_behind(chain, bench)
        # The first node stays on the branch that is given up: of the same numbers it has other blocks.
        first.stick()
        chain.reorg(4, [trade(chain, 100)], [], [trade(chain, 200)], [trade(chain, 300)])
        head = await bench.source.follower.header_of(chain.head["hash"])
        await bench.source.follower.advance(head)
        await bench.close()
    assert bench.sink.traded() == chain.traded(LENA)
    assert bench.sink.withdrawn == []


async def test_a_range_is_read_once_although_strangers_trade_in_it_and_blocks_are_empty() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node])
        await bench.source.run_once()
        for number in range(BEHIND):
            chain.mine(*([chain.fill(STRANGER, ONE)] if number % 2 else []))
        chain.mine(trade(chain))
        await bench.source.run_once()
        await bench.source.run_once()
        await bench.close()
    assert [each.size_micros for each in bench.sink.actions] == [ONE]


@given(numbers=st.lists(st.integers(0, 60), unique=True, max_size=40).map(sorted), most=st.integers(1, RUN_MAX))
def test_runs_hold_every_block_once_in_order_and_only_neighbours(numbers: list[int], most: int) -> None:
    blocks = [Block(header=Header(number=each, hash=f"0x{each}", parent="", time_s=0)) for each in numbers]
    runs = [[block.header.number for block in run] for run in runs_of(blocks, most)]
    assert [number for run in runs for number in run] == numbers
    assert all(run == list(range(run[0], run[0] + len(run))) and len(run) <= most for run in runs)
