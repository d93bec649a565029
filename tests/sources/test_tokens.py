"""Which tokens the market channel is asked about."""

import asyncio
from datetime import timedelta

import pytest

from copytrading.models import LeaderPosition
from copytrading.tokens import PlayedTokens, tokens_in_play
from execution.models import Market
from tests.doors import BEGINNING, InlineDatabase, outside_loop
from tests.world import CONDITION, OTHER_TOKEN, TOKEN, World

pytestmark = pytest.mark.django_db

LONG_AGO = BEGINNING - timedelta(days=1)


def test_what_followers_hold_leaders_hold_and_somebody_traded_is_in_play(world: World) -> None:
    assert tokens_in_play(LONG_AGO) == frozenset()
    world.hold(world.follower(), 5)
    assert tokens_in_play(LONG_AGO) == {TOKEN}
    world.lena_holds(7, token=OTHER_TOKEN)
    assert tokens_in_play(LONG_AGO) == {TOKEN, OTHER_TOKEN}


def test_a_traded_token_is_in_play_for_a_while(world: World) -> None:
    world.show(world.row())
    LeaderPosition.objects.all().delete()
    now = world.clock.now()
    assert tokens_in_play(now - timedelta(minutes=1)) == {TOKEN}
    assert tokens_in_play(now + timedelta(minutes=1)) == frozenset()


def test_a_closed_market_is_out_of_play(world: World) -> None:
    world.hold(world.follower(), 5)
    Market.objects.filter(condition_id=CONDITION).update(closed=True)
    assert tokens_in_play(LONG_AGO) == frozenset()


def test_what_followers_hold_comes_first(world: World) -> None:
    world.lena_holds(7, token=OTHER_TOKEN)
    world.hold(world.follower(), 5)
    assert tokens_in_play(LONG_AGO, tokens_max=1) == {TOKEN}


def test_whoever_waits_is_told_of_a_change_and_only_of_a_change(world: World) -> None:
    async def work() -> tuple[int, int, frozenset[int]]:
        played = PlayedTokens(InlineDatabase(), world.clock)
        await played.run_once()
        version = played.version
        waiting = asyncio.create_task(played.changed(version))
        outside_loop(world.hold, follower, 5)
        await played.run_once()
        await waiting
        await played.run_once()
        return version, played.version, played.tokens

    follower = world.follower()
    assert world.run(work) == (0, 1, {TOKEN})
