"""How well copies are made, as the page fetches it."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from copytrading.dashboard.quality import FRESH_MS, Missed, QualityTables
from copytrading.models import CopyConfig, CopyTrade
from copytrading.states import Status
from ledger.sql import database_now
from ledger.units import ONE
from tests.doors import BEGINNING, VirtualClock
from tests.factories import CopyTradeFactory, trade_in

pytest_plugins = ("tests.dashboard.desk",)
# whitenoise, before the first `collectstatic`
pytestmark = pytest.mark.filterwarnings("ignore:No directory at:UserWarning")


def executed(config: CopyConfig, **fields: Any) -> None:
    trade = trade_in(Status.EXECUTED, config=config)
    CopyTrade.objects.filter(pk=trade.pk).update(**fields)


@pytest.mark.django_db
def test_line_tells_prices_points_delays_and_misses(fay_config: CopyConfig) -> None:
    executed(
        fay_config,
        fill_price_micros=510_000,
        fill_cost_micros=51 * ONE,
        fee_micros=ONE // 2,
        submitted_at=BEGINNING + timedelta(milliseconds=8),
        answered_at=BEGINNING + timedelta(milliseconds=20),
    )
    CopyTradeFactory(config=fay_config)
    found = QualityTables(VirtualClock()).table("24h")
    (line,) = found.followers
    assert (line.name, line.copies, line.fills, line.missed) == ("Fay", 2, 1, 1)
    assert line.misses == (Missed(reason="BELOW_MINIMUM", count=1),)
    assert line.buys is not None
    assert (line.buys.leader_micros, line.buys.own_micros, line.sells) == (500_000, 510_000, None)
    assert (line.slippage_bps, line.fee_bps, line.fill_ratio_bps, line.delays_ms[5]) == (200, 98, 10_000, 12)
    assert line.url == reverse("admin:copytrading_follower_story", args=[fay_config.follower_id]) + "?window=24h"


@pytest.mark.django_db
def test_misses_are_told_by_reason_for_everybody_and_each_person(
    fay_config: CopyConfig, fred_config: CopyConfig
) -> None:
    odds, cash = {"reason": "MAX_ODDS"}, {"reason": "NOT_ENOUGH_CASH"}
    CopyTradeFactory(config=fay_config, reasons=[odds, cash])
    for _number in range(2):
        CopyTradeFactory(config=fred_config, reasons=[odds])
    found = QualityTables(VirtualClock()).table("24h")
    told = {
        line.name: (line.missed, [(each.reason, each.count) for each in line.misses])
        for line in (found.everybody, *found.leaders, *found.followers)
    }
    everything = (3, [("MAX_ODDS", 3), ("NOT_ENOUGH_CASH", 1)])
    assert told["Everybody"] == told["Lena"] == everything
    assert told["Fay"] == (1, [("MAX_ODDS", 1), ("NOT_ENOUGH_CASH", 1)])
    assert told["Fred"] == (2, [("MAX_ODDS", 2)])


@pytest.mark.django_db
def test_table_is_read_once_for_all_pages_and_anew_when_it_is_old(fay_config: CopyConfig) -> None:
    clock = VirtualClock()
    tables = QualityTables(clock)
    assert tables.table("7d").looked_at == 0
    CopyTradeFactory(config=fay_config)
    assert tables.table("7d").looked_at == 0
    assert tables.table("24h").looked_at == 1
    clock.advance(FRESH_MS / 1_000)
    assert tables.table("7d").looked_at == 1


@pytest.mark.parametrize("window", ["all", "", "1h"])
def test_window_that_is_not_offered_is_refused(
    transactional_db: None, client: Client, viewer: User, window: str
) -> None:
    client.force_login(viewer)
    answer = client.get(f"/dashboard/quality?window={window}")
    assert (answer.status_code, answer.json()) == (400, {"error": "`window` must be one of 24h, 7d, 30d."})


def test_answer_has_everything_that_the_page_shows(
    transactional_db: None, client: Client, viewer: User, fay_config: CopyConfig
) -> None:
    now = database_now()
    CopyTradeFactory(config=fay_config, decided_at=now)
    client.force_login(viewer)
    told = client.get("/dashboard/quality?window=30d").json()
    assert (told["window"], told["looked_at"], told["cut"], told["everybody"]["copies"]) == ("30d", 1, False, 1)
    assert [each["name"] for each in told["leaders"] + told["followers"]] == ["Lena", "Fay"]
    assert told["everybody"]["misses"] == [{"reason": "BELOW_MINIMUM", "count": 1}]
