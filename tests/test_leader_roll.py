"""Whom a shard listens to, and since when."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest

from copytrading.config_index import ConfigIndex, IndexTerms
from copytrading.leader_roll import FORGET_EVERY_S, LeaderRoll
from copytrading.models import CopyConfig, SignalCursor
from copytrading.operations.hearing import NOTICED_WITHIN, forget_unfollowed, hear
from copytrading.queries import Shard
from copytrading.sources.leaders import HeardLeaders
from tests.doors import BEGINNING, InlineDatabase, VirtualClock
from tests.factories import CopyConfigFactory, LeaderFactory

pytestmark = pytest.mark.django_db(transaction=True)

NOTICED_S = int(NOTICED_WITHIN.total_seconds())


class Station:
    """A roll with its index."""

    def __init__(self) -> None:
        self.clock, self.leaders, database = VirtualClock(), HeardLeaders(), InlineDatabase()
        terms = IndexTerms(refresh_ms=500, reconcile_s=0)
        self.index = ConfigIndex(database, self.clock, shard=Shard(), terms=terms)
        self.service = LeaderRoll(database, self.clock, index=self.index, leaders=self.leaders)
        self.runner = asyncio.Runner()

    def look(self, *, after_s: float = 1) -> dict[str, object]:
        async def once() -> None:
            await self.index.run_once()
            await self.service.run_once()

        self.clock.advance(after_s)
        self.runner.run(once())
        return dict(self.leaders.wallets)


@pytest.fixture
def station() -> Iterator[Station]:
    made = Station()
    yield made
    made.runner.close()


def test_a_leader_is_heard_since_the_first_follow(station: Station) -> None:
    leader = CopyConfigFactory(updated_at=BEGINNING + timedelta(seconds=1)).leader
    LeaderFactory()
    assert station.look() == {leader.wallet: BEGINNING + timedelta(seconds=1)}
    CopyConfigFactory(leader=leader)
    assert station.look() == {leader.wallet: BEGINNING + timedelta(seconds=1)}


def test_a_restart_goes_on_from_the_same_moment(station: Station) -> None:
    leader = CopyConfigFactory(updated_at=BEGINNING + timedelta(seconds=1)).leader
    station.look()
    later = Station()
    assert later.look(after_s=3_600) == {leader.wallet: BEGINNING + timedelta(seconds=1)}
    later.runner.close()


def test_a_leader_whom_nobody_follows_is_not_heard_and_begins_anew(station: Station) -> None:
    leader = CopyConfigFactory().leader
    station.look()
    CopyConfig.objects.update(active=False)
    assert station.look(after_s=NOTICED_S) == {}
    CopyConfig.objects.update(active=True)
    # However soon: what it did in between was for nobody.
    assert station.look(after_s=NOTICED_S)[leader.wallet] >= BEGINNING + timedelta(seconds=NOTICED_S + 1)


def test_beginning_of_a_leader_that_lost_its_follower_while_nobody_listened_is_forgotten(station: Station) -> None:
    CopyConfigFactory()
    station.look()
    CopyConfig.objects.update(active=False)
    later = Station()
    later.look(after_s=FORGET_EVERY_S)
    later.runner.close()
    assert not SignalCursor.objects.exists()


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("noticed_after_s", "history_s"), [(3, 0), (NOTICED_S + 20, 20), (-5, -5)], ids=["at once", "late", "clocks differ"]
)
def test_what_a_leader_does_between_the_follow_and_its_noticing_is_no_history(
    station: Station, noticed_after_s: int, history_s: int
) -> None:
    leader = CopyConfigFactory(updated_at=BEGINNING).leader
    assert hear([leader.pk], now=BEGINNING + timedelta(seconds=noticed_after_s)) == {
        leader.wallet: BEGINNING + timedelta(seconds=history_s)
    }


def test_the_same_set_of_leaders_is_no_change(station: Station) -> None:
    leader = CopyConfigFactory().leader
    station.look()
    version = station.leaders.version
    CopyConfigFactory(leader=leader)
    station.look()
    assert station.leaders.version == version


def test_forgetting_leaves_the_cursors_of_sources_alone() -> None:
    hear([LeaderFactory().pk], now=BEGINNING)
    SignalCursor.objects.create(source="data-api", key="0x" + "ab" * 20, position="1")
    assert forget_unfollowed() == 1
    assert SignalCursor.objects.get().source == "data-api"
