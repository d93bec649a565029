"""The admin in headless Chromium: readable at phone width, in light and dark, and nothing is fetched from elsewhere."""

from collections.abc import Callable, Iterator

import pytest
from django.contrib.auth.models import Group, User
from django.urls import reverse
from selenium import webdriver

from copytrading.models import CopyConfig, CopyTrade
from tests.admin.pages import address
from tests.dashboard.webserver import WebServer
from tests.factories import CopyTradeFactory

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
    yield address(Group, "change", Group.objects.get(name="Operator").pk)
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


def right_edge(driver: webdriver.Chrome, selector: str) -> float:
    """How far right the furthest of these elements reaches, in pixels of the screen."""
    script = """
        const rights = [...document.querySelectorAll(arguments[0])].map(each => each.getBoundingClientRect().right);
        return Math.max(...rights)"""
    edge = driver.execute_script(script, selector)
    assert edge, f"no {selector}"
    return float(edge)


def test_reasons_and_chooser_of_permissions_are_whole_on_a_laptop(
    server: WebServer, signed_in: webdriver.Chrome
) -> None:
    show(signed_in, width=1280, scheme="light")
    signed_in.get(server.url + address(CopyTrade, "changelist"))
    assert right_edge(signed_in, "#result_list .why") <= 1280
    signed_in.get(server.url + address(Group, "change", Group.objects.get(name="Operator").pk))
    assert right_edge(signed_in, ".selector, .selector select") <= 1280


def test_number_of_the_current_page_is_light_on_dark(server: WebServer, signed_in: webdriver.Chrome) -> None:
    CopyTradeFactory.create_batch(60, config=CopyConfig.objects.order_by("pk")[0])
    show(signed_in, width=1280, scheme="dark")
    signed_in.get(server.url + address(CopyTrade, "changelist"))
    script = """
        const spans = [...document.querySelectorAll("span")];
        const number = spans.find(each => each.className === "font-medium text-primary-600");
        return getComputedStyle(number).color"""
    assert signed_in.execute_script(script) == "rgb(63, 199, 181)"
