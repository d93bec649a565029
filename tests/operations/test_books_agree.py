"""Whatever fills, failures, late fills and reversals come in whatever order: every book says the same."""

import random
from collections.abc import Callable

import pytest

from copytrading.models import CopyConfig, CopyTrade, Follower
from copytrading.operations.reversals import reverse_fill
from copytrading.states import OPEN, Status
from execution.models import Position
from guardrails.intents import Reason, Refusal
from ledger.entries import CASH, account
from ledger.models import CommissionLog, ReferralVolume
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import TOKEN, CopyConfigFactory
from tests.operations.deals import assert_books_agree, balances, execute, fail, order

pytestmark = pytest.mark.django_db

STEPS = 70
TIERS = ((0, 777), (300 * ONE, 1_234))


class Market:
    """Chance decides what happens next to the orders of a few configs in two tokens."""

    def __init__(self, configs: list[CopyConfig], seed: int) -> None:
        self.dice, self.configs = random.Random(seed), configs
        self.done: set[str] = set()

    def step(self) -> None:
        """One thing happens."""
        name, happen = self.dice.choice(
            [
                *[("buy", self.open_buy), ("sell", self.open_sell)] * 2,
                *[("fill", self.fill)] * 4,
                *[("fail", self.refuse), ("late", self.fill_late), ("undo", self.undo)],
            ]
        )
        if happen():
            self.done.add(name)

    def open_buy(self) -> bool:
        """Somebody orders."""
        order(self.dice.choice(self.configs), "BUY", self.dice.randrange(1, 60), token=self.token())
        return True

    def open_sell(self) -> bool:
        """Somebody offers a part of what is free; perhaps another leader's copies bought it."""
        config, token = self.dice.choice(self.configs), self.token()
        mine = Position.objects.filter(follower=config.follower_id, token_id=token).first()
        free = (mine.size_micros - mine.reserved_micros) // ONE if mine else 0
        if free:
            order(config, "SELL", self.dice.randrange(1, free + 1), token=token)
        return bool(free)

    def fill(self) -> bool:
        """An open order is filled."""
        return self.with_one(OPEN, self.execute)

    def refuse(self) -> bool:
        """An open order comes to nothing."""
        return self.with_one(OPEN, fail)

    def fill_late(self) -> bool:
        """A failed or reversed order turns out to be filled."""
        return self.with_one({Status.FAILED}, self.execute)

    def undo(self) -> bool:
        """A fill is reversed."""
        refusal = Refusal(Reason.REVERSED)
        return self.with_one({Status.EXECUTED}, lambda row: reverse_fill(row, refusal=refusal, now=BEGINNING))

    def execute(self, row: CopyTrade) -> None:
        """Filled at a price that leaves crumbs, with a fee."""
        price, fee = self.dice.randrange(100_001, 900_000), self.dice.randrange(0, 400_000)
        execute(row, f"0.{price}", fee=f"0.{fee:06d}", tiers=TIERS)

    def with_one(self, states: frozenset[Status] | set[Status], act: Callable[[CopyTrade], object]) -> bool:
        """Do it to one of the rows in these states, if there is one."""
        rows = list(CopyTrade.objects.filter(status__in=states).order_by("pk"))
        if rows:
            act(self.dice.choice(rows))
        return bool(rows)

    def token(self) -> int:
        """One of two."""
        return TOKEN + self.dice.randrange(2)


@pytest.fixture
def configs(fay_config: CopyConfig, fred_config: CopyConfig, fay: Follower, fred: Follower) -> list[CopyConfig]:
    """Fay, whom Fred referred, copies Lena and somebody else; Fred copies Lena."""
    fay.referrer = fred
    fay.save()
    return [fay_config, CopyConfigFactory(follower=fay), fred_config]


@pytest.mark.parametrize("seed", range(6))
def test_all_books_agree_after_every_step(configs: list[CopyConfig], fay: Follower, fred: Follower, seed: int) -> None:
    market = Market(configs, seed)
    for _step in range(STEPS):
        market.step()
        assert_books_agree()
        assert_commissions_agree(fay, fred)
    assert market.done == {"buy", "sell", "fill", "fail", "late", "undo"}


def assert_commissions_agree(fay: Follower, fred: Follower) -> None:
    """What the operator owes Fred is what stands as earned; his volume is what Fay's fills moved."""
    earned = CommissionLog.objects.filter(state="EARNED")
    assert {log.trade.status for log in earned.select_related("trade")} <= {"EXECUTED"}
    owed = -balances().get((account(fred.pk, "commissions"), CASH), 0)
    assert owed == sum(log.amount_micros for log in earned) == balances().get(("operator:commissions", CASH), 0)
    moved = sum(row.fill_cost_micros for row in CopyTrade.objects.filter(follower=fay, status="EXECUTED"))
    assert sum(row.volume_micros for row in ReferralVolume.objects.all()) == moved
