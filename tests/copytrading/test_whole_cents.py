"""Orders to the venue are cut to its decimals; orders on paper stay as they were decided."""

from dataclasses import replace

import pytest

from execution.orders import OrderPlan
from guardrails.intents import Reason
from ledger.units import Micros
from tests.copytrading.test_decide import INTENT, plan, reasons

ODD = replace(INTENT, size_micros=Micros(196_070_000), cost_micros=Micros(99_995_700))


@pytest.mark.parametrize(
    ("whole_cents", "amounts"), [(False, (99_995_700, 196_070_000)), (True, (99_960_000, 196_000_000))]
)
def test_only_an_order_to_the_venue_is_cut_and_never_above_what_was_decided(
    whole_cents: bool, amounts: tuple[int, int]
) -> None:
    answer = plan(ODD, whole_cents=whole_cents)
    assert isinstance(answer, OrderPlan)
    assert (answer.maker_amount, answer.taker_amount) == amounts
    assert (answer.size_micros, answer.limit_micros) == (ODD.size_micros, ODD.limit_micros)


def test_what_is_too_small_to_be_cut_is_skipped_with_its_reason() -> None:
    tiny = replace(INTENT, size_micros=Micros(10_000), cost_micros=Micros(5_100))
    answer = plan(tiny, whole_cents=True)
    assert not isinstance(answer, OrderPlan)
    assert reasons(answer) == [Reason.ORDER_IMPOSSIBLE.value]
