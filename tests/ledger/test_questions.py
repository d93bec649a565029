"""Questions that are put into SQL once answer as the queryset does."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from psycopg.pq import PipelineStatus

from copytrading.models import Follower, Leader, Signal
from ledger.models import CashBalance
from ledger.questions import Question, together
from ledger.rows import new_row
from ledger.sql import upsert_rows
from tests.doors import BEGINNING
from tests.factories import SignalFactory

pytestmark = pytest.mark.django_db

NAMED = Question(
    lambda wallets: Leader.objects.filter(wallet__among=wallets).order_by("pk").values_list("pk", "wallet")
)
SIGNALS = Question(
    lambda leaders, since, source, tokens: (
        Signal.objects.filter(leader_id__among=leaders, detected_at__gte=since, source=source, token_id__among=tokens)
        .order_by("pk")
        .values_list("pk", "token_id", "detected_at", "group__key")
    )
)


def test_a_question_is_answered_as_its_queryset_is(lena: Leader, fred: Follower) -> None:
    wanted = {lena.wallet, "0xnobody", 'a "quoted" \\ one'}
    for _ in range(2):
        assert NAMED.rows(wanted) == [(lena.pk, lena.wallet)]
    assert NAMED.rows({"0xnobody"}) == []


def test_every_kind_of_value_finds_its_place_and_columns_are_pythons() -> None:
    rows = [SignalFactory(detected_at=BEGINNING + timedelta(seconds=number)) for number in range(3)]
    last = rows[-1]
    asked: tuple[Any, ...] = ({each.leader_id for each in rows}, BEGINNING + timedelta(seconds=1), last.source)
    for begin, expected in ((0, rows[1:]), (1, rows[2:])):
        moment = asked[1] + timedelta(seconds=begin)
        found = SIGNALS.rows(asked[0], moment, asked[2], {each.token_id for each in rows})
        assert found == [(each.pk, each.token_id, each.detected_at, each.group.key) for each in expected]


def test_an_empty_collection_is_no_query() -> None:
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert NAMED.rows(set()) == []
    assert len(asked) == 0


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_rows_are_locked_inside_a_transaction_only() -> None:
    locked = Question(
        lambda ids: CashBalance.objects.select_for_update().filter(follower_id__among=ids).values_list("cash_micros")
    )
    with transaction.atomic():
        assert locked.rows({1}) == []
    with pytest.raises(TransactionManagementError):
        locked.rows({1})


@pytest.mark.postgres
def test_a_value_that_the_query_changes_is_refused() -> None:
    changed = Question(lambda number: Signal.objects.filter(part=number + 1).values_list("pk"))
    with pytest.raises(TypeError, match="not in its SQL as it was given"):
        changed.rows(1)


def test_questions_that_are_sent_together_are_answered_in_any_order(lena: Leader) -> None:
    rows = [SignalFactory(detected_at=BEGINNING) for _ in range(2)]
    with together():
        named = NAMED.ask({lena.wallet}, read=list)
        asked = {each.leader_id for each in rows}, BEGINNING, rows[0].source, {each.token_id for each in rows}
        signals = SIGNALS.ask(*asked, read=lambda found: {row[0] for row in found})
        nobody = NAMED.ask(set(), read=len)
        in_between = Leader.objects.count()
    assert (signals.answer(), named.answer(), nobody.answer()) == (
        {each.pk for each in rows},
        [(lena.pk, lena.wallet)],
        0,
    )
    assert in_between >= 1


@pytest.mark.django_db(transaction=True)
def test_a_block_that_fails_raises_as_ever_and_leaves_nothing(fred: Follower) -> None:
    insert = new_row(CashBalance, follower_id=fred.pk, cash_micros=5, reserved_micros=0)
    with pytest.raises(IntegrityError), transaction.atomic(), together():
        upsert_rows(CashBalance, [insert], unique=("follower",), update=("cash_micros",))
        upsert_rows(
            CashBalance,
            [new_row(CashBalance, follower_id=fred.pk, cash_micros=5, reserved_micros=-1)],
            unique=("follower",),
            update=("reserved_micros",),
        )
    assert not CashBalance.objects.filter(follower_id=fred.pk, cash_micros=5).exists()
    with together():
        assert NAMED.ask({"0xnobody"}, read=list).answer() == []


@pytest.mark.postgres
@pytest.mark.parametrize("when", [True, False])
def test_statements_sent_together_wait_for_no_answer(when: bool) -> None:
    with together(when=when):
        assert connection.connection.pgconn.pipeline_status == (PipelineStatus.ON if when else PipelineStatus.OFF)
    assert connection.connection.pgconn.pipeline_status == PipelineStatus.OFF
