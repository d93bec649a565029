"""Which copies are measured: the newest of a window, of one person, of one config, or of everybody."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from copytrading.models import CopyConfig, CopyTrade
from copytrading.quality import queries
from copytrading.quality.queries import copies_in, looked_at, looked_at_config, table
from copytrading.quality.summaries import quality_of
from copytrading.states import Status
from ledger.sql import database_now
from ledger.units import ONE
from tests.admin.seeding import seed_copies
from tests.admin.test_speed import scans
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, SignalFactory, trade_in

pytest_plugins = ("tests.cast",)
pytestmark = [
    pytest.mark.django_db,
    # whitenoise, before the first `collectstatic`
    pytest.mark.filterwarnings("ignore:No directory at:UserWarning"),
]


def executed(config: CopyConfig, *, made_of: dict[str, Any] | None = None, **fields: Any) -> CopyTrade:
    trade = trade_in(Status.EXECUTED, config=config, **(made_of or {}))
    if fields:
        CopyTrade.objects.filter(pk=trade.pk).update(**fields)
    return trade


def test_rows_become_figures(fay_config: CopyConfig) -> None:
    executed(
        fay_config,
        made_of={"signal": SignalFactory(group__leader=fay_config.leader, traded_at=BEGINNING - timedelta(seconds=2))},
        fill_size_micros=60 * ONE,
        fill_cost_micros=30_600_000,
        fill_price_micros=510_000,
        fee_micros=306_000,
        submitted_at=BEGINNING + timedelta(milliseconds=8),
        answered_at=BEGINNING + timedelta(milliseconds=20),
        executed_at=BEGINNING + timedelta(milliseconds=90),
    )
    CopyTradeFactory(config=fay_config)
    found = quality_of(looked_at(CopyTrade.objects.filter(follower=fay_config.follower)).copies)
    assert (found.copies, found.fills, found.fill_ratio_bps) == (2, 1, 6_000)
    assert (found.slippage_bps.weighted, found.fee_bps.weighted) == (200, 100)
    delays = {each.stage: each.median for each in found.delays}
    assert (delays["source"], delays["venue"], delays["settlement"]) == (2_000, 12, 70)
    assert found.missed == (("BELOW_MINIMUM", 1),)


def test_window_is_by_when_copies_were_decided(fay_config: CopyConfig) -> None:
    for days in (40, 20, 3, 0):
        CopyTradeFactory(config=fay_config, decided_at=BEGINNING - timedelta(days=days, hours=1))
    rows = CopyTrade.objects.all()
    assert {window: copies_in(rows, window=window, now=BEGINNING).count() for window in queries.WINDOWS} == {
        "24h": 1, "7d": 2, "30d": 3, "all": 4,
    }  # fmt: skip


def test_config_has_its_own_copies_and_no_others(fay_config: CopyConfig, fred_config: CopyConfig) -> None:
    for config in (fay_config, fred_config, fred_config):
        CopyTradeFactory(config=config)
    counts = [
        len(looked_at_config(config.pk, window="all", now=BEGINNING).copies) for config in (fay_config, fred_config)
    ]
    assert counts == [1, 2]


def test_window_of_a_config_is_by_when_its_signals_were_heard(fay_config: CopyConfig) -> None:
    for days in (3, 0):
        heard = BEGINNING - timedelta(days=days, hours=1)
        CopyTradeFactory(config=fay_config, signal=SignalFactory(group__leader=fay_config.leader, detected_at=heard))
    assert len(looked_at_config(fay_config.pk, window="24h", now=BEGINNING).copies) == 1
    assert len(looked_at_config(fay_config.pk, window="7d", now=BEGINNING).copies) == 2


def test_only_the_newest_are_looked_at(fay_config: CopyConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "COPIES_MAX", 2)
    monkeypatch.setattr(queries, "TABLE_COPIES_MAX", 2)
    for reason in ("OLD", "NEW", "NEW"):
        CopyTradeFactory(config=fay_config, reasons=[{"reason": reason}])
    by_person = looked_at(CopyTrade.objects.all())
    by_config = looked_at_config(fay_config.pk, window="all", now=BEGINNING)
    for found in (by_person, by_config):
        assert found.cut
        assert quality_of(found.copies).missed == (("NEW", 2),)
    everybody = table(window="all", now=BEGINNING)
    assert (everybody.cut, everybody.looked_at, everybody.everybody.missed) == (True, 2, (("NEW", 2),))


def test_table_ranks_leaders_and_followers_by_their_copies(fay_config: CopyConfig, fred_config: CopyConfig) -> None:
    executed(fay_config, fill_price_micros=510_000, fill_cost_micros=51 * ONE)
    for config in (fay_config, fred_config):
        CopyTradeFactory(config=config)
    other = CopyTradeFactory()
    found = table(window="all", now=BEGINNING)
    assert [(each.name, each.quality.copies) for each in found.leaders] == [("Lena", 3), (str(other.leader), 1)]
    assert [each.name for each in found.followers] == ["Fay", "Fred", str(other.follower)]
    assert found.followers[0].quality.slippage_bps.weighted == 200
    assert (found.everybody.copies, found.looked_at, found.cut) == (4, 4, False)


def test_table_holds_only_so_many_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PEOPLE_MAX", 2)
    for _number in range(3):
        CopyTradeFactory()
    found = table(window="all", now=BEGINNING)
    assert (len(found.leaders), len(found.followers), found.looked_at) == (2, 2, 3)


def test_table_asks_as_often_for_many_as_for_few(fay_config: CopyConfig) -> None:
    CopyTradeFactory(config=fay_config)
    with CaptureQueriesContext(connection) as few:
        table(window="all", now=BEGINNING)
    for _number in range(20):
        CopyTradeFactory()
    with CaptureQueriesContext(connection) as many:
        table(window="all", now=BEGINNING)
    assert len(few) == len(many) == 3


@pytest.mark.postgres
@pytest.mark.parametrize("window", queries.WINDOWS)
def test_nothing_that_is_measured_scans_the_copies(window: str) -> None:
    seed_copies(50_000)
    config, now = CopyConfig.objects.order_by("pk")[7], database_now()
    with CaptureQueriesContext(connection) as asked:
        by_config = looked_at_config(config.pk, window=window, now=now)
        by_person = looked_at(copies_in(CopyTrade.objects.filter(leader=config.leader), window=window, now=now))
        everybody = table(window=window, now=now)
    assert len(by_config.copies) > 0 and len(by_person.copies) > 0 and everybody.looked_at > 0
    told = [query["sql"] for query in asked]
    assert [sql for sql in told if scans(sql, CopyTrade)] == []


def quality_page(client: Client, config_id: int, **query: str) -> str:
    response = client.get(reverse("admin:copytrading_copyconfig_quality", args=[config_id]), query)
    assert response.status_code == 200
    return str(response.content.decode())


def test_page_of_a_config_shows_its_quality_in_peoples_units(admin_client: Client, fay_config: CopyConfig) -> None:
    executed(fay_config, fill_size_micros=60 * ONE, fill_price_micros=510_000, fill_cost_micros=30_600_000)
    CopyTradeFactory(config=fay_config)
    page = quality_page(admin_client, fay_config.pk, window="all")
    for text in (
        "Fay after Lena",
        "200 bps",
        "0.51",
        ">60 %<",
        "The copy would have been smaller than the venue takes.",
    ):
        assert text in page
    assert "micros" not in page


def test_page_of_a_config_without_copies_says_so(admin_client: Client, fay_config: CopyConfig) -> None:
    page = quality_page(admin_client, fay_config.pk, window="nonsense")
    assert "No fills in the last 24 hours." in page
    assert "No orders were sent in the last 24 hours." in page


def test_page_of_a_config_leads_to_its_quality(admin_client: Client, fay_config: CopyConfig) -> None:
    page = admin_client.get(reverse("admin:copytrading_copyconfig_change", args=[fay_config.pk])).content.decode()
    assert 'href="../quality/"' in page


def test_quality_of_no_config_is_not_found(admin_client: Client) -> None:
    assert admin_client.get(reverse("admin:copytrading_copyconfig_quality", args=[999_999])).status_code == 404


@pytest.mark.parametrize("who", ["follower", "leader"])
def test_stories_show_prices_fees_delays_and_the_fill_ratio(
    admin_client: Client, fay_config: CopyConfig, who: str
) -> None:
    moments = {"submitted_at": BEGINNING, "answered_at": BEGINNING + timedelta(milliseconds=1_234)}
    executed(
        fay_config, side="SELL", fill_price_micros=490_000, fill_cost_micros=49 * ONE, fee_micros=49_000, **moments
    )
    url = reverse(f"admin:copytrading_{who}_story", args=[getattr(fay_config, f"{who}_id")])
    page = admin_client.get(url, {"window": "all"}).content.decode()
    for text in ("SELL", "200 bps", "10 bps", "1,234", ">100 %<", "Delay by stage"):
        assert text in page
