"""A real Chromium, driven as a person would: it opens addresses, clicks links and looks at what is there."""

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
PATIENCE = 30.0


class Browser:
    """A window of a given size, in light or dark; without JavaScript, since the pages have to work without."""

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
        """Go there, as from a mail or a chat."""
        self.driver.get(address)

    def click(self, text: str, *, within: str = "body") -> None:
        """Follow the first link or button whose text holds this, and wait for the page that it leads to."""
        target = self.find(f"{within} :is(a, button)", text)
        before = self.driver.find_element(By.TAG_NAME, "html")
        target.click()
        WebDriverWait(self.driver, PATIENCE).until(lambda _: _is_gone(before))

    def find(self, selector: str, text: str = "") -> WebElement:
        """The first element of a selector whose text holds this; AssertionError with the page's text otherwise."""
        for element in self.driver.find_elements(By.CSS_SELECTOR, selector):
            if text in element.text:
                return element
        raise AssertionError(f"no {selector} with {text!r} on {self.driver.current_url}:\n{self.text[:2000]}")

    def count(self, selector: str) -> int:
        """How many elements there are of a selector."""
        return len(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def tab(self) -> str:
        """Press the tabulator key; returns the text of what has the focus then."""
        ActionChains(self.driver).send_keys(Keys.TAB).perform()
        return self.driver.switch_to.active_element.text

    @property
    def text(self) -> str:
        """What is to be read on the page."""
        return self.driver.find_element(By.TAG_NAME, "body").text

    @property
    def address(self) -> str:
        """Where the browser is."""
        return self.driver.current_url

    def loaded_pictures(self, selector: str) -> int:
        """How many pictures of a selector really show something; waits until those in view are there."""

        def loaded() -> list[WebElement]:
            elements = self.driver.find_elements(By.CSS_SELECTOR, selector)
            return [one for one in elements if one.get_property("naturalWidth") not in (None, 0)]

        WebDriverWait(self.driver, PATIENCE).until(lambda _: loaded())
        return len(loaded())

    def wider_than_the_window(self) -> bool:
        """Whether a reader would have to scroll sideways."""
        measured = self._command("Page.getLayoutMetrics")
        return bool(measured["cssContentSize"]["width"] > measured["cssLayoutViewport"]["clientWidth"])

    def complaints(self) -> list[str]:
        """What the browser's console says, such as anything that the content security policy stopped."""
        return [str(entry["message"]) for entry in self._log("browser")]

    def hosts(self) -> set[str]:
        """Every scheme and host that was asked for anything."""
        found = set()
        for entry in self._log("performance"):
            message: dict[str, Any] = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.add("/".join(message["params"]["request"]["url"].split("/")[:3]))
        return found

    def screenshot(self, file: Path) -> None:
        """The whole page as PNG."""
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


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except Exception:  # noqa: BLE001  # the driver names a page that has been left in several ways
        return True
    return False
