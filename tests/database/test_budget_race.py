"""Example 16: 32 followers at once on two connections, each $10, budget $100: exactly 10 are granted."""

from collections.abc import Sequence

import pytest
from django.db import transaction

from guardrails.budgets import Bound, BudgetKey, BudgetScope, Period, Spent, Wish, refusals, take, window_start
from guardrails.intents import Reason
from guardrails.models import Budget
from guardrails.operations import lock_budgets, release_budgets, write_budgets
from ledger.units import ONE
from tests.database.races import race
from tests.doors import BEGINNING

pytestmark = pytest.mark.django_db(transaction=True)

FOLLOWERS = range(32)
LEADER_DAY = BudgetKey(BudgetScope.LEADER, "7", Period.DAY, window_start(Period.DAY, BEGINNING))


def wish(follower: int) -> Wish:
    mine = BudgetKey(BudgetScope.FOLLOWER, str(follower), Period.DAY, LEADER_DAY.starts_at)
    return Wish(
        cost_micros=10 * ONE, counts=1, budgets=((mine, Bound(money_micros=50 * ONE)), (LEADER_DAY, Bound(100 * ONE)))
    )


def grant(followers: Sequence[int]) -> tuple[list[int], list[Reason]]:
    """What a prewrite does: lock, decide by the pure rule, write once."""
    granted, reasons = [], []
    wishes = {follower: wish(follower) for follower in followers}
    with transaction.atomic():
        before = lock_budgets(key for each in wishes.values() for key, _bound in each.budgets)
        after = dict(before)
        for follower, each in wishes.items():
            refused = refusals(each, after)
            if refused:
                reasons += [refusal.reason for refusal in refused]
                continue
            take(each, after)
            granted.append(follower)
        write_budgets(before, after)
    return granted, reasons


def grant_in_batches(followers: Sequence[int], size: int) -> tuple[list[int], list[Reason]]:
    granted, reasons = [], []
    for start in range(0, len(followers), size):
        more, why = grant(followers[start : start + size])
        granted += more
        reasons += why
    return granted, reasons


@pytest.mark.parametrize("batch", [1, 4, 16])
@pytest.mark.parametrize("run", range(3))
def test_exactly_ten_of_thirty_two_racing_buys_fit(batch: int, run: int) -> None:
    halves = FOLLOWERS[::2], FOLLOWERS[1::2]
    answers = race(*(lambda half=half: grant_in_batches(half, batch) for half in halves))
    granted = [follower for each, _why in answers for follower in each]
    assert len(granted) == len(set(granted)) == 10
    assert [reason for _each, why in answers for reason in why] == [Reason.LEADER_DAILY_LIMIT] * 22
    row = Budget.objects.get(scope="LEADER")
    assert (row.spent_micros, row.count) == (100 * ONE, 10)
    spent = Budget.objects.filter(scope="FOLLOWER", spent_micros=10 * ONE).values_list("key", flat=True)
    assert sorted(spent) == sorted(str(follower) for follower in granted)


@pytest.mark.parametrize("run", range(3))
def test_budgets_locked_in_any_order_never_wait_for_each_other(run: int) -> None:
    race(lambda: grant_in_batches(FOLLOWERS, 8), lambda: grant_in_batches(FOLLOWERS[::-1], 8))
    assert Budget.objects.get(scope="LEADER").spent_micros == 100 * ONE


def test_what_one_gives_back_while_another_takes_is_neither_lost_nor_spent_twice() -> None:
    grant(FOLLOWERS[:10])
    back = [(LEADER_DAY, Spent(10 * ONE, 1))] * 4

    def give_back() -> tuple[list[int], list[Reason]]:
        with transaction.atomic():
            release_budgets(back)
        return [], []

    (_nobody, (granted, _why)) = race(give_back, lambda: grant_in_batches(FOLLOWERS[10:], 1))
    assert Budget.objects.get(scope="LEADER").spent_micros == (6 + len(granted)) * 10 * ONE
    assert len(granted) <= 4
