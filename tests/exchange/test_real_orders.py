"""From the leader's trade on the stream to confirmed fills: own accounts, real signatures, on the sandbox."""

import pytest
from django.db.models import Sum

from copytrading.models import CopyTrade
from copytrading.states import Status
from copytrading.verification.exchange import RealScene, real_scene
from execution.models import Position, VenueFill
from execution.sandbox.exchange.records import OrderTruth
from ledger.entries import Entry, net
from ledger.models import LedgerEntry
from tests.exchange.stage import FAY, SAM, pointed

pytestmark = [pytest.mark.postgres, pytest.mark.redis, pytest.mark.django_db(transaction=True)]


async def test_copies_are_orders_of_the_followers_own_accounts_and_end_as_the_venue_says() -> None:
    async with real_scene(pointed, [FAY, SAM]) as scene:
        await scene.leader_trades()
        bought = await scene.settled(2)
        assert {row.status for row in bought} == {Status.EXECUTED}
        assert await scene.database.run(_wrong_fills, scene, bought) == []
        assert await scene.differs() == ""

        await scene.leader_trades("SELL")
        sold = (await scene.settled(4))[2:]
        assert {(row.side, row.status) for row in sold} == {("SELL", Status.EXECUTED)}
        assert await scene.database.run(_wrong_fills, scene, sold) == []
        assert await scene.differs() == ""
        assert await scene.database.run(_shares_left) == 0
        assert await scene.database.run(_unbalanced, scene) == {}


def _wrong_fills(scene: RealScene, rows: list[CopyTrade]) -> list[str]:
    """Copies whose numbers are not those of the venue's order, or whose trades are not all confirmed."""
    wrong = []
    for row in rows:
        order = scene.box.exchange.order(str(row.order_hash))
        fills = VenueFill.objects.filter(trade=row)
        if order is None or not _same(row, order) or set(fills.values_list("status", flat=True)) != {"CONFIRMED"}:
            wrong.append(f"{row.side} {row.follower_id}: {order}")
    return wrong


def _same(row: CopyTrade, order: OrderTruth) -> bool:
    trader_paid, trader_got = order.spent_micros, order.got_micros
    shares, money = (trader_got, trader_paid) if row.side == "BUY" else (trader_paid, trader_got)
    return (row.fill_size_micros, order.side) == (shares, row.side) and money in (
        row.fill_cost_micros,
        row.fill_cost_micros + row.fee_micros,
        row.fill_cost_micros - row.fee_micros,
    )


def _shares_left() -> int:
    return int(Position.objects.aggregate(left=Sum("size_micros"))["left"] or 0)


def _unbalanced(scene: RealScene) -> dict[str, int]:
    """Followers whose entries do not add up to what the venue says they have."""
    entries = [
        Entry(
            key=row.key,
            kind=row.kind,
            debit=row.debit_account,
            credit=row.credit_account,
            asset=row.asset,
            amount_micros=row.amount_micros,
        )
        for row in LedgerEntry.objects.all()
    ]
    sums = net(entries)
    found = {}
    for name, trader in scene.traders.items():
        difference = sums[f"follower:{trader.follower_id}:cash", "pUSD"] - scene.box.exchange.cash(trader.wallet)
        if difference:
            found[name] = difference
    return found
