"""The admin in headless Chromium: readable at phone width, in light and dark, and nothing is fetched from elsewhere."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import User
from django.urls import reverse
from selenium import webdriver

from copytrading.models import CopyConfig, CopyTrade
from tests.admin.pages import address
from tests.dashboard.webserver import WebServer

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.browser

PHONE = 390


@pytest.fixture
def signed_in(
    server: WebServer, driver: webdriver.Chrome, world: None, admin_user: User, session_of: Callable[[User], str]
) -> Iterator[webdriver.Chrome]:
    """A browser of somebody who may everything, with a row of every model to look at."""
    driver.get(f"{server.url}/healthz")
    driver.delete_all_cookies()
    driver.add_cookie({"name": "sessionid", "value": session_of(admin_user)})
    yield driver
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.get("about:blank")


def show(driver: webdriver.Chrome, *, width: int, scheme: str) -> None:
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == PHONE}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme_of = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme_of]})


def pages() -> Iterator[str]:
    trade, config = CopyTrade.objects.order_by("pk").first(), CopyConfig.objects.order_by("pk").first()
    assert trade is not None
    assert config is not None
    yield reverse("admin:index")
    yield address(CopyTrade, "changelist")
    yield address(CopyTrade, "change", trade.pk)
    yield address(CopyConfig, "changelist")
    yield address(CopyConfig, "change", config.pk)
    yield reverse("admin:copytrading_follower_story", args=[trade.follower_id]) + "?window=all"
    yield reverse("admin:copytrading_leader_story", args=[trade.leader_id]) + "?window=all"
    yield reverse("admin:copytrading_why") + f"?signal={trade.signal_id}&follower={trade.follower_id}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, 1280])
def test_no_page_is_wider_than_the_screen_or_fetches_from_elsewhere(
    server: WebServer, signed_in: webdriver.Chrome, width: int, scheme: str
) -> None:
    show(signed_in, width=width, scheme=scheme)
    for page in pages():
        signed_in.get(server.url + page)
        # Not innerWidth: a phone's grows with what overflows.
        assert signed_in.execute_script("return document.documentElement.scrollWidth") <= width, page
        fetched = signed_in.execute_script("return performance.getEntriesByType('resource').map(each => each.name)")
        assert fetched
        assert [url for url in fetched if not url.startswith((server.url, "data:"))] == [], page


@pytest.mark.parametrize(("scheme", "darker"), [("light", False), ("dark", True)])
def test_stories_follow_the_colours_of_the_system(
    server: WebServer, signed_in: webdriver.Chrome, scheme: str, darker: bool
) -> None:
    show(signed_in, width=1280, scheme=scheme)
    signed_in.get(server.url + next(page for page in pages() if "/story/" in page))
    script = "return getComputedStyle(document.querySelector('.story section')).backgroundColor"
    card = signed_in.execute_script(script)
    assert (card != "rgb(255, 255, 255)") is darker
