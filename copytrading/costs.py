"""CPU time of the engine by named step, for `manage.py benchmark`; nothing is measured where nobody asked.

A step's time is its own: what a step inside it took belongs to that one. Time is a thread's CPU time, so that
waiting costs nothing and steps of several threads add up to the process.
"""

import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar

from execution.orders import OrderPlan
from execution.ports import OrderRef, OrderState, Outcome, Venue
from ledger.clock import CpuClock
from ledger.db import ClosableDatabase

P = ParamSpec("P")
T = TypeVar("T")

CALIBRATIONS = 10_000
"""Empty steps measured to know what measuring costs; about 20 ms."""


class Costs(Protocol):
    """Where steps are measured; the engine is given one and does not know whether it counts."""

    def measure(self, step: str) -> AbstractContextManager[None]:
        """Measure a block of one thread; nothing may be awaited in it."""
        ...

    def steps(self, step: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:
        """The same work, measured while it runs and not while it waits."""
        ...


class NoCosts:
    """`Costs` that measures nothing and costs nothing."""

    def __init__(self) -> None:
        self._nothing = nullcontext()

    def measure(self, step: str) -> AbstractContextManager[None]:  # noqa: ARG002  (the port's name)
        """A block that is not measured."""
        return self._nothing

    def steps(self, step: str, work: Coroutine[Any, Any, T]) -> Coroutine[Any, Any, T]:  # noqa: ARG002
        """The work as it is."""
        return work


NO_COSTS = NoCosts()


class CpuCosts:
    """`Costs` that adds up CPU nanoseconds by step, over all threads."""

    def __init__(self, cpu: CpuClock) -> None:
        self._cpu = cpu
        self._meters: list[_Meter] = []
        self._own = threading.local()

    def measure(self, step: str) -> AbstractContextManager[None]:
        """Measure a block of this thread."""
        meter: _Meter | None = getattr(self._own, "meter", None)
        if meter is None:
            meter = self._own.meter = _Meter(self._cpu)
            self._meters.append(meter)
        return _Step(meter, step)

    async def steps(self, step: str, work: Coroutine[Any, Any, T]) -> T:
        """Measure a coroutine between its suspensions."""
        answer: T = await _Stepped(partial(self.measure, step), work)
        return answer

    def spent_ns(self) -> Counter[str]:
        """CPU nanoseconds by step so far; a step that is still open is not in it."""
        total: Counter[str] = Counter()
        for meter in list(self._meters):
            total.update(meter.spent_ns)
        return total

    def times_entered(self) -> int:
        """How many blocks were measured."""
        return sum(meter.entered for meter in self._meters)


def cost_of_measuring_ns(cpu: CpuClock) -> int:
    """CPU nanoseconds that measuring one block takes here, half of which falls into the block itself."""
    costs = CpuCosts(cpu)
    began = cpu.thread_ns()
    for _time in range(CALIBRATIONS):
        with costs.measure("nothing"):
            pass
    return (cpu.thread_ns() - began) // CALIBRATIONS


class _Meter:
    """The open steps of one thread, innermost last, and what each has taken."""

    __slots__ = ("cpu", "entered", "mark_ns", "open", "spent_ns")

    def __init__(self, cpu: CpuClock) -> None:
        self.cpu = cpu
        self.open: list[str] = []
        self.mark_ns = 0
        self.entered = 0
        self.spent_ns: Counter[str] = Counter()


class _Step:
    """One measured block."""

    __slots__ = ("_meter", "_name")

    def __init__(self, meter: _Meter, name: str) -> None:
        self._meter, self._name = meter, name

    def __enter__(self) -> None:
        meter = self._meter
        now_ns = meter.cpu.thread_ns()
        if meter.open:
            meter.spent_ns[meter.open[-1]] += now_ns - meter.mark_ns
        meter.open.append(self._name)
        meter.mark_ns = now_ns
        meter.entered += 1

    def __exit__(self, *_error: object) -> None:
        meter = self._meter
        now_ns = meter.cpu.thread_ns()
        meter.spent_ns[meter.open.pop()] += now_ns - meter.mark_ns
        meter.mark_ns = now_ns


class _Stepped:
    """Carries a coroutine from one suspension to the next, each stretch in a block of its own."""

    __slots__ = ("_measure", "_work")

    def __init__(self, measure: Callable[[], AbstractContextManager[None]], work: Coroutine[Any, Any, Any]) -> None:
        self._measure, self._work = measure, work

    def __await__(self) -> Generator[Any, Any, Any]:
        resume: Callable[[], Any] = partial(self._work.send, None)
        while True:
            with self._measure():
                try:
                    waits_for = resume()
                except StopIteration as ended:
                    return ended.value
            try:
                yield waits_for
                resume = partial(self._work.send, None)
            except BaseException as error:  # noqa: BLE001  (a cancellation is the work's to answer)
                resume = partial(self._work.throw, error)


class MeasuredDatabase:
    """A database whose units of work are steps, each under its function's name."""

    def __init__(self, database: ClosableDatabase, costs: Costs) -> None:
        self._database, self._costs = database, costs

    async def run(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of the work, measured on the thread that runs it."""
        return await self._database.run(self._unit, partial(work, *args, **kwargs), f"db.{work.__name__}")

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _unit(self, work: Callable[[], T], step: str) -> T:
        with self._costs.measure(step):
            return work()


class MeasuredVenue:
    """A venue whose submissions are a step."""

    def __init__(self, venue: Venue, costs: Costs) -> None:
        self._venue, self._costs = venue, costs
        self.name = venue.name

    async def submit(self, plan: OrderPlan, signature: bytes, *, follower_id: int) -> Outcome:
        """Measured."""
        return await self._costs.steps("venue", self._venue.submit(plan, signature, follower_id=follower_id))

    async def look_up(self, order: OrderRef) -> OrderState:
        """As it is."""
        return await self._venue.look_up(order)

    async def cancel(self, order: OrderRef) -> bool:
        """As it is."""
        return await self._venue.cancel(order)
