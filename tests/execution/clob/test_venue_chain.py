"""What the venue is believed to know of an order, when the chain may know more."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from copytrading.tracking.settling import OPEN, settle
from execution.ports import NotFound, Rejected, Resting
from tests.execution.clob.orders import order_ref, plan
from tests.execution.clob.test_venue import KILLED, order_key, shown_order, submit, trading


@dataclass
class Chain:
    says: bool | None
    asked: list[str] = field(default_factory=list)

    async def has_fills(self, order_hash: str) -> bool | None:
        self.asked.append(order_hash)
        return self.says


@pytest.mark.parametrize(
    ("shown", "says", "expected"),
    [
        (None, True, Resting(matched=True)),
        (None, False, NotFound()),
        (None, None, NotFound()),
        (shown_order(status="CANCELED"), True, Resting(matched=True)),
        (shown_order(), True, Resting(matched=False)),
    ],
)
async def test_neither_silence_nor_death_holds_against_a_fill_on_chain(
    shown: Any, says: bool | None, expected: object
) -> None:
    chain = Chain(says)
    async with trading(chain=chain) as (on, venue):
        on.double.reply(order_key(), (200, shown))
        assert await venue.look_up(order_ref(plan())) == expected
    assert chain.asked == ([] if expected == Resting(matched=False) else [plan().order_hash])


async def test_the_chain_is_not_asked_about_what_was_killed_a_moment_ago() -> None:
    chain = Chain(says=True)
    async with trading(KILLED, chain=chain) as (_on, venue):
        assert isinstance(await submit(venue), Rejected)
    assert chain.asked == []


async def test_what_was_filled_on_chain_is_not_settled_as_nothing_while_its_trades_are_not_shown() -> None:
    async with trading(chain=Chain(says=True)) as (on, venue):
        on.double.reply(order_key(), (200, shown_order(status="CANCELED")))
        state = await venue.look_up(order_ref(plan()))
    assert isinstance(state, Resting)
    # However long ago it was: the venue will show them, or somebody looks.
    assert settle(state.trades, matched_micros=state.matched_micros, ended=state.final, overdue=True) == OPEN
