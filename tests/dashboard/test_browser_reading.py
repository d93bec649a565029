"""The page read by eye, by keyboard and by screen reader: charts, stories, landmarks, phones, wishes."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from copytrading.metrics import CLASS_RATIO, Spread, percentile
from copytrading.operations.leases import acquire
from copytrading.states import Status
from guardrails.operations import set_switch
from tests.dashboard.events import tick
from tests.dashboard.screen import Screen
from tests.doors import BEGINNING
from tests.factories import CopyTradeFactory, MarketFactory, trade_in

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.browser

SAMPLES = [0.05, 0.4, 1.0, 3.0, 3.1, 9.0, 12.5, 40.0, 41.0, 900.0, 900.0, 15_000.0]


def told_by(screen: Screen, chart: str) -> str:
    return str(screen.find(f"#{chart} .plot").get_attribute("aria-valuetext"))


def test_rates_and_percentiles_are_drawn_and_told(open_screen: Screen) -> None:
    tick(copies={"EXECUTED": 30, "FAILED": 4})
    open_screen.wait(lambda: re.search("Executed [0-9].* copies per second", told_by(open_screen, "rates")))
    assert len(open_screen.driver.find_elements(By.CSS_SELECTOR, "#rates polygon.area")) == 3
    assert len(open_screen.driver.find_elements(By.CSS_SELECTOR, "#latency path.line")) == 3
    assert open_screen.find("#latency .tick").get_attribute("textContent") == "0"
    open_screen.wait(lambda: open_screen.text("p50") == "12")


def test_chart_has_its_figures_in_a_table_for_screen_readers(open_screen: Screen) -> None:
    table = open_screen.find("#latency table")

    def words() -> str:
        return str(table.get_attribute("textContent"))

    open_screen.wait(lambda: "p99" in words() and "39" in words())
    assert "Latency, milliseconds, in the last five minutes" in words()
    assert open_screen.find("#latency .plot svg").get_attribute("aria-hidden") == "true"


def test_chart_is_read_by_keyboard(open_screen: Screen) -> None:
    open_screen.wait(lambda: told_by(open_screen, "rates").startswith("now:"))
    plot = open_screen.find("#rates .plot")
    plot.send_keys(Keys.ARROW_LEFT)
    assert not told_by(open_screen, "rates").startswith("now")
    assert open_screen.find("#rates .cursor")
    plot.send_keys(Keys.HOME)
    assert plot.get_attribute("aria-valuenow") == "-298"
    plot.send_keys(Keys.ESCAPE)
    assert told_by(open_screen, "rates").startswith("now:")


def test_keyboard_leaves_a_chart_as_it_came(open_screen: Screen) -> None:
    open_screen.find("#rates .plot").send_keys(Keys.TAB)
    assert open_screen.focused() == open_screen.find("#latency .plot")


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 100])
def test_percentiles_of_the_page_are_those_of_the_engine(open_screen: Screen, percent: int) -> None:
    script = """
        const [spread, percent, done] = arguments;
        import("/static/dashboard/picture.js").then(({ percentile }) => done(percentile(spread, percent)));
    """
    shown = open_screen.driver.execute_async_script(script, Spread(SAMPLES).told(), percent)
    exact = max(0.1, percentile(SAMPLES, percent))
    assert 1 / CLASS_RATIO <= shown / exact <= CLASS_RATIO


def test_reasons_of_the_last_minutes_are_explained(open_screen: Screen) -> None:
    tick(skipped={"MAX_ODDS": 9}, totals={"signals": 1, "copies": {"SKIPPED": 59}, "skipped": {"MAX_ODDS": 59}})
    open_screen.shows("skip-reasons", "The price is above the highest at which the follower buys.")
    open_screen.wait(lambda: open_screen.find("#skip-reasons li").text.startswith("Max odds"))
    assert "59 in all" in open_screen.find("#skip-reasons li").text


def test_stages_are_told_with_their_percentiles(open_screen: Screen) -> None:
    open_screen.wait(lambda: "8.0" in open_screen.find("#stages tr[data-stage=prewrite]").text)


def test_bounds_stand_beside_queue_and_flight(open_screen: Screen) -> None:
    tick(queue=500, in_flight=100)
    open_screen.shows("queue-foot", "of at most 1,000 signals wait (50 %)")
    open_screen.shows("in-flight-foot", "of at most 2,000 orders under way (5 %)")
    open_screen.wait(
        lambda: "at most 1,000 allowed" in str(open_screen.find("#queue-spark").get_attribute("aria-label"))
    )


def test_shards_add_up(open_screen: Screen) -> None:
    tick(shard="0/2", queue=3, totals={"copies": {"EXECUTED": 10}})
    tick(shard="1/2", queue=4, totals={"copies": {"EXECUTED": 5}})
    open_screen.wait(lambda: int(open_screen.text("queue")) >= 7)


def test_story_opens_and_closes_by_keyboard(open_screen: Screen) -> None:
    trade = trade_in(Status.EXECUTED)
    tick(newest=[trade.pk])
    opener = open_screen.find(".opener")
    opener.send_keys(Keys.ENTER)
    open_screen.shows("story-steps", "Filled 100 shares")
    assert open_screen.focused() == open_screen.find("#story-close")
    link = str(open_screen.find("#story-admin").get_attribute("href"))
    assert link.endswith(f"/admin/copytrading/copytrade/{trade.pk}/change/")
    open_screen.focused().send_keys(Keys.ESCAPE)
    assert not open_screen.find("#story").is_displayed()
    assert open_screen.focused() == opener


def test_story_of_a_copy_that_is_gone_is_said_so(open_screen: Screen) -> None:
    trade = CopyTradeFactory()
    tick(newest=[trade.pk])
    opener = open_screen.find(".opener")
    trade.delete()
    opener.click()
    open_screen.shows("story-market", "not in the database any more")


def test_first_stop_of_the_keyboard_skips_to_the_copies(open_screen: Screen) -> None:
    open_screen.find("body").send_keys(Keys.TAB)
    assert open_screen.focused().text == "Skip to the newest copies"
    assert open_screen.focused().value_of_css_property("outline-style") == "solid"
    open_screen.focused().send_keys(Keys.ENTER)
    assert open_screen.focused().get_attribute("id") == "newest-heading"


def test_keyboard_walks_through_the_whole_page(open_screen: Screen) -> None:
    tick(newest=[CopyTradeFactory().pk])
    open_screen.find(".opener")
    open_screen.find("body").send_keys(Keys.TAB)
    seen = []
    while open_screen.focused().tag_name != "body" and len(seen) < 40:
        seen.append(open_screen.focused().get_attribute("class") or open_screen.focused().get_attribute("id"))
        open_screen.focused().send_keys(Keys.TAB)
    assert seen[0] == "skip"
    assert seen[-1] == "opener"
    assert {"why", "switch-button", "plot", "scroll"} <= set(seen)


def test_page_has_landmarks_and_every_card_a_heading(open_screen: Screen) -> None:
    for landmark in ("header", "nav[aria-label]", "main", "h1"):
        assert len(open_screen.driver.find_elements(By.CSS_SELECTOR, landmark)) == 1
    script = """
        return [...document.querySelectorAll("main section")].filter(
            (card) => !document.getElementById(card.getAttribute("aria-labelledby"))?.matches("h1, h2"),
        ).length
    """
    assert open_screen.driver.execute_script(script) == 0


def test_only_changes_of_state_are_spoken(open_screen: Screen) -> None:
    script = """
        window.spoken = [];
        const live = document.querySelectorAll("[aria-live], [role=status], [role=alert]");
        const watch = (node) => new MutationObserver(() => window.spoken.push(node.id));
        for (const node of live) watch(node).observe(node, { childList: true });
        return [...live].map((node) => node.id)
    """
    assert set(open_screen.driver.execute_script(script)) == {"spoken", "switch-error", "story-market"}
    tick(queue=5)
    tick(queue=6, newest=[CopyTradeFactory().pk])
    open_screen.shows("queue", "6")
    assert open_screen.driver.execute_script("return window.spoken") == []


def test_nothing_is_fetched_from_elsewhere(open_screen: Screen) -> None:
    script = "return performance.getEntriesByType('resource').map(({ name }) => new URL(name).origin)"
    origins = set(open_screen.driver.execute_script(script))
    assert origins == {open_screen.driver.execute_script("return location.origin")}


def test_page_raises_no_error(open_screen: Screen) -> None:
    open_screen.driver.get_log("browser")  # type: ignore[no-untyped-call]  # forgets those of other tests
    open_screen.driver.refresh()
    open_screen.shows("link-text", "Live")
    tick(newest=[trade_in(Status.EXECUTED).pk])
    open_screen.find(".opener")
    assert [entry for entry in open_screen.driver.get_log("browser") if entry["level"] == "SEVERE"] == []  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(244, 246, 248)"), ("dark", "rgb(14, 19, 24)")])
def test_page_fits_a_phone_in_light_and_dark(open_screen: Screen, tmp_path: Path, scheme: str, ground: str) -> None:
    trade = CopyTradeFactory(config__follower__name="F" * 60, config__leader__name="L" * 60)
    MarketFactory(condition_id=trade.condition_id, title="A very long title " * 12)
    acquire(shard=0, of=1, holder="a-machine-with-a-very-long-name.example.internal:4242", ttl_s=60)
    set_switch(kind="PAUSE", scope="MARKET", key="0x" + "c0" * 32, on=True, who="rita", why="x" * 200, now=BEGINNING)
    with open_screen.phone(scheme=scheme):
        tick(newest=[trade.pk], skipped={"LEADER_POSITION_UNKNOWN": 4_000_000})
        open_screen.shows("newest", "A very long title")
        open_screen.shows("switches", "rita")
        fits = "return [document.documentElement.scrollWidth, innerWidth]"
        assert open_screen.driver.execute_script(fits) == [390, 390]
        assert open_screen.computed("body", "backgroundColor") == ground
        open_screen.find(".opener").click()
        open_screen.shows("story-steps", "Decision")
        assert open_screen.driver.execute_script(fits) == [390, 390]
        assert open_screen.driver.save_screenshot(str(tmp_path / f"phone-{scheme}.png"))


def test_nothing_moves_for_who_wants_no_motion(
    open_screen: Screen, operator: User, session_of: Callable[[User], str]
) -> None:
    assert open_screen.computed(".dot", "animationName") == "breathe"
    with open_screen.phone(motion="reduce"):
        assert open_screen.computed(".dot", "animationName") == "none"
        assert open_screen.computed(".card", "transitionDuration") == "0s"


def test_waiting_grows_to_a_cap_and_is_never_the_same_for_all(open_screen: Screen) -> None:
    script = """
        const done = arguments[0];
        const setting = (name) => ({ retryMsMin: 500, retryMsMax: 15_000 })[name];
        import("/static/dashboard/link.js").then(({ Link }) => {
            const link = new Link({ urls: {}, hear: {}, setting });
            done([0, 1, 2, 5, 40].map((attempt) => Array.from({ length: 50 }, () => link.backoff(attempt))));
        });
    """
    for waits, longest in zip(
        open_screen.driver.execute_async_script(script), [500, 1_000, 2_000, 15_000, 15_000], strict=True
    ):
        assert longest / 2 <= min(waits) < max(waits) <= longest
