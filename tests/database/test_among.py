"""The lookup `among` finds what `in` finds, with one parameter for all values on Postgres."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from copytrading.models import CopyTrade, Signal, SignalGroup
from guardrails.models import Switch
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, SignalFactory

pytestmark = pytest.mark.django_db

TOKENS = (2**256 - 1, 2**255, 7)
KEYS = ("plain", 'with "quotes"', "back\\slash", "{comma, and brace}", "NULL")


@pytest.mark.parametrize("wanted", [TOKENS, TOKENS[:1], (8,), (*TOKENS, 8), ()])
def test_token_ids_of_any_size_are_found_exactly(wanted: Collection[int]) -> None:
    for token in TOKENS:
        SignalFactory(token_id=token)
    found = Signal.objects.filter(token_id__among=set(wanted)).values_list("token_id", flat=True)
    assert set(found) == set(wanted) & set(TOKENS)


def test_texts_are_found_whatever_they_contain() -> None:
    for key in KEYS:
        Switch.objects.create(kind="PAUSE", scope="MARKET", key=key, on=True, changed_at=BEGINNING)
    for key in KEYS:
        assert Switch.objects.get(key__among={key, "absent"}).key == key
    assert Switch.objects.filter(key__among=set(KEYS)).count() == len(KEYS)


def test_a_longer_text_is_not_cut_to_one_that_is_there() -> None:
    group = SignalFactory(group__key="a" * 64).group
    assert not SignalGroup.objects.filter(key__among={group.key + "a"})


def test_foreign_keys_and_moments_are_found() -> None:
    first, second = CopyTradeFactory(), CopyTradeFactory()
    assert set(CopyTrade.objects.filter(signal_id__among={first.signal_id, -1})) == {first}
    moments = {second.signal.detected_at, BEGINNING - timedelta(days=9)}
    assert second.signal in Signal.objects.filter(detected_at__among=moments)


def test_what_is_not_among_them_can_be_asked_for() -> None:
    first, second = SignalFactory(token_id=1), SignalFactory(token_id=2)
    assert set(Signal.objects.exclude(token_id__among={1})) == {second}
    assert set(Signal.objects.exclude(token_id__among=())) == {first, second}


@pytest.mark.postgres
def test_the_statement_does_not_grow_with_the_values() -> None:
    def sql(values: Any) -> str:
        with CaptureQueriesContext(connection) as asked:
            list(Signal.objects.filter(pk__among=values))
        return str(asked[0]["sql"])

    assert sql({1}).replace("{1}", "{}") == sql({1, 2, 3}).replace("{1,2,3}", "{}")
