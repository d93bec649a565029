"""Nodes show a block before all of its logs: each block is asked about twice, and a crash in between loses nothing."""

import pytest

from ledger.units import ONE
from tests.chain_bytes import LENA
from tests.sources.chain_bench import Bench, eventually
from tests.sources.chain_node import ScriptedChain, ScriptedNode

pytestmark = pytest.mark.django_db


async def test_a_block_that_was_shown_before_its_logs_is_read_again_soon_and_holds_the_cursor_back() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node], again_s=60.0)
        await bench.source.run_once()
        node.faults.loses_logs = True
        chain.mine(chain.fill(LENA, ONE))
        await bench.source.run_once()
        assert bench.source.follower.chain.untaken() == []
        # The process dies before its second look.
        node.faults.loses_logs = False
        await bench.close()
        other = Bench([node])
        await other.source.run_once()
        await other.close()
    assert [each.size_micros for each in other.sink.actions] == [ONE]


async def test_the_second_look_at_a_block_finds_what_the_first_did_not() -> None:
    chain = ScriptedChain()
    async with ScriptedNode(chain, mute=True) as node:
        bench = Bench([node], poll_s=0.01, again_s=0.05)
        async with bench.listening():
            await bench.begun()
            node.faults.loses_logs = True
            chain.mine(chain.fill(LENA, ONE))
            tip = chain.head["hash"]
            held = bench.source.follower.chain
            await eventually(lambda: held.get(tip) is not None and not held.untaken())
            node.faults.loses_logs = False
            await bench.sink.until(lambda: bench.sink.traded() == chain.traded(LENA))
