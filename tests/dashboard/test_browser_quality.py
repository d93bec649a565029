"""The table of copy quality in headless Chromium: figures, choices, a phone, a screen reader, a server that fails."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import Select

from copytrading.models import CopyConfig, CopyTrade
from copytrading.states import Status
from ledger.sql import database_now
from ledger.units import ONE
from tests.dashboard.screen import Screen
from tests.factories import CopyTradeFactory, trade_in

pytest_plugins = ("tests.dashboard.desk",)
pytestmark = pytest.mark.browser

READ = """
    const rows = [...document.querySelectorAll("#quality tr")];
    const row = rows.find((each) => each.cells[0].textContent === arguments[0]);
    if (!row) return null;
    return Object.fromEntries([...row.cells].slice(1).map((cell) => [cell.dataset.label, cell.textContent]));
"""
NO_FIGURE = "\N{EN DASH}"
ASK_MS = 300
"""The server's process keeps what it read for an earlier test for a few seconds."""


@pytest.fixture
def copies(fay_config: CopyConfig) -> CopyConfig:
    """One buy of today that was filled, one that was skipped; one of ten days ago."""
    now = database_now()
    now = now.replace(microsecond=now.microsecond // 1_000 * 1_000)
    trade = trade_in(Status.EXECUTED, config=fay_config)
    moments: dict[str, Any] = {
        "detected_at": now,
        "decided_at": now,
        "order_timestamp_ms": round(now.timestamp() * 1_000),
        "prewritten_at": now + timedelta(milliseconds=3),
        "submitted_at": now + timedelta(milliseconds=8),
        "answered_at": now + timedelta(milliseconds=1_208),
        "executed_at": now + timedelta(seconds=3),
    }
    CopyTrade.objects.filter(pk=trade.pk).update(
        fill_price_micros=510_000, fill_size_micros=60 * ONE, fill_cost_micros=30_600_000, fee_micros=306_000, **moments
    )
    CopyTradeFactory(config=fay_config, decided_at=now)
    CopyTradeFactory(decided_at=now - timedelta(days=10))
    return fay_config


@pytest.fixture
def quality(copies: CopyConfig, open_screen: Screen) -> Screen:
    """The page with its table, once that shows this test's rows."""
    open_screen.set(qualityMs=ASK_MS)
    open_screen.find(f'#quality [href*="/leader/{copies.leader_id}/"]')
    return open_screen


def cells(screen: Screen, name: str) -> dict[str, str]:
    screen.wait(lambda: screen.driver.execute_script(READ, name))
    found = screen.driver.execute_script(READ, name)
    assert isinstance(found, dict)
    return found


def names(screen: Screen) -> list[str]:
    # In one question: the rows are replaced while one would ask each.
    found = screen.driver.execute_script("return [...document.querySelectorAll('#quality th')].map((e) => e.innerText)")
    assert isinstance(found, list)
    return found


def choose(screen: Screen, element: str, value: str) -> None:
    Select(screen.driver.find_element(By.ID, element)).select_by_value(value)


def test_leader_is_shown_with_prices_points_delays_and_misses(quality: Screen) -> None:
    found = cells(quality, "Lena")
    assert (found["Copies"], found["Bought"], found["Sold"]) == ("2", "0.50 → 0.51", NO_FIGURE)
    assert (found["Slippage"], found["Slippage p90"], found["Fee"]) == ("200 bps", "200 bps", "100 bps")
    assert found["Fill ratio"] == "60 %"
    assert [found[stage] for stage in ("Decide", "Prewrite", "Send", "Venue")] == ["0", "3", "5", "1,200"]
    assert found["Missed"] == "1"
    assert misses(quality) == ["Below minimum 1"]
    assert "Of 2 copies." in quality.text("quality-foot")


MISSES = """
    const line = document.querySelector("#quality tr[data-misses='0']");
    return [...line.querySelectorAll("li")].filter((each) => each.checkVisibility()).map((each) => each.textContent);
"""


def many_reasons(config: CopyConfig) -> None:
    """Skipped copies of today for six reasons, the first of them six times."""
    names = ("MAX_ODDS", "PRICE_DEVIATION", "NOT_ENOUGH_CASH", "NO_LIQUIDITY", "MARKET_CLOSED", "SIDE_FILTERED")
    for number in range(1, len(names) + 1):
        reasons = [{"reason": each} for each in names[:number]]
        CopyTradeFactory(config=config, decided_at=database_now(), reasons=reasons)


def test_misses_are_told_by_reason_the_rest_behind_a_line_that_stays_open(quality: Screen, copies: CopyConfig) -> None:
    many_reasons(copies)
    quality.wait(lambda: len(misses(quality)) == 4)
    assert misses(quality)[:2] == ["Max odds 6", "Price deviation 5"]
    summary = quality.find("#quality tr[data-misses='0'] summary")
    assert summary.text == "3 more reasons"
    summary.click()
    assert len(misses(quality)) == 7
    CopyTradeFactory(config=copies, decided_at=database_now(), reasons=[{"reason": "MAX_ODDS"}])
    quality.wait(lambda: "7" in misses(quality)[0])
    assert len(misses(quality)) == 7
    meaning = quality.find("#quality .misses li").get_attribute("title")
    assert meaning and meaning.endswith(".")


def misses(screen: Screen) -> list[str]:
    """The reasons that can be seen in the line of everybody."""
    found = screen.driver.execute_script(MISSES)
    assert isinstance(found, list)
    return found


def test_followers_and_longer_windows_are_chosen(quality: Screen) -> None:
    assert names(quality) == ["Everybody", "Lena"]
    choose(quality, "quality-who", "followers")
    quality.wait(lambda: names(quality) == ["Everybody", "Fay"])
    choose(quality, "quality-window", "30d")
    quality.wait(lambda: len(names(quality)) == 3)
    assert cells(quality, "Everybody")["Copies"] == "3"


def test_name_leads_to_the_page_of_the_person_in_the_same_window(quality: Screen, copies: CopyConfig) -> None:
    link = quality.find("#quality th a")
    assert str(link.get_attribute("href")).endswith(f"/leader/{copies.leader_id}/story/?window=24h")


def test_table_is_one_for_screen_readers(quality: Screen) -> None:
    table = quality.find("section.quality table")
    assert table.accessible_name == "Copy quality"
    heads = table.find_elements(By.CSS_SELECTOR, "thead th[scope=col]")
    assert [each.aria_role for each in heads] == ["columnheader"] * 16
    lines = table.find_elements(By.CSS_SELECTOR, "tbody tr[data-person]")
    assert [len(line.find_elements(By.CSS_SELECTOR, "th[scope=row], td")) for line in lines] == [16] * len(lines)
    lists = table.find_elements(By.CSS_SELECTOR, ".why-missed td > ul")
    assert [each.accessible_name for each in lists] == ["Missed by reason: Everybody", "Missed by reason: Lena"]
    labels = [quality.find(f"#{each}").accessible_name for each in ("quality-who", "quality-window")]
    assert labels == ["of", "in"]


def test_figures_that_cannot_be_read_are_said_to_be_old(quality: Screen) -> None:
    quality.driver.execute_script("window.fetch = () => Promise.reject(new Error('no route'))")
    choose(quality, "quality-window", "7d")
    quality.shows("no-quality", "These figures could not be read: no route The figures are those of")
    assert quality.find("#quality-scroll").is_displayed()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_quality_fits_a_phone_and_keeps_its_headings(
    quality: Screen, copies: CopyConfig, tmp_path: Path, scheme: str
) -> None:
    many_reasons(copies)
    with quality.phone(scheme=scheme):
        quality.wait(lambda: len(misses(quality)) == 4)
        quality.find("#quality summary").click()
        fits = "return [document.documentElement.scrollWidth, innerWidth]"
        assert quality.driver.execute_script(fits) == [390, 390]
        inside = "const all = document.getElementById('quality-scroll'); return all.scrollWidth <= all.clientWidth"
        assert quality.driver.execute_script(inside)
        script = "return getComputedStyle(arguments[0], '::before').content"
        assert quality.driver.execute_script(script, quality.find("#quality td")).startswith('"Copies')
        quality.driver.execute_script("document.querySelector('section.quality').scrollIntoView()")
        assert quality.driver.save_screenshot(str(tmp_path / f"quality-{scheme}.png"))


def test_page_without_copies_says_so(open_screen: Screen) -> None:
    open_screen.set(qualityMs=ASK_MS)
    open_screen.shows("no-quality", "No copies in this time.")
    assert not open_screen.find("#quality-scroll").is_displayed()
