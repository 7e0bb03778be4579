"""Makes the README's two screenshots, docs/mlflow-compare.png and docs/report.png, of a finished sweep of a store.

`python docs/make_screenshots.py [STORE] [NAME]`, by default of the quickstart in w2s-runs; needs Debian's chromium and
chromium-driver. MLflow's UI is started as `w2s ui` does and opened by the links of the sweep's description.
"""

import sys
from pathlib import Path

from PIL import Image

from w2s_ray.stages.store import Store

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))  # the browser of the tests, which no package holds

import mlflow_pages as pages  # noqa: E402
from browser import browser, find  # noqa: E402

WIDTH, LARGEST = 1280, 200  # pixels; kilobytes of a picture


def picture_of_comparison(store: Path, name: str, path: Path) -> None:
    """Shows the charts of the trials, with the parallel coordinates of all of them and of one method in sight."""
    with pages.ui(store, name) as link, pages.mlflow_browser(WIDTH, 1170) as driver:
        pages.open_page(driver, link)
        pages.follow(driver, "trials compared")
        pages.axes(driver, 2)
        pages.save(driver, path)


def picture_of_report(store: Path, name: str, path: Path) -> None:
    """Shows the top of the report's page: the answer."""
    page = Store(store).sweep_folder(name) / "report" / "report.html"
    if not page.is_file():
        raise SystemExit(f"{page} is missing; make it with: w2s report {name} --store {store}")
    with browser(WIDTH, 1100) as driver:
        driver.get(page.absolute().as_uri())
        find(driver, "h2", "The answer")
        pages.save(driver, path)


def main() -> None:
    """Makes both, and refuses pictures too large for a README."""
    store, name = Path(sys.argv[1] if len(sys.argv) > 1 else "w2s-runs"), (sys.argv[2:] or ["quickstart"])[0]
    made = {"report.png": picture_of_report, "mlflow-compare.png": picture_of_comparison}
    for file, make in made.items():
        make(store, name, DOCS / file)
        # 256 colours take a third of the bytes; of Pillow's ways this one keeps the colour bars smooth.
        picture = Image.open(DOCS / file).convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE)
        picture.save(DOCS / file, optimize=True)
        size = (DOCS / file).stat().st_size // 1000
        print(f"{DOCS / file}: {size} kB")
        if size >= LARGEST:
            raise SystemExit(f"{file} has {size} kB; a README's picture has less than {LARGEST}")


if __name__ == "__main__":
    main()
