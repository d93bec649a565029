"""Questions that are put into SQL once answer as the queryset does."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from copytrading.models import Follower, Leader, Signal
from ledger.models import CashBalance
from ledger.questions import Question
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
