"""A real Chromium, controlled by Selenium."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from support.servers import program

_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
TIMEOUT = 30.0


class Browser:
    """A window of a given size and colour scheme. JavaScript is disabled, because pages must work without it."""

    def __init__(self, *, width: int = 1280, height: int = 900, dark: bool = False) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = program("chromium")
        for flag in (*_FLAGS, f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(program("chromedriver")))
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._command("Emulation.setEmulatedMedia", features=[scheme])
        self._command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )

    def open(self, address: str) -> None:
        """Open an address."""
        self.driver.get(address)

    def click(self, text: str, *, within: str = "body") -> None:
        """Click the first link or button whose text contains this, and wait for the next page."""
        target = self.find(f"{within} :is(a, button)", text)
        before = self.driver.find_element(By.TAG_NAME, "html")
        target.click()
        WebDriverWait(self.driver, TIMEOUT).until(lambda _: _is_stale(before))

    def find(self, selector: str, text: str = "") -> WebElement:
        """Return the first element whose text contains this. Raise AssertionError with the text of the page."""
        for element in self.driver.find_elements(By.CSS_SELECTOR, selector):
            if text in element.text:
                return element
        raise AssertionError(f"no {selector} with {text!r} on {self.driver.current_url}:\n{self.text[:2000]}")

    def count(self, selector: str) -> int:
        """Return the number of elements that match a selector."""
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def tab(self) -> str:
        """Press the Tab key; return the text of the focused element."""
        ActionChains(self.driver).send_keys(Keys.TAB).perform()
        return self.driver.switch_to.active_element.text

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    @property
    def address(self) -> str:
        """The current URL."""
        return self.driver.current_url

    def loaded_images(self, selector: str) -> int:
        """Wait for the visible images of a selector; return the number of loaded ones."""

        def loaded() -> list[WebElement]:
            elements = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return [one for one in elements if one.get_property("naturalWidth") not in (None, 0)]

        WebDriverWait(self.driver, TIMEOUT).until(lambda _: loaded())
        return len(loaded())

    def overflows_horizontally(self) -> bool:
        """Return whether the page is wider than the window."""
        measured = self._command("Page.getLayoutMetrics")
        return bool(measured["cssContentSize"]["width"] > measured["cssLayoutViewport"]["clientWidth"])

    def console_messages(self) -> list[str]:
        """Return the messages of the console, such as violations of the content security policy."""
        return [str(entry["message"]) for entry in self._log("browser")]

    def hosts(self) -> set[str]:
        """Return scheme and host of all requests."""
        found = set()
        for entry in self._log("performance"):
            message: dict[str, Any] = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add("/".join(message["params"]["request"]["url"].split("/")[:3]))
        return found

    def screenshot(self, file: Path) -> None:
        """Save a screenshot of the page as PNG."""
        file.parent.mkdir(parents=True, exist_ok=True)
        self.driver.save_screenshot(str(file))

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def _command(self, name: str, **parameters: object) -> dict[str, Any]:
        result: dict[str, Any] = self.driver.execute_cdp_cmd(name, parameters)
        return result

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.driver.quit()


def _is_stale(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except Exception:  # noqa: BLE001  # the driver raises various exceptions for a page that was left
        return True
    return False
