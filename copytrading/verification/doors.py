"""Doors that a verification gives its engines: a clock that can be moved, a venue that looks, databases that tell."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Any, ParamSpec, TypeVar

from django.db import connection

from copytrading.models import CopyTrade
from copytrading.operations.prewrite import Prewrite, Written, prewrite
from execution.orders import OrderPlan
from execution.ports import Fill, Filled, NotFound, OrderRef, OrderState, Outcome, Unknown
from ledger.db import ClosableDatabase, ThreadedDatabase
from ledger.system import SystemClock
from ledger.units import ONE, Micros

P = ParamSpec("P")
T = TypeVar("T")


class MovableClock:
    """The real clock, ahead by as much as was asked for."""

    def __init__(self) -> None:
        self._clock, self._ahead = SystemClock(), timedelta(0)

    def now(self) -> datetime:
        """The moved time."""
        return self._clock.now() + self._ahead

    def monotonic_ms(self) -> float:
        """The moved count."""
        return self._clock.monotonic_ms() + self._ahead / timedelta(milliseconds=1)

    async def sleep(self, seconds: float) -> None:
        """Sleep for real."""
        await self._clock.sleep(seconds)

    def move(self, by: timedelta) -> None:
        """Let so much time pass at once."""
        self._ahead += by


class WatchfulVenue:
    """`Venue` that looks, before it answers, what another connection can see of the order it was just given."""

    name = "verify"

    def __init__(self, *, answers: bool = True) -> None:
        self._answers = answers
        self.heard: list[tuple[str, list[str]]] = []

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:  # noqa: ARG002
        """Fill the whole size at the limit; a venue without answers leaves its sender in the dark."""
        witness = ThreadedDatabase(1)
        try:
            self.heard.append((plan.order_hash, await witness.run(_statuses, plan.order_hash)))
        finally:
            witness.close()
        if not self._answers:
            return Unknown(detail="This venue does not answer.")
        return Filled(fill=fill_at_limit(plan.size_micros, plan.limit_micros))

    async def look_up(self, order: OrderRef) -> OrderState:  # noqa: ARG002  # the port's name
        """It remembers nothing."""
        return NotFound()

    async def cancel(self, order: OrderRef) -> bool:  # noqa: ARG002  # the port's name
        """Nothing ever rests here."""
        return True


class HeldBack:
    """A database in which a prewrite is not run but kept: what an engine would write, ready to be raced."""

    def __init__(self, database: ClosableDatabase) -> None:
        self._database = database
        self.batches: list[Prewrite] = []

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run all other work."""
        if work is not prewrite:
            return await self._database.run(work, *args, **kwargs)
        self.batches += [each for each in args if isinstance(each, Prewrite)]
        return Written(reserved=(), rows=())  # type: ignore[return-value]  # what prewrite answers

    def close(self) -> None:
        """Close the real one."""
        self._database.close()


class Counted:
    """A database that remembers every statement which its work executes, on whatever thread and connection."""

    def __init__(self, database: ClosableDatabase) -> None:
        self._database = database
        self.statements: list[str] = []

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Run the work and listen."""
        return await self._database.run(counted, self.statements, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Close the real one."""
        self._database.close()


def counted(statements: list[str], work: Callable[[], T]) -> T:
    """Run work on this thread's connection, adding each statement to the list."""

    def listen(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(listen):
        return work()


def fill_at_limit(size_micros: Micros, limit_micros: Micros) -> Fill:
    """The whole size at the limit, without a fee."""
    cost = Micros(size_micros * limit_micros // ONE)
    return Fill(size_micros=size_micros, price_micros=limit_micros, cost_micros=cost, fee_micros=Micros(0))


def _statuses(order_hash: str) -> list[str]:
    return list(CopyTrade.objects.filter(order_hash=order_hash).values_list("status", flat=True))
