"""Orders of followers, filled, refused and undone by hand through the real operations; and what must hold then."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

from django.db.models import F, Sum

from copytrading.models import CopiedPosition, CopyConfig, CopyTrade
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import record_outcomes
from copytrading.states import Actor, Status
from execution.models import Position
from execution.ports import Fill
from guardrails.intents import Reason, Refusal
from ledger.entries import CASH, Entry, account, net
from ledger.models import CashBalance, LedgerEntry
from ledger.units import ONE, cost_down, cost_up, micros_from_text
from tests.doors import BEGINNING
from tests.factories import TOKEN, CopyTradeFactory

COLUMNS = ("key", "kind", "debit_account", "credit_account", "asset", "amount_micros")
NAMES = ("key", "kind", "debit", "credit", "asset", "amount_micros")


def order(config: CopyConfig, side: str = "BUY", shares: int = 100, *, token: int = TOKEN) -> CopyTrade:
    """An open order with its reservation: a buy at most 0.99, a sell of shares that are held."""
    size, limit = shares * ONE, 990_000
    reserved = cost_up(size, limit) if side == "BUY" else size
    if side == "BUY":
        CashBalance.objects.filter(follower=config.follower_id).update(reserved_micros=F("reserved_micros") + reserved)
    else:
        mine = Position.objects.filter(follower=config.follower_id, token_id=token)
        assert mine.update(reserved_micros=F("reserved_micros") + reserved) == 1
    return CopyTradeFactory(
        config=config,
        pending=True,
        side=side,
        token_id=token,
        size_micros=size,
        limit_micros=limit,
        reserved_micros=reserved,
        budget_micros=reserved if side == "BUY" else 0,
    )


def filled(row: CopyTrade, price: str, *, fee: str = "0") -> Fill:
    """All of the order at this price."""
    micros = micros_from_text(price)
    cost = cost_up(row.size_micros, micros) if row.side == "BUY" else cost_down(row.size_micros, micros)
    return Fill(size_micros=row.size_micros, price_micros=micros, cost_micros=cost, fee_micros=micros_from_text(fee))


def execute(row: CopyTrade, price: str, *, fee: str = "0", now: datetime = BEGINNING, **how: Any) -> CopyTrade:
    """The order is filled; a failed one by a late fill."""
    actor = Actor.WATCH if row.status == Status.FAILED else Actor.PIPELINE
    move = Move(row=row, to=Status.EXECUTED, actor=actor, fill=filled(row, price, fee=fee))
    assert record_outcomes([move], now=now, **how) == {row.pk}
    row.refresh_from_db()
    return row


def fail(row: CopyTrade) -> CopyTrade:
    """The order is refused by the venue."""
    move = Move(row=row, to=Status.FAILED, actor=Actor.PIPELINE, refusal=Refusal(Reason.NO_FILL))
    assert record_outcomes([move], now=BEGINNING) == {row.pk}
    row.refresh_from_db()
    return row


def bought(config: CopyConfig, price: str = "0.50", *, shares: int = 100, **how: Any) -> CopyTrade:
    """A buy, executed."""
    return execute(order(config, "BUY", shares), price, **how)


def sold(config: CopyConfig, price: str = "0.60", *, shares: int = 100, **how: Any) -> CopyTrade:
    """A sell, executed."""
    return execute(order(config, "SELL", shares), price, **how)


def entries() -> list[Entry]:
    """The whole ledger, oldest first."""
    rows = LedgerEntry.objects.order_by("pk").values_list(*COLUMNS)
    return [Entry(**dict(zip(NAMES, row, strict=True))) for row in rows]


def balances() -> dict[tuple[str, str], int]:
    """Every account that is not zero."""
    return {key: total for key, total in net(entries()).items() if total}


def standing() -> dict[str, list[tuple[Any, ...]]]:
    """All that the copies changed: cash, positions, copied positions; to be compared before and after."""
    sums = ("size_micros", "spent_micros", "received_micros", "realised_micros", "fees_micros")
    held = ("size_micros", "reserved_micros", "cost_micros", "realised_micros", "fees_micros")
    return {
        "cash": list(CashBalance.objects.order_by("pk").values_list("pk", "cash_micros", "reserved_micros")),
        "positions": list(Position.objects.order_by("pk").values_list("pk", *held)),
        "copied": list(CopiedPosition.objects.order_by("pk").values_list("pk", *sums)),
    }


def assert_books_agree(*, cash_before: int = 10_000 * ONE) -> None:
    """Entries sum to zero; cash, positions and copied positions are what the entries and fills add up to."""
    sums = net(entries())
    totals: Counter[str] = Counter()
    for (_account, asset), amount in sums.items():
        totals[asset] += amount
    assert set(totals.values()) <= {0}
    for cash in CashBalance.objects.all():
        assert cash.cash_micros - cash_before == sums.get((account(cash.follower_id, "cash"), CASH), 0)
    for follower in set(Position.objects.values_list("follower_id", flat=True)):
        _assert_positions_agree(follower, sums)


def _assert_positions_agree(follower: int, sums: dict[tuple[str, str], int]) -> None:
    mine = list(Position.objects.filter(follower=follower))
    for row in mine:
        assert row.size_micros == sums.get((account(follower, "shares"), str(row.token_id)), 0)
        columns = ("size_micros", "realised_micros", "fees_micros")
        copied = CopiedPosition.objects.filter(config__follower=follower, token_id=row.token_id)
        added = copied.aggregate(**{name: Sum(name) for name in columns})
        assert added["size_micros"] == row.size_micros - found_shares(follower, row.token_id)
        assert (added["realised_micros"], added["fees_micros"]) == (row.realised_micros, row.fees_micros)
    assert sum(row.cost_micros for row in mine) == sums.get((account(follower, "cost"), CASH), 0)
    assert sum(row.realised_micros for row in mine) == -sums.get((account(follower, "profit"), CASH), 0)
    assert sum(row.fees_micros for row in mine) == sums.get((account(follower, "fees"), CASH), 0)


def found_shares(follower: int, token: int) -> int:
    """Shares that came from outside and still count."""
    return sum(
        (1 if entry.credit == "outside:shares" else -1) * entry.amount_micros
        for entry in entries()
        if entry.asset == str(token) and {entry.debit, entry.credit} == {account(follower, "shares"), "outside:shares"}
    )


def later(hours: int = 1) -> datetime:
    """So many hours after the beginning."""
    return BEGINNING + timedelta(hours=hours)
