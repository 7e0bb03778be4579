"""The pages of MLflow's UI as one meets them: the trials by our link, their comparison, the sweep's run, its report.

What a page must show before it counts as open is waited for here; what it says is for the tests.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import browser, find, wait
from ports import free_port

# The UI opens a chat beside the page at a browser's first visit; this is how it remembers that there was one.
_VISITED = "try { localStorage.setItem('mlflow.assistant.fab.autoOpenedOnFirstLoad_v1', 'true') } catch {}"
_ROWS = ".ag-pinned-left-cols-container [role=row]"
_NAME = "[col-id='attributes.`Run Name`']"
_PARALLEL = ".parcoords svg"
_PLOTS = """
const name = axis => axis?.title?.text ?? axis?.title;
return [...document.querySelectorAll(".js-plotly-plot")].filter(plot => plot.data && plot.layout).map(plot => ({
  x: name(plot.layout.xaxis), y: name(plot.layout.yaxis),
  positions: new Set(plot.data.flatMap(trace => [...(trace.x ?? [])]).filter(x => x !== null && x !== undefined)).size,
}));
"""


@contextmanager
def ui(store: Path, name: str) -> Iterator[str]:
    """Runs `w2s ui`; gives the address that it prints for a sweep of the store."""
    environment = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    # Two that look for the first free port at once would take the same.
    command = [sys.executable, "-m", "w2s_ray", "ui", "--store", str(store), "--port", str(free_port())]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            printed = next((line for line in server.stdout if line.startswith(f"{name}: ")), None)
            assert printed is not None, "w2s ui ended; what it said is above"
            yield printed.removeprefix(f"{name}: ").strip()
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


@contextmanager
def mlflow_browser(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """Runs a browser that has seen MLflow's UI before."""
    with browser(width, height) as driver:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _VISITED})
        yield driver


def open_page(driver: Any, address: str) -> None:
    """Opens an address anew, also where only what follows its # differs from the page before."""
    driver.get("about:blank")
    driver.get(address)


def rows(driver: Any, count: int) -> list[Any]:
    """Returns the rows of the table of runs, from the top, once there are `count` of them."""

    def look() -> list[Any]:
        found = driver.find_elements("css selector", _ROWS)
        named = [row for row in found if row.find_elements("css selector", f"{_NAME} a")]
        return sorted(named, key=lambda row: int(row.get_attribute("row-index"))) if len(named) == count else []

    return wait(driver, look, f"a table of {count} runs")


def names(driver: Any, count: int) -> list[str]:
    """Returns the names of the runs in the table, from the top, once there are `count` of them."""
    return wait(
        driver,
        lambda: [row.find_element("css selector", f"{_NAME} a").text for row in rows(driver, count)],
        f"{count} names",
    )


def columns(driver: Any) -> list[str]:
    """Returns the names of the table's columns that are on the screen, from the left."""
    cells = driver.find_elements("css selector", ".ag-header-cell")
    return [cell.text for cell in sorted(cells, key=lambda cell: cell.rect["x"]) if cell.text]


def expand(driver: Any) -> None:
    """Shows the children of the only run in the table."""
    [row] = rows(driver, 1)
    row.find_element("css selector", f"{_NAME} button").click()


def compare(driver: Any, count: int, total: int) -> None:
    """Selects the first `count` of the `total` runs in the table and opens MLflow's comparison of them."""
    for row in rows(driver, total)[:count]:
        row.find_element("css selector", ".ag-selection-checkbox input").click()
    button = find(driver, "[data-testid=runs-compare-button]")
    wait(driver, button.is_enabled, "the button that compares")
    button.click()
    find(driver, "h1, h2, h3, h4", f"Comparing {count} Runs")


def follow(driver: Any, text: str) -> None:
    """Goes where a link leads: those of a sweep's places stand in its description, and open another window."""
    open_page(driver, find(driver, "a", text).get_attribute("href"))


def axes(driver: Any, count: int) -> list[list[str]]:
    """Returns the names of the axes of each parallel coordinates plot, from the top, once there are `count` or more."""

    def look() -> list[list[str]]:
        plots = driver.find_elements("css selector", _PARALLEL)
        read = [[one.text for one in plot.find_elements("css selector", ".dimension .label")] for plot in plots]
        return read if len(read) >= count and all(read) else []

    return wait(driver, look, f"{count} plots of parallel coordinates")


def plots(driver: Any) -> list[dict[str, Any]]:
    """Returns what each plot on the page draws: the names of its axes, and at how many x it has points."""
    read: list[dict[str, Any]] = driver.execute_script(_PLOTS)
    return read


def save(driver: Any, path: Path) -> None:
    """Saves what is on the screen as PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    driver.save_screenshot(str(path))
