"""Chain logs alone, under every fault of the nodes: each trade once, to the last micro."""

import pytest

from copytrading.signals import CHAIN_LOGS
from tests.hearing.found import shown_by, withdrawn
from tests.hearing.listener import CHAIN
from tests.hearing.stage import stage
from tests.sandbox.chain_stage import needs_chain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres, needs_chain]

FAULTS = (
    "chain:drop",
    "chain:duplicate",
    "chain:reorder",
    "chain:delay=50%,300ms",
    "chain:silence",
    "chain:half-open=700ms",
    "chain:disconnect",
    "chain:429=3",
    "chain:5xx=3",
    "chain:behind=5",
    "chain:range=3",
    "chain:reorg=3",
)


SLOW = "chain:delay=300ms"
"""Every answer takes as long as several blocks do, so that blocks are read in runs."""

WHILE_SLOW = ("chain:drop=50%", "chain:behind=5", "chain:range=3", "chain:reorg=3", "chain:5xx=3", "chain:silence")


@pytest.mark.parametrize("fault", FAULTS)
async def test_chain_logs_end_with_the_truth(fault: str) -> None:
    async with stage(CHAIN) as s:
        await s.play()
        await s.fault(fault)
        await s.play()
        await s.struck(fault)
        s.box.faults.lift()
        await s.play()
        await s.ends_with_the_truth()
        await s.knows_the_holdings()


@pytest.mark.parametrize("fault", WHILE_SLOW)
async def test_chain_logs_of_slow_nodes_end_with_the_truth(fault: str) -> None:
    async with stage(CHAIN) as s:
        await s.play()
        await s.fault(SLOW)
        await s.play(120)
        await s.fault(fault)
        await s.play()
        await s.struck(fault)
        s.box.faults.lift()
        await s.play()
        await s.ends_with_the_truth()
        await s.knows_the_holdings()


async def test_a_trade_that_leaves_the_chain_is_withdrawn_and_stays_acted_on_once() -> None:
    async with stage(CHAIN) as s:
        await s.play()
        await s.hears()
        dropped = list(s.truth())[-1].tx_hash
        await s.reorg(await s.depth_of(dropped), drop=[dropped])
        await s.play()
        await s.until(lambda: withdrawn() == {dropped}, "it is marked")
        await s.ends_with_the_truth()
        assert dropped not in {key.tx_hash for key in await s.ask(shown_by, CHAIN_LOGS)}
        await s.knows_the_holdings()
