"""One run for all who wait."""

import asyncio

from ledger.shared_run import SharedRun


class Work:
    def __init__(self) -> None:
        self.begun = 0
        self.may_end = asyncio.Event()
        self.trouble: Exception | None = None

    async def __call__(self) -> None:
        self.begun += 1
        await self.may_end.wait()
        if self.trouble is not None:
            raise self.trouble


async def joined(run: SharedRun, number: int) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(run.join()) for _ in range(number)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_all_who_come_meanwhile_share_one_run_and_go_on_together() -> None:
    work = Work()
    run = SharedRun(work, name="test")
    tasks = await joined(run, 100)
    assert (work.begun, run.waiting) == (1, 100)
    work.may_end.set()
    await asyncio.gather(*tasks)
    assert (work.begun, run.waiting) == (1, 0)
    await run.join()
    assert work.begun == 2


async def test_what_it_raises_is_everybodys_and_the_next_run_is_a_new_one() -> None:
    work = Work()
    run = SharedRun(work, name="test")
    work.trouble = LookupError("away")
    tasks = await joined(run, 3)
    work.may_end.set()
    assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [LookupError] * 3
    work.trouble = None
    await run.join()
    assert work.begun == 2


async def test_whoever_gives_up_does_not_end_it_for_the_others() -> None:
    work = Work()
    run = SharedRun(work, name="test")
    first, second = await joined(run, 2)
    first.cancel()
    work.may_end.set()
    await second
    assert (first.cancelled() or first.cancelling(), work.begun) == (1, 1)


async def test_one_that_was_begun_ahead_is_joined() -> None:
    work = Work()
    run = SharedRun(work, name="test")
    run.begin()
    (waiting,) = await joined(run, 1)
    work.may_end.set()
    await waiting
    assert work.begun == 1
