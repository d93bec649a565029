"""The table of sources in headless Chromium: figures, words, several shards, a phone, a screen reader."""

from pathlib import Path

import pytest
from selenium.webdriver.common.by import By

from copytrading.operations.events import publish
from copytrading.operations.leases import acquire
from tests.dashboard.events import payload, source, tick
from tests.dashboard.screen import Screen

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.browser

STREAM = source(
    "activity-trades", received=123_456, foreign=123_000, accepted=400, late=3, duplicate=12, first=300, increases=5,
    undecodable=2, missed=7, gaps=1_500,
)  # fmt: skip
POLLS = source("data-api", lag_ms=5_500, received=900, accepted=390, first=60, overcounts=1)
CHAIN = source("chain-logs", fresh_ms=None, first=40, accepted=40)
QUIET = source("market-events", fresh_ms=900_000)
ALL_SOURCES = [CHAIN, STREAM, source("activity-orders-matched"), POLLS, source("mempool"), QUIET]
NO_FIGURE = "\N{EN DASH}"

READ = """
    const row = document.querySelector(`[data-source="${arguments[0]}"]`);
    const heads = [...document.querySelectorAll("section.sources thead th")].map((each) => each.textContent);
    return Object.fromEntries([...row.cells].slice(1).map((cell, index) => [heads[index + 1], cell.textContent]))
"""


def row(screen: Screen, name: str) -> dict[str, str]:
    """The cells of a source by their heading."""
    screen.find(f'[data-source="{name}"]')
    cells = screen.driver.execute_script(READ, name)
    assert isinstance(cells, dict)
    return cells


def title(screen: Screen, name: str) -> str:
    return screen.find(f'[data-source="{name}"] th').text.replace("\n", " ")


def test_page_says_that_nobody_is_heard_when_there_is_no_live_source(open_screen: Screen) -> None:
    open_screen.shows("no-sources", "Nobody is heard: no live source.")
    assert not open_screen.find("#sources-scroll").is_displayed()


def test_source_is_shown_with_its_counts_its_share_and_its_lag(open_screen: Screen) -> None:
    tick(sources=[STREAM, POLLS, CHAIN])
    assert row(open_screen, "activity-trades") == {
        "First": "75 %",
        "Received": "123,456",
        "Accepted": "400",
        "Late": "3",
        "Duplicate": "12",
        "Increases": "5",
        "Overcounts": "0",
        "Undecodable": "2",
        "Missed": "7",
        "Gaps": "1,500",
        "Lag p50": "2,000 ms",
        "Lag p95": "4,000 ms",
    }
    assert row(open_screen, "data-api")["Overcounts"] == "1"
    assert not open_screen.find("#no-sources").is_displayed()


def test_sources_have_peoples_names_in_one_order(open_screen: Screen) -> None:
    tick(sources=[source("a-new-one"), *ALL_SOURCES])
    open_screen.find('[data-source="a-new-one"]')
    names = [each.text for each in open_screen.driver.find_elements(By.CSS_SELECTOR, "#sources .title")]
    assert names == [
        *("Stream: trades", "Stream: matched orders", "Polls", "Chain logs", "Mempool", "Market events"),
        "a-new-one",
    ]


def test_silence_is_told_in_words(open_screen: Screen) -> None:
    silent = source("activity-trades", fresh_ms=95_000)
    tick(sources=[silent, source("data-api"), CHAIN])
    open_screen.wait(lambda: title(open_screen, "activity-trades").startswith("Stream: trades Silent for 1 min"))
    assert title(open_screen, "data-api").startswith("Polls Fresh heard")
    assert title(open_screen, "chain-logs") == "Chain logs Nothing yet"


def test_source_that_was_never_first_and_heard_nothing_shows_no_figures_of_it(open_screen: Screen) -> None:
    tick(sources=[source("data-api", received=3)])
    cells = row(open_screen, "data-api")
    assert (cells["First"], cells["Lag p50"], cells["Received"]) == (NO_FIGURE, NO_FIGURE, "3")


def test_shards_add_up_and_the_worst_lag_stays(open_screen: Screen) -> None:
    tick(shard="0/2", sources=[source("data-api", accepted=10, first=1, lag_ms=700)])
    tick(shard="1/2", sources=[source("data-api", accepted=5, first=2, lag_ms=900), CHAIN])
    open_screen.wait(lambda: row(open_screen, "data-api")["Accepted"] == "15")
    assert (row(open_screen, "data-api")["Lag p50"], row(open_screen, "data-api")["First"]) == ("900 ms", "7 %")
    tick(shard="1/2", sources=[source("data-api", accepted=6, lag_ms=800), CHAIN])
    open_screen.wait(lambda: row(open_screen, "data-api")["Accepted"] == "16")
    assert row(open_screen, "data-api")["Lag p50"] == "800 ms"


def test_event_that_does_not_tell_the_sources_leaves_what_was_told_before(open_screen: Screen) -> None:
    tick(sources=[STREAM])
    publish("tick", {name: told for name, told in payload(queue=77).items() if name != "sources"})
    open_screen.shows("queue", "77")
    assert row(open_screen, "activity-trades")["Accepted"] == "400"
    open_screen.driver.refresh()
    assert row(open_screen, "activity-trades")["Accepted"] == "400"


def test_trouble_of_a_shard_is_told_in_words(open_screen: Screen) -> None:
    acquire(shard=0, of=1, holder="trader-1:4242", ttl_s=60)
    open_screen.set(statusMs=100)
    tick(stream_degraded=1, shedding_level=2, queue_down=1, configs=100_000)
    open_screen.shows("shards", "Stream degraded: polling faster")
    open_screen.shows("shards", "Load is shed, step 2")
    open_screen.shows("shards", "Queue down: signals taken from the database")
    open_screen.shows("shards", "100,000 configs")
    tick(stream_degraded=0, shedding_level=0, queue_down=0)
    open_screen.wait(lambda: "Stream degraded" not in open_screen.text("shards"))


def test_table_is_one_for_screen_readers(open_screen: Screen) -> None:
    tick(sources=ALL_SOURCES)
    open_screen.find('[data-source="mempool"]')
    table = open_screen.find("section.sources table")
    assert table.accessible_name == "Sources since the engine started"
    heads = table.find_elements(By.CSS_SELECTOR, "thead th[scope=col]")
    assert [each.aria_role for each in heads] == ["columnheader"] * 13
    lines = table.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert [len(line.find_elements(By.CSS_SELECTOR, "th[scope=row], td")) for line in lines] == [13] * len(ALL_SOURCES)


def test_rows_stay_while_their_figures_change(open_screen: Screen) -> None:
    tick(sources=[STREAM])
    open_screen.find('[data-source="activity-trades"]')
    open_screen.driver.execute_script("window.line = document.querySelector('#sources tr')")
    tick(sources=[source("activity-trades", accepted=401)])
    open_screen.wait(lambda: row(open_screen, "activity-trades")["Accepted"] == "401")
    assert open_screen.driver.execute_script("return window.line === document.querySelector('#sources tr')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_sources_fit_a_phone_and_keep_their_headings(open_screen: Screen, tmp_path: Path, scheme: str) -> None:
    acquire(shard=0, of=1, holder="trader-1:4242", ttl_s=60)
    huge = dict.fromkeys(("received", "accepted", "late", "duplicate", "undecodable", "first"), 123_456_789)
    with open_screen.phone(scheme=scheme):
        open_screen.set(statusMs=100)
        tick(
            sources=[*ALL_SOURCES, source("a-source-with-a-name-that-is-far-too-long-for-a-phone", **huge)],
            queue_down=1,
        )
        open_screen.find('[data-source^="a-source"]')
        open_screen.shows("shards", "Queue down")
        fits = "return [document.documentElement.scrollWidth, innerWidth]"
        assert open_screen.driver.execute_script(fits) == [390, 390]
        inside = "const all = document.getElementById('sources-scroll'); return all.scrollWidth <= all.clientWidth"
        assert open_screen.driver.execute_script(inside)
        first = open_screen.find("#sources td")
        script = "return getComputedStyle(arguments[0], '::before').content"
        assert open_screen.driver.execute_script(script, first).startswith('"First')
        open_screen.driver.execute_script("document.querySelector('section.sources').scrollIntoView()")
        assert open_screen.driver.save_screenshot(str(tmp_path / f"sources-{scheme}.png"))
