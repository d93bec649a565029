"""What the page reads, and that it stays cheap."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session

from copytrading.dashboard import queries
from copytrading.dashboard import status as dashboard_status
from copytrading.dashboard.status import orders_waiting, status
from copytrading.explain.stories import newest_stories, stories_of
from copytrading.models import CopyConfig, CopyTrade, DashboardEvent
from copytrading.operations.events import publish
from copytrading.operations.leases import acquire, release
from copytrading.states import Status
from guardrails.models import Breaker
from guardrails.operations import set_switch
from ledger.units import ONE
from tests.dashboard.events import tick
from tests.doors import BEGINNING
from tests.factories import CopyConfigFactory, CopyTradeFactory, MarketFactory, trade_in

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.django_db


def test_events_come_in_order_after_the_sequence() -> None:
    first, second, third = tick(), publish("switch", {"paused": True, "who": "olga"}), tick(signals=9)
    page = queries.events_after(first)
    assert [event.sequence for event in page.events] == [second, third]
    assert page.events[1].payload["signals"] == 9
    assert (page.last, page.behind) == (third, False)


def test_page_that_heard_everything_gets_nothing() -> None:
    last = tick()
    page = queries.events_after(last)
    assert (page.events, page.last, page.behind) == ((), last, False)


def test_page_at_the_bound_catches_up_whole() -> None:
    publish_many(queries.EVENTS_MAX + 1)
    page = queries.events_after(1)
    assert (len(page.events), page.last, page.behind) == (queries.EVENTS_MAX, queries.EVENTS_MAX + 1, False)


def test_page_that_is_far_behind_is_told_to_begin_anew() -> None:
    publish_many(queries.EVENTS_MAX + 1)
    page = queries.events_after(0)
    assert (page.events, page.last, page.behind) == ((), queries.EVENTS_MAX + 1, True)


def test_page_ahead_of_a_restored_database_is_told_to_begin_anew() -> None:
    assert queries.events_after(tick() + 1).behind


def test_state_of_an_empty_database_is_empty() -> None:
    state = queries.state()
    assert (state.last, state.newest, state.history) == (0, (), ())
    assert (state.status.paused, state.status.shards, state.status.switches) == (False, (), ())


def test_history_is_by_the_second_and_the_totals_are_the_newest() -> None:
    publish("switch", {"paused": False, "who": "olga"})
    tick(signals=1, queue=7)
    tick(signals=2, totals={"signals": 1_003})
    state = queries.state()
    assert sum(told["signals"] for told in state.history) == 3
    assert max(told["queue"] for told in state.history) == 7
    (newest,) = state.shards
    assert newest["payload"]["totals"] == {"signals": 1_003}


def test_engine_that_stopped_long_ago_still_has_its_last_words() -> None:
    tick(queue=7)
    DashboardEvent.objects.update(created_at=BEGINNING - timedelta(days=3))
    (newest,) = queries.state().shards
    assert newest["payload"]["queue"] == 7


def test_events_bring_the_stories_that_they_name() -> None:
    first, second = trade_in(Status.EXECUTED), trade_in(Status.EXECUTED)
    last = tick(newest=[])
    tick(newest=[first.pk, second.pk, 10**9])
    assert [story.id for story in queries.events_after(last).newest] == [second.pk, first.pk]


def test_news_tell_again_of_what_is_watched() -> None:
    named, watched = trade_in(Status.EXECUTED), trade_in(Status.PENDING)
    last = tick()
    tick(newest=[named.pk])
    assert {story.id for story in queries.fresh(last, (watched.pk,)).newest} == {named.pk, watched.pk}


def test_events_of_an_older_version_name_nobody() -> None:
    last = tick(newest=[{"id": 1, "status": "EXECUTED"}])
    assert queries.events_after(last - 1).newest == ()


def test_news_are_what_is_not_known_yet() -> None:
    first, second = tick(), tick()
    assert [event.sequence for event in queries.fresh(first).events] == [second]
    assert (queries.fresh(second).events, queries.fresh(second).anew) == ((), False)


@pytest.mark.parametrize("known", [None, 10**6, -500])
def test_news_begin_anew_for_whoever_cannot_catch_up(known: int | None) -> None:
    last = tick()
    found = queries.fresh(known)
    assert (found.anew, [event.sequence for event in found.events]) == (True, [last])


def test_status_says_who_runs_a_shard() -> None:
    lease = acquire(shard=0, of=2, holder="host:1", ttl_s=15)
    assert lease is not None
    (shard,) = status().shards
    assert (shard.shard, shard.holder, shard.term, shard.held) == ("0/2", "host:1", 1, True)
    release(lease)
    (shard,) = status().shards
    assert (shard.holder, shard.held) == ("", False)


def test_shard_whose_heartbeat_stopped_is_not_held() -> None:
    acquire(shard=0, of=1, holder="host:1", ttl_s=-1)
    (shard,) = status().shards
    assert (shard.holder, shard.held) == ("host:1", False)


@pytest.mark.parametrize(
    ("switch", "paused"),
    [
        ({"kind": "PAUSE", "scope": "GLOBAL", "key": "", "on": True}, True),
        ({"kind": "PAUSE", "scope": "GLOBAL", "key": "", "on": False}, False),
        ({"kind": "DRY_RUN", "scope": "GLOBAL", "key": "", "on": True}, False),
        ({"kind": "PAUSE", "scope": "LEADER", "key": "7", "on": True}, False),
    ],
)
def test_only_the_global_pause_pauses_everything(switch: dict[str, Any], paused: bool) -> None:
    set_switch(**switch, who="olga", why="", now=BEGINNING)
    found = status()
    assert found.paused is paused
    assert len(found.switches) == switch["on"]


def test_story_of_an_executed_copy_has_its_fill_as_text() -> None:
    trade = trade_in(Status.EXECUTED)
    market = MarketFactory(condition_id=trade.condition_id, first_token_id=trade.token_id, title="Rain?")
    (told,) = newest_stories(5)
    assert (told.id, told.status, told.market, told.outcome) == (trade.pk, "EXECUTED", market.title, "Yes")
    assert told.fill_size == str(trade.fill_size_micros // ONE)


def test_story_of_a_skipped_copy_says_why() -> None:
    reason = {"reason": "FOLLOWER_DAILY_LIMIT", "value": 1_042_500_000, "limit": 1_000_000_000, "unit": "money"}
    trade = CopyTradeFactory(reasons=[reason, {"reason": "DRY_RUN", "note": True}])
    (told,) = stories_of([trade.pk])
    assert told.reasons == ("FOLLOWER_DAILY_LIMIT (value $1042.5, limit $1000)", "DRY_RUN")
    assert (told.market, told.outcome) == (trade.condition_id, "")


def test_delay_is_from_detection_to_the_fill() -> None:
    trade = trade_in(Status.EXECUTED)
    CopyTrade.objects.filter(pk=trade.pk).update(executed_at=trade.detected_at + timedelta(milliseconds=42))
    (told,) = newest_stories(1)
    assert told.delay_ms == 42


def test_state_costs_the_same_whatever_the_rows(django_assert_max_num_queries: Any) -> None:
    CopyTradeFactory.create_batch(12)
    publish_many(20)
    with django_assert_max_num_queries(12):
        assert len(queries.state().newest) == 12


def test_no_news_cost_one_query(django_assert_num_queries: Any) -> None:
    last = tick()
    with django_assert_num_queries(1):
        queries.fresh(last)


def test_events_cost_the_same_whatever_their_number(django_assert_num_queries: Any) -> None:
    for trade in CopyTradeFactory.create_batch(23):
        tick(newest=[trade.pk])
    with django_assert_num_queries(4):
        assert len(queries.fresh(0).events) == 23
    with django_assert_num_queries(10):
        assert len(queries.events_after(0).newest) == 23


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"state": "CLOSED"}, ()),
        ({"state": "OPEN", "opened_at": BEGINNING}, ("OPEN",)),
        ({"state": "HALF_OPEN", "opened_at": BEGINNING}, ("HALF_OPEN",)),
    ],
)
def test_breakers_that_hold_something_back_are_told(row: dict[str, Any], told: tuple[str, ...]) -> None:
    Breaker.objects.create(kind="FAILURE_RATE", scope="GLOBAL", why="9 of 10 failed", **row)
    assert tuple(each.state for each in status().breakers) == told


def test_breakers_of_venues_and_of_everybody_are_told_before_those_of_accounts() -> None:
    for number, (scope, key) in enumerate((("GLOBAL", ""), ("VENUE", "clob"), ("FOLLOWER", "7"), ("FOLLOWER", "8"))):
        since = BEGINNING + timedelta(minutes=number)
        Breaker.objects.create(kind="FAILURE_RATE", scope=scope, key=key, state="OPEN", opened_at=since, why=scope)
    told = status().breakers

    assert [(each.scope, each.key) for each in told] == [
        ("VENUE", "clob"),
        ("GLOBAL", ""),
        ("FOLLOWER", "8"),
        ("FOLLOWER", "7"),
    ]
    assert (told[0].state, told[0].why, told[0].at) == ("OPEN", "VENUE", BEGINNING + timedelta(minutes=1))


def test_newcomer_is_told_what_is_missing() -> None:
    assert (status().has_leaders, status().has_configs) == (False, False)
    config = CopyConfigFactory(active=False)
    assert (status().has_leaders, status().has_configs) == (True, False)
    CopyConfig.objects.filter(pk=config.pk).update(active=True)
    assert status().has_configs


def test_session_of_staff_with_a_role_may_look(viewer: User, session_of: Any) -> None:
    assert queries.session_may_look(session_of(viewer))


def test_session_of_staff_without_a_role_may_not_look(olga: User, session_of: Any) -> None:
    assert not queries.session_may_look(session_of(olga))


def test_session_of_others_may_not_look(visitor: User, session_of: Any) -> None:
    visitor.user_permissions.add(Permission.objects.get(codename="view_copytrade"))
    assert not queries.session_may_look(session_of(visitor))


@pytest.mark.parametrize("key", [None, "", "x" * 32, "../etc/passwd", "a" * 5_000])
def test_unknown_session_may_not_look(key: str | None) -> None:
    assert not queries.session_may_look(key)


@pytest.mark.parametrize("change", [{"is_staff": False}, {"is_active": False}, {"password": "changed"}])
def test_session_ends_when_the_account_changes(viewer: User, session_of: Any, change: dict[str, Any]) -> None:
    key = session_of(viewer)
    User.objects.filter(pk=viewer.pk).update(**change)
    assert not queries.session_may_look(key)
    assert Session.objects.filter(pk=key).exists(), "a socket only looks"


def publish_many(number: int) -> None:
    rows = [DashboardEvent(sequence=sequence, kind="tick", payload={}) for sequence in range(1, number + 1)]
    DashboardEvent.objects.bulk_create(rows)


def test_orders_without_an_end_are_counted_by_state_with_the_oldest(django_assert_num_queries: Any) -> None:
    for minutes, found in ((3, Status.UNKNOWN), (9, Status.UNKNOWN), (1, Status.LIVE), (5, Status.EXECUTED)):
        moment = BEGINNING - timedelta(minutes=minutes)
        trade_in(found, decided_at=moment, expires_at=moment + timedelta(minutes=10))
    with django_assert_num_queries(1):
        told = orders_waiting()
    assert [(each.status, each.count, each.more) for each in told] == [("UNKNOWN", 2, False), ("LIVE", 1, False)]
    assert [(BEGINNING - each.oldest_at) // timedelta(minutes=1) for each in told] == [9, 1]


def test_more_orders_than_are_counted_are_said_to_be_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard_status, "WAITING_MAX", 2)
    for minutes in (1, 7, 4):
        moment = BEGINNING - timedelta(minutes=minutes)
        trade_in(Status.UNKNOWN, decided_at=moment, expires_at=moment + timedelta(minutes=10))
    (told,) = orders_waiting()
    assert (told.count, told.more, told.oldest_at) == (2, True, BEGINNING - timedelta(minutes=7))
