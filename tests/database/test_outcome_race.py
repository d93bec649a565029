"""Outcomes of the same followers written from two connections in opposite order: no deadlock, nothing lost."""

import pytest

from copytrading.models import CopiedPosition, CopyConfig, CopyTrade, Follower
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import record_outcomes
from copytrading.operations.reversals import reverse_fills
from copytrading.states import Actor, Status
from execution.models import Position
from guardrails.intents import Reason, Refusal
from ledger.models import CommissionLog, ReferralVolume
from ledger.units import ONE
from tests.database.races import race
from tests.doors import BEGINNING
from tests.factories import TOKEN, CashBalanceFactory, CopyConfigFactory, FollowerFactory, PositionFactory
from tests.operations.deals import filled, order

pytestmark = pytest.mark.django_db(transaction=True)

FOLLOWERS, ROUNDS = 6, 4
TIERS = ((0, 500),)


def referred() -> list[CopyConfig]:
    """Followers of the same leader who were referred by two others in turn, with shares to sell."""
    first = CopyConfigFactory()
    referrers = [FollowerFactory(), FollowerFactory()]
    configs = []
    for number in range(FOLLOWERS):
        follower: Follower = FollowerFactory(referrer=referrers[number % 2])
        CashBalanceFactory(follower=follower)
        PositionFactory(follower=follower, size_micros=1_000 * ONE, cost_micros=500 * ONE)
        configs.append(CopyConfigFactory(follower=follower, leader=first.leader))
    return configs


def batch(configs: list[CopyConfig]) -> list[CopyTrade]:
    """One sell and buys of two other tokens for each, in this order."""
    rows = [order(config, "SELL", 10) for config in configs]
    return rows + [order(config, "BUY", 10, token=TOKEN + n) for config in configs for n in (2, 1)]


def record(rows: list[CopyTrade]) -> int:
    """All of them filled at 0.60, in one transaction."""
    moves = [Move(row=row, to=Status.EXECUTED, actor=Actor.PIPELINE, fill=filled(row, "0.60")) for row in rows]
    return len(record_outcomes(moves, now=BEGINNING, tiers=TIERS))


def held() -> dict[tuple[int, int], int]:
    """What followers have by their positions, but for what they had before."""
    rows = Position.objects.values_list("follower_id", "token_id", "size_micros")
    return {(who, token): size - (1_000 * ONE if token == TOKEN else 0) for who, token, size in rows}


def copied() -> dict[tuple[int, int], int]:
    """The same by what their configs' copies did."""
    rows = CopiedPosition.objects.values_list("config__follower_id", "token_id", "size_micros")
    return {(who, token): size for who, token, size in rows}


@pytest.mark.parametrize("run", range(3))
def test_first_fills_of_a_token_on_two_connections_are_both_held(run: int) -> None:
    configs = referred()
    ours, theirs = ([order(config, "BUY", 10, token=TOKEN + 9) for config in configs] for _ in range(2))
    race(lambda: [record(ours)], lambda: [record(theirs)])
    assert set(copied().values()) == {20 * ONE}
    assert {key: size for key, size in held().items() if key[1] != TOKEN} == copied()


@pytest.mark.parametrize("run", range(3))
def test_two_connections_that_record_the_same_followers_never_wait_for_each_other(run: int) -> None:
    configs = referred()
    ahead = [batch(configs) for _ in range(ROUNDS)]
    back = [batch(configs)[::-1] for _ in range(ROUNDS)]
    moved = race(lambda: [record(rows) for rows in ahead], lambda: [record(rows) for rows in back])
    assert moved == [[3 * FOLLOWERS] * ROUNDS] * 2
    sizes = set(CopiedPosition.objects.values_list("token_id", "size_micros"))
    each = 2 * ROUNDS * 10 * ONE
    assert sizes == {(TOKEN, -each), (TOKEN + 1, each), (TOKEN + 2, each)}
    assert held() == copied()
    volumes = list(ReferralVolume.objects.values_list("volume_micros", flat=True))
    assert volumes == [FOLLOWERS // 2 * 3 * 2 * ROUNDS * 6 * ONE] * 2
    assert CommissionLog.objects.count() == FOLLOWERS * 2 * ROUNDS


@pytest.mark.parametrize("run", range(3))
def test_reversals_beside_new_fills_of_the_same_followers_lose_nothing(run: int) -> None:
    configs = referred()
    first = batch(configs)
    record(first)
    done = list(CopyTrade.objects.filter(pk__in=[row.pk for row in first]).order_by("-pk"))
    more = [batch(configs) for _ in range(ROUNDS)]
    refusal = Refusal(Reason.REVERSED)
    reversed_, recorded = race(
        lambda: [len(reverse_fills(done[n : n + 6], refusal=refusal, now=BEGINNING)) for n in range(0, len(done), 6)],
        lambda: [record(rows) for rows in more],
    )
    assert (reversed_, recorded) == ([6] * (len(done) // 6), [3 * FOLLOWERS] * ROUNDS)
    each = ROUNDS * 10 * ONE
    sizes = set(CopiedPosition.objects.values_list("token_id", "size_micros"))
    assert sizes == {(TOKEN, -each), (TOKEN + 1, each), (TOKEN + 2, each)}
    assert held() == copied()
    volumes = list(ReferralVolume.objects.values_list("volume_micros", flat=True))
    assert volumes == [FOLLOWERS // 2 * 3 * ROUNDS * 6 * ONE] * 2
    assert CommissionLog.objects.filter(state="EARNED").count() == FOLLOWERS * ROUNDS
