"""The dashboard in headless Chromium, as a test handles it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

WAIT_SECONDS_MAX = 20
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

    def find(self, selector: str) -> WebElement:
        """The first element that fits, once there is one."""
        self.wait(lambda: self.driver.find_elements(By.CSS_SELECTOR, selector))
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def focused(self) -> WebElement:
        """What has the keyboard."""
        return self.driver.switch_to.active_element

    def computed(self, selector: str, name: str) -> str:
        """A property of the style that the browser worked out."""
        script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
        return str(self.driver.execute_script(script, selector, name))

    @contextmanager
    def phone(self, *, scheme: str = "light", motion: str = "no-preference") -> Iterator[None]:
        """A telephone of 390 pixels, with the wishes of its owner."""
        wishes = {"prefers-color-scheme": scheme, "prefers-reduced-motion": motion}
        features = [{"name": name, "value": value} for name, value in wishes.items()]
        metrics = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        try:
            yield
        finally:
            self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
            self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

    def press(self, element: str) -> None:
        self.driver.find_element(By.ID, element).click()
