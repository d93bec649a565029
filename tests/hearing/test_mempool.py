"""Pending transactions beside the chain's logs: what is mined counts once, what is not is withdrawn and marked."""

import asyncio

import pytest

from copytrading.models import CopyTrade
from copytrading.signals import CHAIN_LOGS, MEMPOOL
from execution.sandbox.happenings import Match
from ledger.units import ONE
from tests.hearing.found import recorded, shown_by, withdrawn
from tests.hearing.listener import BLOCKS_MAX, CHAIN, PENDING
from tests.hearing.stage import Stage, stage
from tests.sandbox.chain_stage import leg, match_of, needs_chain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres, needs_chain]

SOMEBODY = "0x" + "5b" * 20


def bought(s: Stage) -> Match:
    """A leader buys 100 shares of somebody."""
    market, wallet = s.box.markets[0], s.wallets[0]
    yes, _no = market.token_ids
    taker = leg(wallet, "BUY", yes, 52 * ONE, shares=100 * ONE, maker=False)
    return match_of(market, taker, leg(SOMEBODY, "SELL", yes, 52 * ONE, shares=100 * ONE))


async def is_heard(s: Stage, tx_hash: str) -> None:
    """While it is pending."""
    await s.until(lambda: tx_hash in {key.tx_hash for key in recorded()}, "the pending trade is heard")


async def is_copied(s: Stage, tx_hash: str) -> None:
    """It is heard while it is pending, and decided for its follower."""
    await is_heard(s, tx_hash)
    engine = s.listener.engine
    await engine.lease.acquire(asyncio.Event())
    await engine.pipeline.run_once()
    assert await s.ask(CopyTrade.objects.filter(signal__group__tx_hash=tx_hash).count) == 1


async def is_withdrawn(s: Stage, tx_hash: str) -> None:
    """The group and so its copies say that the leader's trade never was; the chain never showed it."""
    await s.until(lambda: withdrawn() == {tx_hash}, "it is withdrawn")
    marked = CopyTrade.objects.filter(signal__group__withdrawn_at__isnull=False)
    assert await s.ask(marked.count) == 1
    for source in (MEMPOOL, CHAIN_LOGS):
        assert tx_hash not in {key.tx_hash for key in await s.ask(shown_by, source)}


async def test_a_pending_trade_that_fails_is_withdrawn_and_its_copies_are_marked() -> None:
    async with stage(CHAIN, PENDING) as s:
        assert s.chain is not None
        tx_hash = await s.chain.broadcast_failing(bought(s))
        await is_copied(s, tx_hash)
        await s.mine()
        await is_withdrawn(s, tx_hash)


async def test_a_pending_trade_that_vanishes_is_withdrawn_after_some_blocks() -> None:
    async with stage(CHAIN, PENDING) as s:
        assert s.chain is not None
        tx_hash = await s.chain.broadcast_failing(bought(s))
        await is_copied(s, tx_hash)
        await s.chain.withdraw_pending(tx_hash)
        await s.mine(2)
        assert await s.ask(withdrawn) == set()
        await s.mine(BLOCKS_MAX)
        await is_withdrawn(s, tx_hash)


async def test_pending_trades_that_are_mined_count_once() -> None:
    async with stage(CHAIN, PENDING) as s:
        await s.play()
        event = await s.box.world.happen(bought(s))
        await is_heard(s, event.settled.tx_hash)
        await s.play()
        await s.ends_with_the_truth()
        assert s.listener.counted(MEMPOOL).counts["first"] >= 1
        assert await s.ask(withdrawn) == set()
