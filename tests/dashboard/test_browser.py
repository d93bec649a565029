"""The page in headless Chromium: it moves, says when it stands still, comes back, and never runs what it shows."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from copytrading.operations.leases import acquire
from guardrails.models import Switch
from guardrails.operations import set_switch
from guardrails.queries import switches
from tests.conftest import Chromium
from tests.dashboard.events import story, tick
from tests.dashboard.webserver import WebServer
from tests.doors import BEGINNING

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.browser

WAIT_SECONDS_MAX = 20
QUIET = ("disable-gpu", "disable-quic", "no-first-run", "disable-background-networking", "disable-component-update")
NEVER_MS = 10**9


class Screen:
    """The open dashboard."""

    def __init__(self, driver: webdriver.Chrome, url: str) -> None:
        self.driver, self._url = driver, url

    def open(self, session: str) -> None:
        """Load the page as whoever has this session; staleness is out of the way until a test wants it."""
        self.driver.get(f"{self._url}/healthz")
        self.driver.delete_all_cookies()
        self.driver.add_cookie({"name": "sessionid", "value": session})
        self.driver.get(f"{self._url}/")
        self.set(staleMs=NEVER_MS)

    def set(self, **milliseconds: int) -> None:
        """Change the page's thresholds."""
        for name, value in milliseconds.items():
            self.driver.execute_script("document.body.dataset[arguments[0]] = arguments[1]", name, value)

    def text(self, element: str) -> str:
        return self.driver.find_element(By.ID, element).text

    def wait(self, condition: Callable[[], Any]) -> None:
        WebDriverWait(self.driver, WAIT_SECONDS_MAX, poll_frequency=0.05).until(lambda _driver: condition())

    def shows(self, element: str, text: str) -> None:
        """Wait until this element has this text in it."""
        self.wait(lambda: text in self.text(element))

    def press(self, element: str) -> None:
        self.driver.find_element(By.ID, element).click()


@pytest.fixture(scope="module")
def driver(chromium: Chromium, tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(chromium.binary)
    for argument in (*QUIET, "headless", "no-sandbox", "disable-sync", "window-size=1280,1400"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('chromium')}")
    driver = webdriver.Chrome(options=options, service=Service(str(chromium.driver)))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def screen(server: WebServer, driver: webdriver.Chrome) -> Iterator[Screen]:
    yield Screen(driver, server.url)
    driver.get("about:blank")  # no page polls the next test's database


@pytest.fixture
def open_screen(screen: Screen, operator: User, session_of: Callable[[User], str]) -> Screen:
    """Olga's page, live."""
    tick()
    screen.open(session_of(operator))
    screen.shows("link-text", "Live")
    return screen


def test_numbers_change_after_an_event_is_written(open_screen: Screen, tmp_path: Path) -> None:
    open_screen.shows("executed", "2,345")
    tick(totals={"signals": 1_003, "copies": {"EXECUTED": 2_355}}, newest=[story(1)], queue=5)
    open_screen.shows("executed", "2,355")
    open_screen.shows("queue", "5")
    open_screen.shows("newest", "Filled at 0.5")
    picture = tmp_path / "dashboard.png"
    assert open_screen.driver.save_screenshot(str(picture))
    assert picture.stat().st_size > 20_000


def test_market_title_is_shown_as_text(open_screen: Screen) -> None:
    title = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    tick(newest=[story(1, market=title, follower="<b>Fay</b>", status="SKIPPED", reasons=["<i>NO_FILL</i>"])])
    open_screen.shows("newest", title)
    open_screen.shows("newest", "<b>Fay</b>")
    assert open_screen.driver.find_elements(By.CSS_SELECTOR, "#newest img, #newest script, #newest i") == []
    assert open_screen.driver.title == "Dashboard · Slipstream"


def test_skipped_copy_says_why(open_screen: Screen) -> None:
    reasons = ["BELOW_MINIMUM (value 3.2, limit 5)", "MAX_ODDS (value 0.97, limit 0.95)"]
    tick(newest=[story(1, status="SKIPPED", fill_size="0", reasons=reasons)])
    open_screen.shows("newest", "Below minimum (value 3.2, limit 5); Max odds (value 0.97, limit 0.95)")


def test_copy_that_moves_keeps_one_row(open_screen: Screen) -> None:
    tick(newest=[story(1, status="PENDING", fill_size="0"), story(2)])
    open_screen.shows("newest", "waiting for the answer")
    tick(newest=[story(1), story(2)])
    open_screen.wait(lambda: "waiting for the answer" not in open_screen.text("newest"))
    assert len(open_screen.driver.find_elements(By.CSS_SELECTOR, "#newest tr")) == 2


def test_held_list_stands_still_until_released(open_screen: Screen) -> None:
    open_screen.press("hold")
    tick(newest=[story(1)], queue=77)
    open_screen.shows("queue", "77")
    assert open_screen.text("newest") == ""
    open_screen.press("hold")
    open_screen.shows("newest", "Fay")


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


def test_pause_by_somebody_else_is_shown(open_screen: Screen) -> None:
    set_switch(kind="PAUSE", scope="GLOBAL", key="", on=True, who="rita", why="", now=BEGINNING)
    tick(paused=True)
    open_screen.shows("trading-detail", "By rita")


def test_shard_and_its_heartbeat_are_shown(open_screen: Screen) -> None:
    acquire(shard=0, of=1, holder="trader-1:4242", ttl_s=60)
    open_screen.set(statusMs=100)
    open_screen.shows("shards", "trader-1:4242, term 1")
    open_screen.shows("trading", "Copying")


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


def test_page_that_is_far_behind_begins_anew(open_screen: Screen, server: WebServer) -> None:
    open_screen.driver.execute_script("document.body.dataset.pollMs = document.body.dataset.quietPollMs = 1e9")
    for _ in range(110):
        tick(totals={"signals": 1, "copies": {"EXECUTED": 5_432}})
    open_screen.shows("executed", "5,432")


def test_signed_out_page_says_so(open_screen: Screen, operator: User) -> None:
    User.objects.filter(pk=operator.pk).update(is_staff=False)
    tick()
    open_screen.shows("notice", "You are signed out. Since")
    assert open_screen.driver.find_element(By.ID, "sign-in").is_displayed()


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(244, 246, 248)"), ("dark", "rgb(14, 19, 24)")])
def test_page_fits_a_phone_in_light_and_dark(open_screen: Screen, tmp_path: Path, scheme: str, ground: str) -> None:
    driver = open_screen.driver
    phone = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    try:
        tick(newest=[story(1, market="A very long title " * 12)])
        open_screen.shows("newest", "A very long title")
        assert driver.execute_script("return document.documentElement.scrollWidth") <= 390
        assert driver.execute_script("return getComputedStyle(document.body).backgroundColor") == ground
        assert driver.save_screenshot(str(tmp_path / f"phone-{scheme}.png"))
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
