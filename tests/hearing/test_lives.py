"""Lives of engines and follows: restarted in the middle, followed late, left and followed again."""

from typing import Any

import pytest

from copytrading.models import SignalCursor
from copytrading.operations.hearing import HEARD
from tests.hearing.found import Trades, recorded, trades_of
from tests.hearing.listener import CHAIN, POLLS, SOCKET, Listener
from tests.hearing.stage import Stage, follow, stage
from tests.sandbox.chain_stage import needs_chain

pytestmark = [pytest.mark.django_db(transaction=True)]

AWAY_S = 60
LATE = 3
"""The number of the leader whom nobody follows in the beginning."""


@pytest.mark.parametrize(
    ("sources", "ends"),
    [
        ((SOCKET, POLLS), Listener.stop),
        ((SOCKET, POLLS), Listener.kill),
        pytest.param((POLLS,), Listener.kill, marks=pytest.mark.postgres),
        pytest.param((CHAIN,), Listener.kill, marks=[needs_chain, pytest.mark.postgres]),
        pytest.param((SOCKET, POLLS, CHAIN), Listener.kill, marks=[needs_chain, pytest.mark.postgres]),
    ],
)
async def test_a_restart_in_the_middle_ends_with_the_same_totals(sources: tuple[str, ...], ends: Any) -> None:
    async with stage(*sources) as s:
        await s.play()
        await ends(s.listener)
        await s.play()
        await s.later(AWAY_S)
        await s.play()
        await s.listen()
        await s.play()
        await s.ends_with_the_truth()


async def hears_the_late_one(s: Stage) -> None:
    """The engine has noticed who is followed now, or no longer."""
    wallet = s.box.leaders[LATE].wallet
    await s.listener.until(lambda: wallet in s.listener.leaders.wallets, "the leader is heard")


def of_the_late_one(s: Stage, *, but: Trades) -> Trades:
    """What that leader did, without what was before."""
    all_of_it = trades_of(s.box.truth, [s.box.leaders[LATE].wallet])
    return {key: size for key, size in all_of_it.items() if key not in but}


@pytest.mark.parametrize(
    "sources",
    [
        (SOCKET, POLLS),
        pytest.param((SOCKET, POLLS, CHAIN), marks=[needs_chain, pytest.mark.postgres]),
    ],
    ids="+".join,
)
async def test_a_leader_followed_in_the_middle_is_not_copied_from_history(sources: tuple[str, ...]) -> None:
    async with stage(*sources) as s:
        await s.play(120)
        history = of_the_late_one(s, but={})
        assert history
        await s.later(AWAY_S)
        await s.ask(follow, s.box, LATE)
        await hears_the_late_one(s)
        await s.play(120)
        news = of_the_late_one(s, but=history)
        assert news
        await s.hears(s.truth() | news)
        await s.listener.has_looked_again()
        await s.listener.stop()
        assert await s.ask(recorded) == s.truth() | news


async def test_what_a_leader_did_between_two_follows_is_never_copied() -> None:
    async with stage(SOCKET, POLLS) as s:
        await s.ask(follow, s.box, LATE)
        await hears_the_late_one(s)
        await s.play(120)
        followed = of_the_late_one(s, but={})
        await s.hears(s.truth() | followed)
        wallet = s.box.leaders[LATE].wallet
        await s.ask(lambda: follow(s.box, LATE, active=False))
        await s.listener.until(lambda: wallet not in s.listener.leaders.wallets, "the leader is left")
        await s.later(AWAY_S + 5)
        await s.until(lambda: not SignalCursor.objects.filter(source=HEARD, key=wallet).exists(), "it is forgotten")
        await s.play(120)
        between = of_the_late_one(s, but=followed)
        assert between
        await s.later(AWAY_S)
        await s.ask(follow, s.box, LATE)
        await hears_the_late_one(s)
        await s.play(120)
        again = of_the_late_one(s, but=followed | between)
        assert followed and again
        await s.hears(s.truth() | followed | again)
        await s.listener.has_looked_again()
        await s.listener.stop()
        assert await s.ask(recorded) == s.truth() | followed | again
