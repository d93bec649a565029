"""A venue that does as a test says."""

from typing import Any

from execution.orders import OrderPlan
from execution.ports import Fill, Filled, NotFound, OrderState, Outcome
from ledger.units import ONE, Micros


class ScriptedVenue:
    """Answers what it is told to, else fills at the limit; remembers what reached it."""

    name = "scripted"

    def __init__(self) -> None:
        self.submitted: list[OrderPlan] = []
        self.seen: list[Any] = []
        self.states: dict[str, OrderState] = {}
        self.answer: Outcome | None = None
        self.on_submit: Any = lambda _plan: None

    async def submit(self, plan: OrderPlan, signature: bytes) -> Outcome:
        assert len(signature) == 65
        self.submitted.append(plan)
        self.on_submit(plan)
        return self.answer or filled(plan.size_micros, plan.limit_micros)

    async def look_up(self, order_hash: str) -> OrderState:
        return self.states.get(order_hash, NotFound())


def filled(size: int, price: int) -> Filled:
    return Filled(
        fill=Fill(
            size_micros=Micros(size),
            price_micros=Micros(price),
            cost_micros=Micros(size * price // ONE),
            fee_micros=Micros(0),
        )
    )
