"""The index of configs against real rows: what a person changes is decided by within a second."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event
from typing import TypeVar

import pytest
from django.db import connection, transaction

from copytrading import config_index
from copytrading.config_index import ConfigIndex, IndexTerms
from copytrading.configs import configs_after
from copytrading.decide import Config
from copytrading.models import CopyConfig, Follower, Leader, Standing
from copytrading.operations.bulk import set_active
from copytrading.operations.people import save_config
from copytrading.queries import Shard
from copytrading.shards import shard_of
from ledger.sql import database_now
from tests.database.races import WAIT_SECONDS_MAX
from tests.doors import BEGINNING, InlineDatabase, VirtualClock, outside_loop
from tests.factories import CopyConfigFactory, LeaderFactory

pytestmark = pytest.mark.django_db(transaction=True)
T = TypeVar("T")


class Desk:
    """An index that was asked once; `ask` asks again after a second."""

    def __init__(self, *, shard: Shard | None = None, reconcile_s: int = 300) -> None:
        self.clock = VirtualClock()
        reconcile_s = reconcile_s if connection.vendor == "postgresql" else 0
        terms = IndexTerms(refresh_ms=500, reconcile_s=reconcile_s)
        self.index = ConfigIndex(InlineDatabase(), self.clock, shard=shard or Shard(), terms=terms)
        self.runner = asyncio.Runner()

    def run(self, work: Callable[[], Awaitable[T]]) -> T:
        async def outer() -> T:
            return await work()

        return self.runner.run(outer())

    def ask(self, leader: Leader, *, after_s: float = 1) -> tuple[Config, ...]:
        self.clock.advance(after_s)
        return self.run(lambda: self.index.of_leaders([leader.pk]))[leader.pk]


@pytest.fixture
def desk():
    made = Desk()
    yield made
    made.runner.close()


def test_configs_come_in_the_order_of_granting(desk: Desk) -> None:
    leader = LeaderFactory()
    ids = [CopyConfigFactory(leader=leader).pk for _each in range(3)]
    CopyConfigFactory()
    assert [config.config_id for config in desk.ask(leader)] == ids


def test_a_new_config_is_seen_within_a_second(desk: Desk) -> None:
    leader = LeaderFactory()
    assert desk.ask(leader) == ()
    config = CopyConfigFactory(leader=leader)
    assert [each.config_id for each in desk.ask(leader)] == [config.pk]


def test_what_is_young_enough_is_not_asked_again(desk: Desk) -> None:
    leader = LeaderFactory()
    desk.ask(leader)
    CopyConfigFactory(leader=leader)
    assert desk.ask(leader, after_s=0.4) == ()


def test_a_disabled_config_disappears_within_a_second_and_comes_back(desk: Desk) -> None:
    config = CopyConfigFactory()
    assert desk.ask(config.leader)
    set_active([config.pk], active=False, who="olga", why="test")
    assert desk.ask(config.leader) == ()
    set_active([config.pk], active=True, who="olga", why="test")
    assert [each.version for each in desk.ask(config.leader)] == [3]


def began(desk: Desk, config: CopyConfig) -> datetime | None:
    """Since when it copies, as the index has it."""
    (found,) = desk.ask(config.leader)
    return found.began_at


def test_a_config_begins_when_it_is_made_and_a_change_of_choices_begins_nothing_anew(desk: Desk) -> None:
    config = CopyConfigFactory(created_at=BEGINNING)
    assert began(desk, config) == BEGINNING
    config.percentage_bps = 7
    save_config(config, changed_by="olga")
    assert began(desk, config) == BEGINNING


def test_a_config_begins_anew_whenever_it_is_activated(desk: Desk) -> None:
    config = CopyConfigFactory(created_at=BEGINNING, active=False)
    set_active([config.pk], active=True, who="olga", why="test")
    first = began(desk, config)
    assert first is not None and first > BEGINNING
    set_active([config.pk], active=False, who="olga", why="test")
    set_active([config.pk], active=True, who="olga", why="test")
    second = began(desk, config)
    assert second is not None and second > first
    config.refresh_from_db()
    config.percentage_bps = 7
    save_config(config, changed_by="olga")
    assert began(desk, config) == second


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda c: CopyConfig.objects.filter(pk=c.pk).update(percentage_bps=7), lambda f: f.terms.percentage_bps == 7),
        (lambda c: Follower.objects.update(daily_limit_micros=8), lambda f: f.follower_bounds.daily_micros == 8),
        (lambda c: Leader.objects.update(daily_limit_micros=9), lambda f: f.leader_bounds.daily_micros == 9),
        (
            lambda c: Standing.objects.update(stopped_at=database_now(), stopped_reason="STOP_LOSS"),
            lambda f: f.stopped is not None,
        ),
    ],
    ids=["config", "follower", "leader", "stop"],
)
def test_a_change_made_past_the_models_is_seen_too(desk: Desk, change, seen) -> None:
    config = CopyConfigFactory()
    Standing.objects.get_or_create(config=config)
    assert not seen(desk.ask(config.leader)[0])
    change(config)
    assert seen(desk.ask(config.leader)[0])


@pytest.mark.postgres
def test_measuring_a_profit_is_no_change(desk: Desk) -> None:
    config = CopyConfigFactory()
    Standing.objects.create(config=config)
    desk.ask(config.leader)
    version = desk.index.version
    Standing.objects.update(profit_micros=5)
    desk.ask(config.leader)
    assert desk.index.version == version


@pytest.mark.postgres
def test_an_increment_reads_only_what_changed(desk: Desk, django_assert_max_num_queries) -> None:
    leader = LeaderFactory()
    for _each in range(20):
        CopyConfigFactory(leader=leader)
    desk.ask(leader)
    desk.ask(leader)  # what was made a moment ago is inside the overlap
    with django_assert_max_num_queries(5):
        assert len(desk.ask(leader)) == 20


def test_a_deleted_config_disappears_with_the_reconciliation() -> None:
    desk = Desk(reconcile_s=60)
    config = CopyConfigFactory()
    desk.ask(config.leader)
    CopyConfig.objects.all().delete()
    desk.clock.advance(61)
    desk.run(desk.index.run_once)
    assert desk.ask(config.leader) == ()
    desk.runner.close()


@contextmanager
def somebody_disables(config: CopyConfig) -> Iterator[None]:
    """On another connection; the transaction ends with the block."""
    done, end = Event(), Event()

    def change() -> None:
        try:
            with transaction.atomic():
                CopyConfig.objects.filter(pk=config.pk).update(active=False)
                done.set()
                assert end.wait(WAIT_SECONDS_MAX)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        changing = pool.submit(change)
        try:
            assert done.wait(WAIT_SECONDS_MAX)
            yield
        finally:
            end.set()
            changing.result(WAIT_SECONDS_MAX)


@pytest.mark.postgres
def test_a_change_whose_transaction_outlasts_the_overlap_is_read_when_it_commits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_index, "OVERLAP", timedelta(0))
    config = CopyConfigFactory()
    desk.ask(config.leader)
    with somebody_disables(config):
        assert all(desk.ask(config.leader) for _look in range(3))
    assert desk.ask(config.leader) == ()


@pytest.mark.postgres
def test_a_change_that_was_open_before_the_index_began_is_read_when_it_commits(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config_index, "OVERLAP", timedelta(0))
    config = CopyConfigFactory()
    with somebody_disables(config):
        assert all(desk.ask(config.leader) for _look in range(3))
    desk.run(desk.index.run_once)
    assert desk.ask(config.leader) == ()


@pytest.mark.postgres
def test_answers_are_young_while_everything_is_read_anew(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_index, "PAGE", 1)
    leader = LeaderFactory()
    configs = [CopyConfigFactory(leader=leader) for _each in range(4)]
    desk.ask(leader)
    read, disabled = desk.index._database.run, []

    async def slow(work, /, *args, **kwargs):
        answer = await read(work, *args, **kwargs)
        if work is configs_after:
            if args[0] == configs[1].pk:
                disabled.append(outside_loop(set_active, [configs[0].pk], active=False, who="olga", why="test"))
            desk.clock.advance(1)
            if disabled:
                assert len((await desk.index.of_leaders([leader.pk]))[leader.pk]) == 3
        return answer

    monkeypatch.setattr(desk.index._database, "run", slow)
    desk.clock.advance(301)
    desk.run(desk.index.run_once)
    assert disabled
    assert [each.config_id for each in desk.ask(leader)] == [each.pk for each in configs[1:]]


def test_an_answer_is_asked_again_when_reading_it_took_longer_than_it_may_be_old(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = CopyConfigFactory()
    read, slow_ones = desk.index._database.run, iter([True])

    async def slow(work, /, *args, **kwargs):
        answer = await read(work, *args, **kwargs)
        if work is configs_after and next(slow_ones, False):
            outside_loop(set_active, [config.pk], active=False, who="olga", why="test")
            desk.clock.advance(5)
        return answer

    monkeypatch.setattr(desk.index._database, "run", slow)
    assert desk.ask(config.leader) == ()


def test_a_shard_holds_the_configs_of_its_own_leaders() -> None:
    configs = [CopyConfigFactory() for _each in range(12)]
    for index in range(3):
        desk = Desk(shard=Shard(index, 3))
        mine = {each.leader_id for each in configs if shard_of(each.leader.wallet, 3) == index}
        desk.run(desk.index.run_once)
        assert (desk.index.leader_ids, len(desk.index)) == (mine, len(mine))
        desk.runner.close()


def test_a_fresh_start_reads_in_pages(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("copytrading.config_index.PAGE", 4)
    leader = LeaderFactory()
    for _each in range(10):
        CopyConfigFactory(leader=leader)
    assert len(desk.ask(leader)) == 10
