"""The admin stays fast with many rows: queries do not grow, and nothing scans, counts or sorts the copies."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from copytrading.dashboard.status import orders_waiting
from copytrading.models import CopyTrade, SignalGroup
from copytrading.quality.queries import WINDOWS
from copytrading.states import Status
from ledger.admin.lists import COUNTED_MAX, BoundedPaginator, span_of
from ledger.moments import keys_between, newest_key
from ledger.sql import database_now
from tests.admin.clones import clone
from tests.admin.pages import address, read
from tests.admin.seeding import seed_copies
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, trade_in

pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]

REGISTERED = sorted(admin.site._registry, key=lambda model: model._meta.label)
ONE_ROW_ONLY = {"copytrading.DashboardSequence"}


def queries_of(client: Client, url: str) -> list[str]:
    with CaptureQueriesContext(connection) as asked:
        assert client.get(url).status_code == 200
    return [query["sql"] for query in asked]


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_list_asks_as_often_for_many_rows_as_for_few(world: None, admin_client: Client, model: type[Model]) -> None:
    if model._meta.label in ONE_ROW_ONLY:
        return
    if model is User:
        User.objects.create_user("somebody")
    row = model._default_manager.order_by("-pk").first()
    few = len(queries_of(admin_client, address(model, "changelist")))
    for _number in range(60):
        clone(row)
    assert model._default_manager.count() > 60
    assert len(queries_of(admin_client, address(model, "changelist"))) == few


@pytest.mark.parametrize("who", ["follower", "leader"])
def test_story_asks_as_often_for_many_copies_as_for_few(world: None, admin_client: Client, who: str) -> None:
    trade = CopyTrade.objects.order_by("pk").first()
    url = reverse(f"admin:copytrading_{who}_story", args=[getattr(trade, f"{who}_id")])
    few = len(queries_of(admin_client, f"{url}?window=all"))
    for _number in range(20):
        CopyTradeFactory(config=trade.config)
    assert len(queries_of(admin_client, f"{url}?window=all")) == few


def addresses_of_copies() -> Iterator[str]:
    copies, trade = address(CopyTrade, "changelist"), CopyTrade.objects.exclude(order_hash=None).order_by("pk")[100]
    follower, leader = trade.follower, trade.leader
    yield copies
    yield f"{copies}?p=200"
    yield f"{copies}?o=3.-8"
    yield f"{copies}?id__lt={trade.pk}"
    for query in ("status__exact=FAILED", "status__exact=UNKNOWN", "reason=PRICE_DEVIATION", "reason=OVERSOLD"):
        yield f"{copies}?{query}"
    for query in ("leader_trade=gone", "decided=24h", "decided=3 days ago", "side=BUY", "mode=PROXY"):
        yield f"{copies}?{query}"
    yield f"{copies}?follower__id__exact={follower.pk}"
    yield f"{copies}?leader__id__exact={leader.pk}&status__exact=SKIPPED"
    for text in (trade.pk, trade.order_hash, follower.wallet, leader.name, trade.condition_id, "rain-7", "nobody"):
        yield f"{copies}?q={text}"
    for window in WINDOWS:
        yield reverse("admin:copytrading_follower_story", args=[follower.pk]) + f"?window={window}"
        yield reverse("admin:copytrading_leader_story", args=[leader.pk]) + f"?window={window}"
        yield reverse("admin:copytrading_copyconfig_quality", args=[trade.config_id]) + f"?window={window}"
    yield reverse("admin:copytrading_why") + f"?signal={trade.signal_id}&follower={follower.pk}"
    yield address(CopyTrade, "change", trade.pk)


@pytest.mark.postgres
def test_no_page_scans_the_copies(admin_client: Client) -> None:
    seed_copies(50_000)
    SignalGroup.objects.filter(pk__gt=newest_key(SignalGroup) - 20).update(withdrawn_at=BEGINNING)
    scanning = [
        (url, sql)
        for url in addresses_of_copies()
        for sql in queries_of(admin_client, url)
        if "copytrading_copytrade" in sql and sql.startswith("SELECT") and scans(sql, CopyTrade)
    ]
    assert scanning == []


@pytest.mark.postgres
def test_orders_under_way_are_counted_without_scanning_the_copies() -> None:
    seed_copies(50_000)
    trade_in(Status.UNKNOWN)
    with CaptureQueriesContext(connection) as asked:
        (told,) = orders_waiting()
    assert (told.status, told.count) == ("UNKNOWN", 1)
    assert not scans(asked[-1]["sql"], CopyTrade)


@pytest.mark.postgres
def test_list_of_a_large_table_is_told_by_an_estimate_and_leads_on_behind_its_last_page(admin_client: Client) -> None:
    seed_copies(COUNTED_MAX + 5_000)
    page = read(admin_client, CopyTrade)
    assert "about 15,000 copy trades" in page
    assert not any("COUNT" in sql for sql in queries_of(admin_client, address(CopyTrade, "changelist")))
    last = read(admin_client, CopyTrade, p=str(COUNTED_MAX // 50))
    border = CopyTrade.objects.order_by("-pk").values_list("pk", flat=True)[COUNTED_MAX - 1]
    assert f"?id__lt={border}" in last
    assert f">{border - 1}<" in read(admin_client, CopyTrade, id__lt=str(border))


@pytest.mark.parametrize("model", REGISTERED, ids=lambda model: model._meta.label)
def test_no_list_counts_each_choice_of_its_filters(world: None, admin_client: Client, model: type[Model]) -> None:
    plain = queries_of(admin_client, address(model, "changelist"))
    assert len(queries_of(admin_client, address(model, "changelist") + "?_facets=True")) == len(plain)


@pytest.mark.postgres
def test_count_of_a_filtered_list_ends_at_its_bound() -> None:
    seed_copies(COUNTED_MAX + 5_000)
    pages = BoundedPaginator(CopyTrade.objects.filter(side="BUY").order_by("-pk"), 50)
    with CaptureQueriesContext(connection) as asked:
        assert (pages.count, pages.told) == (COUNTED_MAX, "more than 10,000")
    assert f"LIMIT {COUNTED_MAX + 1}" in asked[-1]["sql"]


def test_keys_of_a_span_hold_all_its_rows_and_cost_about_the_logarithm_of_the_table() -> None:
    trades = CopyTradeFactory.create_batch(12)
    for hour, trade in enumerate(trades):
        CopyTrade.objects.filter(pk=trade.pk).update(decided_at=BEGINNING.replace(hour=hour))
    with CaptureQueriesContext(connection) as asked:
        keys = keys_between(CopyTrade, "decided_at", BEGINNING.replace(hour=4), BEGINNING.replace(hour=6))
    assert keys.first <= trades[4].pk
    assert keys.last >= trades[5].pk
    assert len(asked) < 30


@pytest.mark.parametrize(
    ("name", "since", "until"),
    [
        ("hour", timedelta(hours=-1), None),
        ("24h", timedelta(days=-1), None),
        ("today", timedelta(hours=-12), timedelta(hours=12)),
        ("3 days ago", timedelta(days=-3, hours=-12), timedelta(days=-2, hours=-12)),
    ],
)
def test_choice_of_the_time_filter_stands_for_a_span(name: str, since: timedelta, until: timedelta | None) -> None:
    noon = BEGINNING.replace(hour=12, minute=0, second=0, microsecond=0)
    assert span_of(name, noon) == (noon + since, until and noon + until)


def test_copies_are_found_by_when_they_were_decided(admin_client: Client) -> None:
    now = database_now()
    old, new = CopyTradeFactory(decided_at=now - timedelta(days=400)), CopyTradeFactory(decided_at=now)
    assert "1 copy trade" in read(admin_client, CopyTrade, decided="hour")
    assert f">{new.pk}<" in read(admin_client, CopyTrade, decided="24h")
    assert f">{old.pk}<" in read(admin_client, CopyTrade, decided="nonsense")


def scans(sql: str, *models: type[Model]) -> bool:
    """Whether Postgres would read a whole table of these models to answer."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {sql}")
        return _scanned(cursor.fetchone()[0][0]["Plan"], {model._meta.db_table for model in models})


def _scanned(plan: dict[str, Any], tables: set[str]) -> bool:
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in tables:
        return True
    return any(_scanned(each, tables) for each in plan.get("Plans", []))
