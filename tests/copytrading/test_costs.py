"""What is measured: own time only, between waits, on every thread, and nothing where nobody asked."""

import asyncio
import threading
from collections.abc import Generator

import pytest

from copytrading.costs import NO_COSTS, CpuCosts, MeasuredDatabase, cost_of_measuring_ns
from ledger.system import SystemCpuClock
from tests.doors import InlineDatabase


class ScriptedCpu:
    """`CpuClock` that computes only when told to."""

    def __init__(self) -> None:
        self.ns = 0

    def work(self, ns: int) -> None:
        self.ns += ns

    def process_ns(self) -> int:
        return self.ns

    def thread_ns(self) -> int:
        return self.ns


class Suspension:
    """Gives way once, as a wait for the network does."""

    def __await__(self) -> Generator[None, None, None]:
        yield


@pytest.fixture
def cpu() -> ScriptedCpu:
    return ScriptedCpu()


def test_a_step_has_its_own_time_and_not_that_of_the_steps_inside_it(cpu: ScriptedCpu) -> None:
    costs = CpuCosts(cpu)
    with costs.measure("outer"):
        cpu.work(10)
        with costs.measure("inner"):
            cpu.work(3)
        cpu.work(5)
    assert costs.spent_ns() == {"outer": 15, "inner": 3}
    assert costs.times_entered() == 2


def test_time_outside_of_all_steps_belongs_to_none(cpu: ScriptedCpu) -> None:
    costs = CpuCosts(cpu)
    for _time in range(2):
        cpu.work(100)
        with costs.measure("step"):
            cpu.work(1)
    assert costs.spent_ns() == {"step": 2}


def test_a_step_that_raises_is_measured_and_closed(cpu: ScriptedCpu) -> None:
    costs = CpuCosts(cpu)
    with pytest.raises(ValueError, match="no"), costs.measure("step"):
        cpu.work(4)
        raise ValueError("no")
    with costs.measure("next"):
        cpu.work(1)
    assert costs.spent_ns() == {"step": 4, "next": 1}


async def test_a_coroutine_is_measured_while_it_runs_and_not_while_it_waits(cpu: ScriptedCpu) -> None:
    costs = CpuCosts(cpu)

    async def work() -> str:
        cpu.work(2)
        await Suspension()
        cpu.work(3)
        return "done"

    async def others() -> None:
        cpu.work(1_000)

    task = asyncio.create_task(costs.steps("step", work()))
    await others()
    assert await task == "done"
    assert costs.spent_ns() == {"step": 5}


async def test_what_a_measured_coroutine_raises_reaches_its_caller(cpu: ScriptedCpu) -> None:
    async def work() -> None:
        await Suspension()
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await CpuCosts(cpu).steps("step", work())


async def test_a_measured_coroutine_is_cancelled_like_any_other(cpu: ScriptedCpu) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("tidied")

    task = asyncio.create_task(CpuCosts(cpu).steps("step", work()))
    await Suspension()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["tidied"]


def test_threads_add_up(cpu: ScriptedCpu) -> None:
    costs = CpuCosts(cpu)

    def work() -> None:
        with costs.measure("step"):
            cpu.work(7)

    thread = threading.Thread(target=work)
    with costs.measure("mine"):
        pass
    thread.start()
    thread.join()
    assert costs.spent_ns() == {"mine": 0, "step": 7}


async def test_a_unit_of_work_in_the_database_is_a_step_under_its_name(cpu: ScriptedCpu) -> None:
    costs = CpuCosts(cpu)

    def add_up(first: int, *, second: int) -> int:
        cpu.work(9)
        return first + second

    assert await MeasuredDatabase(InlineDatabase(), costs).run(add_up, 1, second=2) == 3
    assert costs.spent_ns() == {"db.add_up": 9}


def test_an_engine_that_is_not_measured_gets_its_coroutines_back_as_they_are() -> None:
    async def work() -> None:
        """Nothing."""

    coroutine = work()
    assert NO_COSTS.steps("step", coroutine) is coroutine
    coroutine.close()
    with NO_COSTS.measure("outer"), NO_COSTS.measure("inner"):
        pass


def test_the_measuring_itself_has_a_known_cost() -> None:
    assert cost_of_measuring_ns(SystemCpuClock()) > 0
