"""Whatever order news of an order come in, and however often, its copy ends as the venue's last word on each trade."""

from datetime import timedelta
from random import Random

import pytest

from copytrading.models import CopyConfig, CopyTrade
from copytrading.operations.fills import OrderNews, note_fills
from copytrading.operations.outcomes import Move, record_outcomes, take_over
from copytrading.states import OPEN, Actor, Status
from execution.models import Position, VenueFill
from execution.ports import VenueTrade
from guardrails.intents import Reason, Refusal
from ledger.models import CashBalance
from ledger.units import ONE, cost_up
from tests.doors import BEGINNING
from tests.operations.deals import assert_books_agree, bought
from tests.tracking.trades import standing_order, trade

pytestmark = pytest.mark.django_db

ON_THE_WAY = ("MATCHED", "MINED", "RETRYING", "MINED", "MATCHED")
PARTS = {"t1": 60, "t2": 30, "t3": 10}
PRICES, FEES = {"t1": "0.40", "t2": "0.413", "t3": "0.391"}, {"t1": 100_001, "t2": 0, "t3": 33_333}
ANSWERS = (Status.MATCHED, Status.UNKNOWN, Status.LIVE, Status.FAILED)


def heard(row: CopyTrade, ends: dict[str, str], chance: Random) -> list[VenueTrade]:
    """Each trade's story with its end, all mixed, and some of it twice."""
    told = [(name, said) for name, end in ends.items() for said in (*ON_THE_WAY, end)]
    told += chance.choices(told, k=8)
    chance.shuffle(told)
    return [told_of(row, name, said) for name, said in told]


def told_of(row: CopyTrade, name: str, status: str) -> VenueTrade:
    """One of the order's trades."""
    return trade(row, PARTS[name], PRICES[name], name=name, status=status, fee=FEES[name])


def answered(row: CopyTrade, to: Status) -> None:
    """The sender's answer, when its row still is as it was sent."""
    refusal = Refusal(Reason.NO_FILL) if to is Status.FAILED else None
    record_outcomes([Move(row=row, to=to, actor=Actor.PIPELINE, refusal=refusal)], now=BEGINNING)


def rescued(row: CopyTrade, chance: Random) -> None:
    """Rescue takes the row and finds that its order is matched, as far as nobody knew that yet."""
    seen = CopyTrade.objects.get(pk=row.pk)
    mine = take_over(seen, token=f"{chance.getrandbits(128):032x}", by="rescue", term=seen.lease_term, now=BEGINNING)
    if mine is not None and mine.status in (Status.PENDING, Status.UNKNOWN, Status.LIVE):
        record_outcomes([Move(row=mine, to=Status.MATCHED, actor=Actor.RESCUE)], now=BEGINNING)


def play(row: CopyTrade, ends: dict[str, str], chance: Random) -> CopyTrade:
    """News, the answer and rescue in a random order; the copy when everything was told and asked once more."""
    sender = CopyTrade.objects.get(pk=row.pk)
    news = heard(row, ends, chance)
    at = {chance.randrange(len(news)): "answer", chance.randrange(len(news)): "rescue"}
    bounds = set(chance.sample(range(len(news)), 3))
    for number, each in enumerate(news):
        if at.get(number) == "answer":
            answered(sender, chance.choice(ANSWERS))
        if at.get(number) == "rescue":
            rescued(row, chance)
        note_fills([each], now=BEGINNING)
        if number in bounds:
            # Asked so late that what is confirmed waits for the rest no longer.
            overdue = OrderNews(order_hash=str(row.order_hash), ended=chance.random() < 0.5, overdue=True)
            note_fills([], [overdue], now=BEGINNING + timedelta(minutes=11))
        assert_nothing_is_wrong_meanwhile()
    rescued(row, chance)
    last = [told_of(row, name, end) for name, end in ends.items()]
    note_fills(last, [OrderNews(order_hash=str(row.order_hash), ended=True)], now=BEGINNING)
    return CopyTrade.objects.get(pk=row.pk)


def assert_nothing_is_wrong_meanwhile() -> None:
    """What is reserved is what open copies reserve, and what is booked was confirmed."""
    rows = list(CopyTrade.objects.all())
    for side, held in (
        ("BUY", sum(CashBalance.objects.values_list("reserved_micros", flat=True))),
        ("SELL", sum(Position.objects.values_list("reserved_micros", flat=True))),
    ):
        assert held == sum(row.reserved_micros for row in rows if row.side == side)
    for row in rows:
        confirmed = VenueFill.objects.filter(trade=row, status="CONFIRMED").values_list("size_micros", flat=True)
        if row.status in (Status.EXECUTED, Status.MATCHED) and VenueFill.objects.filter(trade=row).exists():
            assert row.fill_size_micros == sum(confirmed)
        assert row.status in OPEN or row.reserved_micros == 0
    assert_books_agree()


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("seed", range(16))
def test_a_copy_ends_as_its_trades_did(fay_config: CopyConfig, seed: int, side: str) -> None:
    chance = Random(seed)
    if side == "SELL":
        bought(fay_config, "0.50")
    row = standing_order(fay_config, side, status=Status.PENDING)
    ends = {name: chance.choice(["CONFIRMED", "CONFIRMED", "FAILED"]) for name in PARTS}
    row = play(row, ends, chance)
    filled = sum(PARTS[name] for name, end in ends.items() if end == "CONFIRMED") * ONE
    assert (row.status, row.fill_size_micros) == ("EXECUTED" if filled else "FAILED", filled)
    assert row.budget_micros == (cost_up(filled, row.limit_micros) if side == "BUY" else 0)
    assert (row.reserved_micros, CashBalance.objects.get().reserved_micros) == (0, 0)
    before = 100 * ONE if side == "SELL" else 0
    held = sum(Position.objects.values_list("size_micros", flat=True))
    assert held == before + (filled if side == "BUY" else -filled)
    assert_books_agree()
