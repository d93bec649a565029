"""Markets end and leaders redeem what they hold of them: each redemption once, whoever shows it and whatever fails."""

import pytest

from copytrading.models import SignalGroup
from copytrading.signals import CHAIN_LOGS, DATA_API
from execution.sandbox.markets import SandboxMarket
from tests.hearing.found import REDEEM, Trades, differences, redeemed, shown_by, trades_of, withdrawn
from tests.hearing.listener import CHAIN, POLLS, SOCKET
from tests.hearing.stage import Stage, stage
from tests.hearing.test_polls import UNSEEN
from tests.sandbox.chain_stage import needs_chain

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgres]

ENDING = 3
"""So many markets end: of some token of them everybody holds something."""

ON_CHAIN = (
    *("chain:drop=50%", "chain:duplicate", "chain:reorder", "chain:delay=50%,300ms", "chain:silence"),
    *("chain:disconnect", "chain:5xx=3", "chain:behind=5", "chain:range=3", "chain:reorg=3"),
)
POLLED = ("data-api:drop=30%", "data-api:reorder", "data-api:stale=500ms", "data-api:disconnect=5", "data-api:5xx=2")
STORM = ("activity:drop=20%", "data-api:drop=20%", "data-api:stale=300ms", "chain:drop=30%", "chain:reorg=2")


def truth_of(s: Stage) -> Trades:
    """What the followed leaders redeemed."""
    return trades_of(s.box.truth, s.wallets, kind=REDEEM)


def held_markets(s: Stage) -> list[SandboxMarket]:
    """Markets with a contract of which the followed leaders hold something, those that most hold first."""
    truth = s.box.truth

    def holders(market: SandboxMarket) -> int:
        return sum(truth.held(wallet, token) > 0 for wallet in s.wallets for token in market.token_ids)

    known = [market for market in s.box.markets if market.version == "v1" and holders(market)]
    return sorted(known, key=holders, reverse=True)


async def redeem(s: Stage) -> Trades:
    """Some markets end, one side of each for nothing, and everybody redeems both; what the followed leaders did."""
    before = truth_of(s)
    for number, market in enumerate(held_markets(s)[:ENDING]):
        await s.box.end_market(market, market.token_ids[number % 2])
        await s.mine()
    for leader in s.box.leaders:
        s.clock.set_forward(1)
        await s.box.redeem(leader.wallet)
        await s.mine()
    done = {key: size for key, size in truth_of(s).items() if key not in before}
    assert len(done) >= ENDING
    assert {s.box.truth.payouts[key.token_id] > 0 for key in done} == {True, False}, "some paid, and some did not"
    return done


async def redemptions_end_with_the_truth(s: Stage) -> None:
    """Each once, to the last micro, and it stays so when everybody looked again."""
    await s.until(lambda: differences(truth_of(s), redeemed()) == [], "every redemption is heard")
    await s.ends_with_the_truth()
    assert differences(truth_of(s), await s.ask(redeemed)) == []
    groups = SignalGroup.objects.filter(kind=REDEEM)
    assert set(await s.ask(lambda: list(groups.values_list("parts", flat=True)))) == {1}
    for source, heard in ((CHAIN_LOGS, CHAIN), (DATA_API, POLLS)):
        kept = {key: size for key, size in truth_of(s).items() if key.tx_hash not in s.dropped}
        if s.sources == {heard}:
            assert await s.ask(lambda source=source: shown_by(source, kind=REDEEM)) == kept


@needs_chain
@pytest.mark.parametrize("fault", ON_CHAIN)
async def test_redemptions_in_the_logs_of_the_chain_end_with_the_truth(fault: str) -> None:
    async with stage(CHAIN) as s:
        await s.play()
        await s.fault(fault)
        await redeem(s)
        await s.struck(fault)
        s.box.faults.lift()
        await s.play()
        await redemptions_end_with_the_truth(s)
        await s.knows_the_holdings()


@pytest.mark.parametrize("fault", POLLED)
async def test_redemptions_in_polls_end_with_the_truth(fault: str) -> None:
    async with stage(POLLS) as s:
        await s.play()
        await s.fault(fault)
        await redeem(s)
        await s.struck(fault)
        s.box.faults.lift()
        await s.play()
        await redemptions_end_with_the_truth(s)
        await s.claims_no_wrong_holding(unseen=UNSEEN)


@needs_chain
async def test_redemptions_that_several_sources_show_in_a_storm_count_once() -> None:
    async with stage(SOCKET, POLLS, CHAIN) as s:
        await s.play()
        for fault in STORM:
            await s.fault(fault)
        await redeem(s)
        await s.fault("chain:reorg=3")
        await s.play()
        s.box.faults.lift()
        await s.play()
        await redemptions_end_with_the_truth(s)
        await s.claims_no_wrong_holding()


@needs_chain
async def test_a_redemption_that_leaves_the_chain_is_withdrawn() -> None:
    async with stage(CHAIN) as s:
        await s.play()
        done = await redeem(s)
        await s.until(lambda: redeemed() == done, "every redemption is heard")
        dropped = list(done)[-1].tx_hash
        await s.reorg(await s.depth_of(dropped), drop=[dropped])
        await s.play()
        await s.until(lambda: withdrawn() == {dropped}, "it is marked")
        await redemptions_end_with_the_truth(s)
        await s.claims_no_wrong_holding()


async def test_redemptions_made_while_no_engine_ran_are_heard_once() -> None:
    async with stage(SOCKET, POLLS) as s:
        await s.play()
        await s.hears()
        await s.listener.kill()
        await redeem(s)
        await s.later(60)
        await s.listen()
        await s.play()
        await redemptions_end_with_the_truth(s)
        await s.claims_no_wrong_holding(unseen=UNSEEN)
