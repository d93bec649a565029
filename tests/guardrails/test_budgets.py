"""Budgets: nobody passes a bound, in whatever order wishes come, and what is refused takes nothing."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.budgets import (
    Bound,
    BudgetKey,
    BudgetScope,
    Period,
    PeriodBounds,
    Spent,
    Wish,
    bounded,
    grant,
    keys_of,
    mask_of,
    refusals,
    take,
    window_start,
)
from guardrails.intents import Reason, Refusal, Unit
from ledger.units import ONE
from tests.doors import BEGINNING

DAY = window_start(Period.DAY, BEGINNING)
LEADER_DAY = BudgetKey(BudgetScope.LEADER, "7", Period.DAY, DAY)
GLOBAL_HOUR = BudgetKey(BudgetScope.GLOBAL, "", Period.HOUR, BEGINNING)
KEYS = [BudgetKey(scope, "k", period, DAY) for scope in BudgetScope for period in Period]

bounds = st.builds(Bound, st.none() | st.integers(0, 300), st.none() | st.integers(0, 5))
wishes = st.builds(
    Wish,
    cost_micros=st.integers(0, 200),
    counts=st.integers(0, 1),
    budgets=st.dictionaries(st.sampled_from(KEYS), bounds, max_size=4).map(lambda found: tuple(found.items())),
)
moments = st.timedeltas(timedelta(days=-2_000), timedelta(days=2_000)).map(lambda span: BEGINNING + span)


def wish(dollars: int, *budgets: tuple[BudgetKey, Bound], counts: int = 1) -> Wish:
    return Wish(cost_micros=dollars * ONE, counts=counts, budgets=budgets)


@pytest.mark.parametrize(
    ("period", "now", "start"),
    [
        (Period.HOUR, "2026-11-21T12:00:00", "2026-11-21T12:00:00"),
        (Period.HOUR, "2026-11-21T12:59:59.999999", "2026-11-21T12:00:00"),
        (Period.DAY, "2026-11-21T23:59:59.999999", "2026-11-21T00:00:00"),
        (Period.DAY, "2026-11-22T00:00:00", "2026-11-22T00:00:00"),
    ],
)
def test_a_window_begins_with_its_utc_hour_or_day(period: Period, now: str, start: str) -> None:
    aware = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert window_start(period, aware) == datetime.fromisoformat(start).replace(tzinfo=UTC)


@given(moments, st.sampled_from(Period))
def test_a_window_holds_its_moment_and_starts_itself(now: datetime, period: Period) -> None:
    start = window_start(period, now)
    assert start <= now < start + (timedelta(hours=1) if period is Period.HOUR else timedelta(days=1))
    assert window_start(period, start) == start


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        (PeriodBounds(), []),
        (PeriodBounds(hourly_micros=5), [(Period.HOUR, Bound(money_micros=5))]),
        (PeriodBounds(daily_count=3), [(Period.DAY, Bound(count=3))]),
        (
            PeriodBounds(hourly_micros=5, hourly_count=1, daily_micros=9, daily_count=2),
            [(Period.HOUR, Bound(5, 1)), (Period.DAY, Bound(9, 2))],
        ),
        (PeriodBounds(hourly_micros=0), [(Period.HOUR, Bound(money_micros=0))]),
    ],
)
def test_only_a_period_with_a_bound_has_a_budget(limits: PeriodBounds, expected: list[tuple[Period, Bound]]) -> None:
    found = list(bounded(BudgetScope.LEADER, "7", limits, now=BEGINNING))
    assert [(key.period, bound) for key, bound in found] == expected
    assert all((key.scope, key.key) == (BudgetScope.LEADER, "7") for key, _bound in found)


@pytest.mark.parametrize("scope", BudgetScope)
@pytest.mark.parametrize(("period", "word"), [(Period.HOUR, "HOURLY"), (Period.DAY, "DAILY")])
def test_each_budget_refuses_money_and_count_by_its_own_names(scope: BudgetScope, period: Period, word: str) -> None:
    key = BudgetKey(scope, "k", period, DAY)
    spent = {key: Spent(95 * ONE, 3)}
    assert refusals(wish(10, (key, Bound(100 * ONE, 3))), spent) == (
        Refusal(Reason(f"{scope}_{word}_LIMIT"), 105 * ONE, 100 * ONE, Unit.MONEY),
        Refusal(Reason(f"{scope}_{word}_COUNT"), 4, 3, Unit.COUNT),
    )


@pytest.mark.parametrize(
    ("dollars", "counts", "bound", "allowed"),
    [
        (5, 1, Bound(100 * ONE, 4), True),
        (6, 1, Bound(100 * ONE, 4), False),
        (5, 1, Bound(100 * ONE, 3), False),
        (5, 0, Bound(100 * ONE, 3), True),
        (6, 0, Bound(100 * ONE, 3), False),
        (500, 1, Bound(), True),
        (0, 1, Bound(0, None), False),
    ],
)
def test_a_wish_may_fill_a_bound_and_not_pass_it(dollars: int, counts: int, bound: Bound, allowed: bool) -> None:
    spent = {LEADER_DAY: Spent(95 * ONE, 3)}
    assert (refusals(wish(dollars, (LEADER_DAY, bound), counts=counts), spent) == ()) is allowed


def test_a_budget_nobody_has_used_begins_at_nothing() -> None:
    refused = refusals(wish(11, (LEADER_DAY, Bound(10 * ONE))), {})
    assert refused == (Refusal(Reason.LEADER_DAILY_LIMIT, 11 * ONE, 10 * ONE, Unit.MONEY),)


def test_a_wish_refused_by_several_budgets_keeps_every_reason() -> None:
    refused = refusals(wish(11, (LEADER_DAY, Bound(10 * ONE)), (GLOBAL_HOUR, Bound(9 * ONE, 0))), {})
    assert [r.reason.value for r in refused] == ["LEADER_DAILY_LIMIT", "GLOBAL_HOURLY_LIMIT", "GLOBAL_HOURLY_COUNT"]


def test_a_smaller_wish_passes_one_that_does_not_fit() -> None:
    wanted = [wish(dollars, (LEADER_DAY, Bound(150 * ONE))) for dollars in (100, 100, 50)]
    answers, after = grant(wanted, {})
    assert [answer == () for answer in answers] == [True, False, True]
    assert after == {LEADER_DAY: Spent(150 * ONE, 2)}


@given(st.lists(wishes, max_size=25))
def test_no_bound_is_ever_passed_whatever_the_order(wanted: list[Wish]) -> None:
    answers, after = grant(wanted, {})
    for each, answer in zip(wanted, answers, strict=True):
        for key, bound in () if answer else each.budgets:
            # The wish was granted, so at that moment all that was granted so far was inside its bound.
            before = sum_until(wanted, answers, last=each, key=key)
            assert bound.money_micros is None or before.micros <= bound.money_micros
            assert bound.count is None or not each.counts or before.count <= bound.count
    assert all(after[key].micros == sum_until(wanted, answers, last=None, key=key).micros for key in after)


def sum_until(wanted: list[Wish], answers: list[tuple[Refusal, ...]], *, last: Wish | None, key: BudgetKey) -> Spent:
    """What was granted from a budget up to and with a wish; all of it for None."""
    money = count = 0
    for each, answer in zip(wanted, answers, strict=True):
        if not answer and key in dict(each.budgets):
            money, count = money + each.cost_micros, count + each.counts
        if each is last:
            break
    return Spent(money, count)


@given(st.lists(wishes, max_size=25), st.dictionaries(st.sampled_from(KEYS), st.builds(Spent, st.integers(0, 99))))
def test_granting_many_at_once_is_granting_one_after_the_other(
    wanted: list[Wish], before: dict[BudgetKey, Spent]
) -> None:
    spent, answers = dict(before), []
    for each in wanted:
        answers.append(refusals(each, spent))
        if not answers[-1]:
            take(each, spent)
    untouched = dict(before)
    assert grant(wanted, before) == (answers, spent)
    assert before == untouched


@given(wishes, st.dictionaries(st.sampled_from(KEYS), st.builds(Spent, st.integers(0, 400), st.integers(0, 9))))
def test_a_refused_wish_takes_nothing(wanted: Wish, before: dict[BudgetKey, Spent]) -> None:
    (answer,), after = grant([wanted], before)
    assert not answer or after == before


@given(st.sets(st.sampled_from(KEYS)), moments)
def test_a_mask_names_the_budgets_that_granted(chosen: set[BudgetKey], decided_at: datetime) -> None:
    names = {BudgetScope.FOLLOWER: "2", BudgetScope.GLOBAL: "", BudgetScope.LEADER: "7", BudgetScope.MARKET: "0xc0"}
    keys = {BudgetKey(k.scope, names[k.scope], k.period, window_start(k.period, decided_at)) for k in chosen}
    assert set(keys_of(mask_of(keys), names, decided_at)) == keys


def test_every_scope_and_period_has_its_own_bit() -> None:
    assert sorted(mask_of([key]) for key in KEYS) == [1 << bit for bit in range(8)]
    assert mask_of([]) == 0


def test_budgets_are_locked_by_scope_key_period_and_start() -> None:
    later = BudgetKey(BudgetScope.FOLLOWER, "2", Period.HOUR, BEGINNING + timedelta(hours=1))
    sooner = BudgetKey(BudgetScope.FOLLOWER, "2", Period.HOUR, BEGINNING)
    assert sorted([LEADER_DAY, GLOBAL_HOUR, later, sooner]) == [sooner, later, GLOBAL_HOUR, LEADER_DAY]
