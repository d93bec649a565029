"""Trades of orders as the venue shows them, and copies whose orders stand on it."""

from datetime import timedelta
from typing import Any

from copytrading.models import CopyConfig, CopyTrade
from copytrading.states import Status
from execution.ports import TradeStatus, VenueTrade
from ledger.units import ONE, Micros, micros_from_text
from tests.doors import BEGINNING
from tests.operations.deals import order


def trade(
    row: CopyTrade, shares: int = 100, price: str = "0.50", *, name: str = "t1", status: str = "CONFIRMED", fee: int = 0
) -> VenueTrade:
    """A trade in which a copy's order took part."""
    size, micros = shares * ONE, micros_from_text(price)
    return VenueTrade(
        venue_trade_id=name,
        order_hash=str(row.order_hash),
        status=TradeStatus(status),
        size_micros=Micros(size),
        price_micros=micros,
        cost_micros=Micros(size * micros // ONE),
        fee_micros=Micros(fee),
        matched_at=BEGINNING,
        tx_hash="0x" + "ab" * 32,
    )


def standing_order(
    config: CopyConfig, side: str = "BUY", *, status: Status = Status.MATCHED, matched: int = 100, **how: Any
) -> CopyTrade:
    """An order of 100 shares whose money is reserved, as it stands on the venue."""
    row = order(config, side, **how)
    if status is not Status.PENDING:
        CopyTrade.objects.filter(pk=row.pk).update(status=status, matched_micros=matched * ONE)
    row.refresh_from_db()
    return row


def later(seconds: float) -> Any:
    """A moment after the beginning."""
    return BEGINNING + timedelta(seconds=seconds)
