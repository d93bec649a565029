"""What the copies of each config made: kept by every fill, and together what the follower's position says."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from copytrading.models import CopiedPosition, CopyConfig, Follower
from copytrading.operations.moves import Move
from copytrading.operations.outcomes import record_outcomes
from copytrading.states import Actor, Status
from execution.models import Position
from ledger.units import ONE
from tests.doors import BEGINNING
from tests.factories import TOKEN, CopyConfigFactory
from tests.operations.deals import assert_books_agree, bought, execute, fail, filled, order, sold

pytestmark = pytest.mark.django_db


def copied(config: CopyConfig) -> tuple[int, int, int, int, int]:
    """Size, spent, received, realised and fees, in cents or hundredths of a share."""
    row = CopiedPosition.objects.get(config=config, token_id=TOKEN)
    sums = (row.size_micros, row.spent_micros, row.received_micros, row.realised_micros, row.fees_micros)
    assert not any(each % 10_000 for each in sums)
    size, spent, received, realised, fees = (each // 10_000 for each in sums)
    return size, spent, received, realised, fees


@pytest.fixture
def other_config(fay: Follower) -> CopyConfig:
    """Fay copies somebody else too."""
    return CopyConfigFactory(follower=fay)


def test_a_buy_counts_its_shares_its_money_and_its_fee(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50", fee="0.25")
    assert copied(fay_config) == (100_00, 50_00, 0, 0, 25)


def test_a_sell_counts_what_it_got_and_its_profit_at_the_average_cost(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.40")
    bought(fay_config, "0.60")
    sold(fay_config, "0.70", shares=50, fee="0.10")
    assert copied(fay_config) == (150_00, 100_00, 35_00, 10_00, 10)
    assert_books_agree()


def test_one_leaders_sell_may_sell_what_another_leaders_buy_bought(
    fay_config: CopyConfig, other_config: CopyConfig
) -> None:
    bought(fay_config, "0.50")
    sold(other_config, "0.60", shares=40)
    assert copied(fay_config) == (100_00, 50_00, 0, 0, 0)
    assert copied(other_config) == (-40_00, 0, 24_00, 4_00, 0)
    assert_books_agree()


def test_a_late_fill_counts_and_shares_that_were_found_for_it_do_not(fay_config: CopyConfig) -> None:
    bought(fay_config, "0.50")
    late = fail(order(fay_config, "SELL"))
    sold(fay_config, "0.60")
    execute(late, "0.70")
    assert copied(fay_config) == (-100_00, 50_00, 130_00, 80_00, 0)
    assert Position.objects.get().size_micros == 0
    assert_books_agree()


def test_an_order_without_a_fill_counts_nothing(fay_config: CopyConfig) -> None:
    fail(order(fay_config))
    assert not CopiedPosition.objects.exists()


def test_a_batch_is_added_in_one_statement(fay_config: CopyConfig, other_config: CopyConfig) -> None:
    rows = [order(config, token=TOKEN + n) for config in (other_config, fay_config) for n in (3, 1, 2, 1)]
    moves = [Move(row=row, to=Status.EXECUTED, actor=Actor.PIPELINE, fill=filled(row, "0.50")) for row in rows]
    with CaptureQueriesContext(connection) as queries:
        record_outcomes(moves, now=BEGINNING)
    assert sum("copytrading_copiedposition" in query["sql"] for query in queries) == 1
    sizes = CopiedPosition.objects.order_by("config", "token_id").values_list("token_id", "size_micros")
    assert list(sizes) == [(TOKEN + 1, 200 * ONE), (TOKEN + 2, 100 * ONE), (TOKEN + 3, 100 * ONE)] * 2
    assert_books_agree()
