"""A venue that does as a test says."""

from typing import Any

from execution.orders import OrderPlan
from execution.ports import Fill, Filled, NotFound, OrderRef, OrderState, Outcome
from ledger.units import ONE, Micros
from tests.doors import BEGINNING


class ScriptedVenue:
    """Answers what it is told to, else fills at the limit; remembers what reached it."""

    name = "scripted"

    def __init__(self) -> None:
        self.submitted: list[OrderPlan] = []
        self.seen: list[Any] = []
        self.cancelled: list[str] = []
        self.states: dict[str, OrderState] = {}
        self.answer: Outcome | None = None
        self.on_submit: Any = lambda _plan: None

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        assert len(signature) == 65
        self.submitted.append(plan)
        self.on_submit(plan)
        return self.answer or filled(plan.size_micros, plan.limit_micros)

    async def look_up(self, order: OrderRef) -> OrderState:
        return self.states.get(order.order_hash, NotFound())

    async def cancel(self, order: OrderRef) -> bool:
        self.cancelled.append(order.order_hash)
        return True


def filled(size: int, price: int) -> Filled:
    return Filled(
        fill=Fill(
            size_micros=Micros(size),
            price_micros=Micros(price),
            cost_micros=Micros(size * price // ONE),
            fee_micros=Micros(0),
        )
    )


def ref(plan: OrderPlan) -> OrderRef:
    """A plan's order as a venue can be asked about it."""
    return OrderRef(
        order_hash=plan.order_hash,
        follower_id=1,
        token_id=plan.token_id,
        condition_id="0x" + "c0" * 32,
        side=plan.side,
        size_micros=plan.size_micros,
        since=BEGINNING,
    )
