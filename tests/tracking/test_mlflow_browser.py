"""MLflow's real UI in a real browser, opened by the link that `w2s ui` prints: what people see of a sweep.

What is on the page is checked; how it looks is for people, for whom every test leaves a picture in `W2S_SCREENSHOTS`.
"""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow_pages as pages
import pytest
from browser import IS_INSTALLED, find, wait

from w2s_ray.report import write_everything
from w2s_ray.report.analyses import analyse
from w2s_ray.search.record import COMPLETE, FAILED, PRUNED
from w2s_ray.tracking import project

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not IS_INSTALLED, reason="needs the packages chromium and chromium-driver"),
]

STATES = (*[COMPLETE] * 10, PRUNED, FAILED)
TALL = 1700  # pixels in which all charts are in sight, and so drawn


@pytest.fixture(scope="module")
def link(make_fake: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address that `w2s ui` prints for a sweep with its report."""
    fake = make_fake(tmp_path_factory.mktemp("sweep"))
    record, report = fake.record(*STATES), fake.store.sweep_folder("small") / "report"
    write_everything(analyse(record), report)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        project(record, report)
    with pages.ui(fake.store.root, "small") as address:
        yield address


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with pages.mlflow_browser(height=TALL) as driver:
        yield driver


@pytest.fixture
def trials(driver: Any, link: str) -> list[str]:
    """The names in the table that our link opens."""
    pages.open_page(driver, link)
    return pages.names(driver, len(STATES))


@pytest.fixture(autouse=True)
def picture(request: pytest.FixtureRequest, driver: Any, tmp_path: Path) -> Iterator[None]:
    """Saves what the test left on the screen, also where it failed."""
    yield
    name = request.node.name.removeprefix("test_")
    pages.save(driver, Path(os.environ.get("W2S_SCREENSHOTS") or tmp_path) / f"{name}.png")


def test_our_link_opens_the_trials_best_first_under_the_columns_that_matter(driver: Any, trials: list[str]) -> None:
    assert [name[:4] for name in trials[:10]] == [f"{number:04d}" for number in reversed(range(10))]
    assert trials[0] == "0009 naive minilm-0→minilm-2 lr=0.01"
    assert pages.columns(driver)[:5] == ["Run Name", "Created", "validation_oracle", "student_accuracy", "pgr"]
    find(driver, ".ag-center-cols-container [role=gridcell]", "0.755")


def test_the_sweeps_run_unfolds_into_its_trials_and_stages(driver: Any, link: str) -> None:
    pages.open_page(driver, re.sub("&viewStateShareKey=.*", "", link))
    assert pages.names(driver, 1) == ["small"]
    pages.expand(driver)
    wanted = {"0009 naive minilm-0→minilm-2 lr=0.01", "weak minilm-0 seed 0", "0009 student minilm-2 seed 0"}
    wait(driver, lambda: wanted <= {a.text for a in driver.find_elements("css selector", ".ag-row a")}, "its children")


def test_selected_trials_are_compared_in_parallel_coordinates_and_scatter(driver: Any, trials: list[str]) -> None:
    pages.compare(driver, 3, len(trials))
    [plot] = wait(driver, lambda: driver.find_elements("css selector", ".js-plotly-plot .parcoords"), "the plot")
    assert [title.text for title in plot.find_elements("css selector", ".axis-title")][:2] == ["alpha", "alpha_warmup"]
    find(driver, "[role=tab]", "Scatter Plot").click()
    wait(driver, lambda: any(plot["positions"] and plot["y"] for plot in pages.plots(driver)), "the scatter plot")
    assert trials[0] in find(driver, "main, #root").text.replace("\n", " ")


def test_the_charts_of_our_view_show_settings_as_numbers_and_conditional_ones_apart(
    driver: Any, trials: list[str]
) -> None:
    pages.follow(driver, "trials compared")
    assert pages.axes(driver, 2) == [
        ["method", "lr", "pgr", "validation_oracle"],
        ["alpha", "lr", "pgr", "validation_oracle"],
    ]
    ticks = driver.find_element("css selector", ".parcoords svg").text.split("\n")
    assert {"0.002", "0.004"} <= set(ticks), "numbers, not one tick for each text"
    both = {"x": "validation_oracle", "y": "student_accuracy", "positions": 10}  # of the trials that have both
    wait(driver, lambda: both in pages.plots(driver), "validation against test")
    sections = find(driver, "main, #root").text
    for title in ("Settings of all trials", "Settings of confidence", "Validation, test and PGR"):
        assert title in sections


def test_the_best_so_far_is_a_curve_for_each_pairing(driver: Any, trials: list[str]) -> None:
    pages.follow(driver, "best so far")
    # A point for each ended trial of the pairing, whether it got further or not.
    wait(driver, lambda: [plot["positions"] for plot in pages.plots(driver)] == [6] * 4, "four curves")
    text = find(driver, "main, #root").text
    assert text.index("best_validation") < text.index("pgr_of_best")
    assert "minilm-0 to minilm-2" in text


def test_the_sweeps_page_begins_with_the_answer(driver: Any, trials: list[str]) -> None:
    pages.follow(driver, "sweep")
    find(driver, "p", "10 complete, 1 failed, 1 pruned of 4 trials. sweep · trials · trials compared")
    find(driver, "li", "minilm-0→minilm-2: naive is best on validation")
    find(driver, "button, a, span", "Show more").click()
    find(driver, "td", "0.7900")
    find(driver, "code", "w2s resume small --store")


def test_the_report_opens_as_a_page_among_the_artifacts(driver: Any, trials: list[str]) -> None:
    pages.follow(driver, "report")
    find(driver, "body", "report/report.html")
    driver.switch_to.frame(find(driver, "iframe"))
    try:
        find(driver, "h2", "The answer")
        widths = "return [...document.images].map(image => image.naturalWidth)"
        wait(driver, lambda: min(driver.execute_script(widths), default=0) > 300, "figures")
    finally:
        driver.switch_to.default_content()
