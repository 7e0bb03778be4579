"""Debian's Chromium without a window, driven by Selenium: for the tests and for `docs/make_screenshots.py`.

Nothing here sleeps: what a page shows is waited for, by default for longer than a busy machine needs.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
IS_INSTALLED = CHROMIUM is not None and DRIVER is not None

_SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"),
    # A mouse, or plots take the browser for a phone and lay their buttons over the data.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
)
T = TypeVar("T")


@contextmanager
def browser(width: int, height: int) -> Iterator[Any]:
    """Runs a browser with a page of `width` by `height` CSS pixels; gives its driver, which logs requests."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for switch in _SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        yield driver
    finally:
        driver.quit()


def wait(driver: Any, condition: Callable[[], T], what: str, seconds: float = 180) -> T:
    """Returns what `condition` gives once that is true; elements that the page replaces meanwhile are looked for again.

    Raises selenium's TimeoutException, with `what` and the text of the page, if it takes longer than `seconds`.
    """
    from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
    from selenium.webdriver.support.ui import WebDriverWait

    waiting = WebDriverWait(driver, seconds, ignored_exceptions=[StaleElementReferenceException])
    try:
        return waiting.until(lambda _: condition())
    except TimeoutException as error:
        text = driver.find_element("tag name", "body").text
        raise TimeoutException(f"{what} is not on {driver.current_url} after {seconds:.0f} s, but:\n{text}") from error


def find(driver: Any, css: str, text: str = "") -> Any:
    """Returns the first visible element of a CSS selector whose text holds `text`, once there is one."""

    def look() -> Any:
        found = driver.find_elements("css selector", css)
        return next((one for one in found if text in one.text and one.is_displayed()), None)

    return wait(driver, look, f"{css} with {text!r}")
