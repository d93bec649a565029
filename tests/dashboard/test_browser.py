"""The page in headless Chromium: it moves, says when it stands still, comes back, and never runs what it shows."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission, User
from selenium.webdriver.common.by import By

from copytrading.dashboard.queries import EVENTS_MAX
from copytrading.models import CopyTrade, DashboardEvent, DashboardSequence, Follower
from copytrading.operations.leases import acquire
from copytrading.states import Status
from guardrails.models import Breaker, Switch
from guardrails.operations import set_switch
from guardrails.queries import switches
from tests.dashboard.events import tick
from tests.dashboard.screen import NEVER_MS, Screen
from tests.dashboard.webserver import WebServer
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, MarketFactory, columns_of, trade_in

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.browser


def told(trade: CopyTrade, **fields: object) -> CopyTrade:
    """The engine says that this copy was written or moved."""
    tick(newest=[trade.pk], **fields)
    return trade


def test_numbers_change_after_an_event_is_written(open_screen: Screen, tmp_path: Path) -> None:
    open_screen.shows("executed", "2,345")
    told(trade_in(Status.EXECUTED), totals={"signals": 1_003, "copies": {"EXECUTED": 2_355}}, queue=5)
    open_screen.shows("executed", "2,355")
    open_screen.shows("queue", "5")
    open_screen.shows("newest", "Filled at 0.5")
    picture = tmp_path / "dashboard.png"
    assert open_screen.driver.save_screenshot(str(picture))
    assert picture.stat().st_size > 20_000


def test_market_title_is_shown_as_text(open_screen: Screen) -> None:
    title = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    trade = CopyTradeFactory(config__follower__name="<b>Fay</b>", reasons=[{"reason": "<i>NO_FILL</i>"}])
    MarketFactory(condition_id=trade.condition_id, title=title)
    told(trade)
    open_screen.shows("newest", title)
    open_screen.shows("newest", "<b>Fay</b>")
    open_screen.find(".opener").click()
    open_screen.shows("story-market", title)
    selector = ":is(#newest, #story) :is(img, script, i)"
    assert open_screen.driver.find_elements(By.CSS_SELECTOR, selector) == []
    assert "owned" not in open_screen.driver.title


def test_skipped_copy_says_why(open_screen: Screen) -> None:
    below = {"reason": "BELOW_MINIMUM", "value": 3_200_000, "limit": 5_000_000, "unit": "shares"}
    odds = {"reason": "MAX_ODDS", "value": 970_000, "limit": 950_000, "unit": "price"}
    told(CopyTradeFactory(reasons=[below, odds]))
    open_screen.shows("newest", "Below minimum (value 3.2, limit 5); Max odds (value 0.97, limit 0.95)")


def test_orders_that_are_being_asked_about_are_counted_and_lead_to_their_list(open_screen: Screen) -> None:
    open_screen.shows("waiting", "None: every order has its answer.")
    for trade in (trade_in(Status.UNKNOWN), trade_in(Status.UNKNOWN), trade_in(Status.MATCHED)):
        told(trade)
    open_screen.shows("waiting", "2 orders are being asked about")
    open_screen.shows("waiting", "the oldest for")
    open_screen.shows("waiting", "1 matched order waits for its confirmation")
    link = open_screen.find("#waiting a")
    assert str(link.get_attribute("href")).endswith("/admin/copytrading/copytrade/?status__exact=UNKNOWN")
    assert open_screen.find("#waiting .chip").text == "No answer"
    assert "skipped" in str(open_screen.find("#waiting .chip").get_attribute("class"))


def test_copy_that_moves_keeps_one_row(open_screen: Screen) -> None:
    trade = told(trade_in(Status.PENDING))
    open_screen.shows("newest", "waiting for the answer")
    CopyTrade.objects.filter(pk=trade.pk).update(**columns_of(Status.EXECUTED))
    told(trade)
    open_screen.wait(lambda: "waiting for the answer" not in open_screen.text("newest"))
    assert len(open_screen.driver.find_elements(By.CSS_SELECTOR, "#newest tr")) == 1


def test_copy_that_moves_unnamed_is_shown_too(open_screen: Screen) -> None:
    trade = told(trade_in(Status.PENDING))
    open_screen.shows("newest", "waiting for the answer")
    CopyTrade.objects.filter(pk=trade.pk).update(**columns_of(Status.EXECUTED))
    tick()
    open_screen.shows("newest", "Filled at 0.5")


def test_held_list_stands_still_until_released(open_screen: Screen) -> None:
    open_screen.press("hold")
    told(CopyTradeFactory(config__follower__name="Fay"), queue=77)
    open_screen.shows("queue", "77")
    assert open_screen.text("newest") == ""
    open_screen.press("hold")
    open_screen.shows("newest", "Fay")


def test_list_stands_still_while_somebody_is_in_it(open_screen: Screen) -> None:
    told(CopyTradeFactory(config__follower__name="Fay"))
    open_screen.driver.execute_script("arguments[0].focus()", open_screen.find(".opener"))
    told(CopyTradeFactory(config__follower__name="Fred"), queue=77)
    open_screen.shows("queue", "77")
    open_screen.shows("hold", "Held while you are in it")
    assert "Fred" not in open_screen.text("newest")
    open_screen.driver.execute_script("document.activeElement.blur()")
    open_screen.shows("newest", "Fred")


def test_pause_button_pauses_and_resumes(open_screen: Screen) -> None:
    open_screen.driver.find_element(By.ID, "why").send_keys("Odd fills")
    open_screen.press("switch-button")
    open_screen.shows("trading", "Copying is paused")
    open_screen.shows("trading-detail", "By olga")
    assert switches().global_pause
    assert Switch.objects.get().why == "Odd fills"
    open_screen.press("switch-button")
    open_screen.shows("switch-button", "Pause all copying")
    assert not switches().global_pause


def test_account_that_may_not_resume_is_told_so(open_screen: Screen, operator: User) -> None:
    operator.user_permissions.remove(Permission.objects.get(codename="resume_everything"))
    open_screen.driver.refresh()
    open_screen.press("switch-button")
    open_screen.shows("command", "Your account may pause, but not resume")
    assert not open_screen.find("#switch-button").is_displayed()


def test_pause_by_somebody_else_is_shown(open_screen: Screen) -> None:
    set_switch(kind="PAUSE", scope="GLOBAL", key="", on=True, who="rita", why="", now=BEGINNING)
    tick(paused=True)
    open_screen.shows("trading-detail", "By rita")


def test_shard_and_its_heartbeat_are_shown(open_screen: Screen) -> None:
    acquire(shard=0, of=1, holder="trader-1:4242", ttl_s=60)
    open_screen.set(statusMs=100)
    open_screen.shows("shards", "trader-1:4242, term 1")
    open_screen.shows("trading", "Copying")


def test_shard_without_a_heartbeat_is_marked_in_words(open_screen: Screen) -> None:
    acquire(shard=0, of=1, holder="trader-1:4242", ttl_s=-1)
    open_screen.set(statusMs=100)
    open_screen.shows("shards", "Heartbeat lost")
    open_screen.shows("trading", "No engine is running")
    open_screen.shows("setup", "manage.py runsupervisor --shard 0/1")


def test_open_breaker_is_shown(open_screen: Screen) -> None:
    columns = {"kind": "FAILURE_RATE", "scope": "VENUE", "key": "clob", "why": "9 of 10 failed"}
    Breaker.objects.create(**columns, state="OPEN", opened_at=BEGINNING, probe_at=BEGINNING + timedelta(days=36_500))
    open_screen.set(statusMs=100)
    open_screen.shows("breakers", "Failure rate: venue clob")
    open_screen.shows("breakers", "9 of 10 failed")
    open_screen.shows("breakers", "tries again in")


def test_newcomer_is_told_the_command(screen: Screen, operator: User, session_of: Callable[[User], str]) -> None:
    assert not Follower.objects.exists()
    screen.open(session_of(operator))
    screen.shows("setup", "manage.py follow")


def test_title_shows_the_state(open_screen: Screen) -> None:
    acquire(shard=0, of=1, holder="trader-1:4242", ttl_s=60)
    open_screen.set(statusMs=100)
    open_screen.wait(lambda: open_screen.driver.title == "Copying · Slipstream")
    open_screen.set(staleMs=100)
    open_screen.wait(lambda: open_screen.driver.title == "Stale · Slipstream")


def test_silent_engine_makes_the_page_stale_and_news_make_it_live(open_screen: Screen) -> None:
    open_screen.set(staleMs=100)
    open_screen.shows("notice", "No news from the engine. Since")
    assert "No news from the engine. Since" in open_screen.text("spoken")
    open_screen.set(staleMs=NEVER_MS)
    tick()
    open_screen.shows("link-text", "Live")
    assert open_screen.text("spoken") == "The figures are live again."
    assert not open_screen.driver.find_element(By.ID, "notice").is_displayed()


def test_engine_that_never_reported_is_said_so(
    screen: Screen, operator: User, session_of: Callable[[User], str]
) -> None:
    screen.open(session_of(operator))
    screen.shows("notice", "The engine has not reported yet.")


def test_page_reconnects_by_itself_after_the_server_was_gone(open_screen: Screen, server: WebServer) -> None:
    open_screen.set(fetchMsMax=300, pollMs=100, retryMsMax=400)
    server.stop()
    open_screen.shows("notice", "The server does not answer. Since")
    tick(totals={"signals": 1, "copies": {"EXECUTED": 9_876}})
    server.start()
    open_screen.set(fetchMsMax=10_000)
    open_screen.shows("link-text", "Live")
    open_screen.shows("executed", "9,876")


def test_page_reconnects_by_itself_after_its_address_was_gone(open_screen: Screen, server: WebServer) -> None:
    open_screen.set(fetchMsMax=2_000, pollMs=100, retryMsMax=400)
    open_screen.driver.execute_script("window.neverReloaded = true")
    server.vanish()
    open_screen.shows("link-text", "Reconnecting")
    open_screen.wait(lambda: open_screen.driver.title == "Reconnecting · Slipstream")
    tick(totals={"signals": 1, "copies": {"EXECUTED": 8_765}})
    server.start()
    open_screen.shows("link-text", "Live")
    open_screen.shows("executed", "8,765")
    assert open_screen.driver.execute_script("return window.neverReloaded")


def test_page_begins_anew_after_the_database_was_restored(open_screen: Screen) -> None:
    for _ in range(5):
        tick(queue=55)
    open_screen.shows("queue", "55")
    DashboardEvent.objects.all().delete()
    DashboardSequence.objects.all().delete()
    tick(totals={"signals": 1, "copies": {"EXECUTED": 4_321}})
    open_screen.shows("executed", "4,321")


def test_page_that_is_far_behind_begins_anew(open_screen: Screen, server: WebServer) -> None:
    open_screen.driver.execute_script("document.body.dataset.pollMs = document.body.dataset.quietPollMs = 1e9")
    for _ in range(EVENTS_MAX + 10):
        tick(totals={"signals": 1, "copies": {"EXECUTED": 5_432}})
    open_screen.shows("executed", "5,432")


def test_signed_out_page_says_so(open_screen: Screen, operator: User) -> None:
    User.objects.filter(pk=operator.pk).update(is_staff=False)
    tick()
    open_screen.shows("notice", "You are signed out, or may no longer look. Since")
    assert open_screen.driver.find_element(By.ID, "sign-in").is_displayed()
