"""What is not sent yet: for the limits, for credentials, and until somebody knows that a restart is over."""

import asyncio
from dataclasses import replace

from execution.ports import HoldUp, NotTaken, Resting
from tests.execution.clob.orders import FAY, SIGNER, plan
from tests.execution.clob.test_venue import accepted, submit, trading


async def test_above_the_limits_nothing_is_sent() -> None:
    async with trading(accepted()) as (on, venue):
        answers = [await submit(venue, plan(salt=number)) for number in range(60)]
    taken = [answer for answer in answers if not isinstance(answer, NotTaken)]
    assert len(taken) == len(on.double.asked) == 48
    assert {answer.why for answer in answers if isinstance(answer, NotTaken)} == {HoldUp.RATE_LIMITED}


async def test_without_credentials_nothing_is_sent_and_the_order_waits_for_them() -> None:
    async with trading(accepted()) as (on, venue):
        known = on.book.known.pop(FAY)
        answer = await submit(venue)
        assert not on.double.asked
        on.book.known[FAY] = known
        assert isinstance(await submit(venue), Resting)
    assert isinstance(answer, NotTaken)
    assert (answer.why, on.rejected) == (HoldUp.UNAVAILABLE, [])


async def test_an_order_of_another_key_is_not_sent_with_these_credentials() -> None:
    async with trading(accepted()) as (on, venue):
        answer = await submit(venue, replace(plan(), key="0x" + "99" * 20))
        assert isinstance(answer, NotTaken)
        assert isinstance(await submit(venue, replace(plan(), key=SIGNER)), Resting)
        assert len(on.double.asked) == 1


async def test_of_all_who_wait_for_a_restart_one_asks_whether_it_is_over() -> None:
    async with trading((425, b"service not ready")) as (on, venue):
        await submit(venue)
        on.clock.advance(1.5)
        answers = await asyncio.gather(*(submit(venue, plan(salt=number)) for number in range(2, 30)))
        assert len(on.double.asked) == 2
    assert {answer.why for answer in answers if isinstance(answer, NotTaken)} == {HoldUp.UNAVAILABLE}
    assert all(isinstance(answer, NotTaken) for answer in answers)
