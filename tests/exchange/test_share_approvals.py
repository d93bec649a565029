"""An account that could not sell what it bought does not buy it, and buys as soon as it could."""

import pytest

from copytrading.models import CopyTrade
from copytrading.verification.exchange import RealScene, real_scene
from execution.models import TradingAccount
from tests.exchange.stage import FAY, SAM, pointed

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


async def test_without_an_approval_of_its_shares_an_account_buys_nothing_until_it_is_given() -> None:
    async with real_scene(pointed, [FAY, SAM]) as scene:
        fay = scene.traders["Fay"]
        await _approve(scene, on=False)
        await scene.leader_trades()
        await scene.settled(2)
        assert [_ending(row) for row in await scene.copies("Fay")] == [("SKIPPED", "ALLOWANCE_MISSING")]
        assert [row.status for row in await scene.copies("Sam")] == ["EXECUTED"]

        await _approve(scene, on=True)
        await scene.leader_trades(market=scene.box.markets[1])
        await scene.settled(4)
        await scene.leader_trades("SELL", market=scene.box.markets[1])
        await scene.settled(6)
        assert [row.status for row in await scene.copies("Fay")][1:] == ["EXECUTED", "EXECUTED"]
        assert scene.box.exchange.shares(fay.wallet, scene.box.markets[1].token_ids[0]) == 0
        assert await scene.differs() == ""


async def _approve(scene: RealScene, *, on: bool) -> None:
    """Give or take the approval, and wait until the keeper has looked at the account again."""
    fay = scene.traders["Fay"]
    scene.box.exchange.approve_shares(fay.wallet, on=on)
    scene.exchange.accounts.approvals.forget(fay.wallet)
    await scene.database.run(_look_again, fay.follower_id)

    async def seen() -> bool:
        return (await scene.database.run(_may_sell, fay.follower_id)) is on

    await scene.until(seen, "the approval was not noticed")


def _look_again(follower_id: int) -> None:
    TradingAccount.objects.filter(follower_id=follower_id).update(checked_at=None)


def _may_sell(follower_id: int) -> bool:
    return TradingAccount.objects.get(follower_id=follower_id).missing == []


def _ending(row: CopyTrade) -> tuple[str, str]:
    return row.status, row.reasons[0]["reason"]
