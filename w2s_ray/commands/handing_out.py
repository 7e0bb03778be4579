"""`w2s report` and `w2s export`: what of a finished sweep is printed, written to files, or shown in MLflow."""

import sys
from pathlib import Path
from typing import Any, NoReturn

import typer

from w2s_ray.commands.saying import console, fail, show


def report_sweeps(
    records: list[Any], html: Path | None, as_json: bool, is_opened: bool, name: str | None = None
) -> None:
    """Reports sweeps, side by side if there are several; `name` is that of the file that holds them."""
    from w2s_ray.report import answers, print_report, write_everything, write_page
    from w2s_ray.report.across import across, print_across, reports_json
    from w2s_ray.search.folder import as_it_runs

    records = [as_it_runs(record) for record in records]
    if as_json and html is None and not is_opened:
        show(reports_json([answers(record) for record in records], name))
        return
    from w2s_ray.report.analyses import analyse
    from w2s_ray.stages.errors import store_errors

    analyses = [analyse(record) for record in records]
    if as_json:
        show(reports_json([one.report for one in analyses], name))
    else:
        for one in analyses:
            print_report(one.report, console())
        print_across(across([one.report for one in analyses]), console())
    pages = []
    for record, one in zip(records, analyses, strict=True):
        with store_errors(record.store.root, "writing the report"):
            pages.append(write_everything(one, record.store.sweep_folder(record.sweep.name) / "report"))
    if html is not None:
        pages.insert(0, write_page(analyses, html))
    print("\n".join(f"Report: {page}" for page in pages), file=sys.stderr)
    if is_opened:
        typer.launch(str(pages[0]))


def export_student(
    record: Any, trial: int | None, pairing: str | None, seed: int | None, register: str | None, to: Path | None
) -> None:
    """Writes a student's folder and, unless tracking is off, an MLflow model; see `w2s_ray.export`."""
    from w2s_ray.export import choose_student
    from w2s_ray.stages.errors import MissingStageError, StoreUnavailableError

    if register is not None and not record.sweep.tracking.enabled:
        raise ValueError("the spec has tracking: {enabled: false}, so there is no MLflow to register a model in")
    chosen = choose_student(record, trial, pairing, seed)
    # Imported late: both bring torch.
    from w2s_ray.export.folder import ExportError, write_folder
    from w2s_ray.export.mlflow_model import log_model

    folder = record.store.sweep_folder(record.sweep.name) / "exports"
    place = to or folder / f"trial-{chosen.trial.number:04d}-seed-{chosen.seed}"
    try:
        difference = write_folder(chosen, place.absolute(), lambda text: print(text, file=sys.stderr))
    except ExportError as error:
        fail(error, 1)
    print(f"{chosen.label}: {place}\nits probabilities are the sweep's, to within {difference:.1g}")
    if not record.sweep.tracking.enabled:
        return
    try:
        uri = log_model(chosen, place.absolute(), register)
    except (MissingStageError, StoreUnavailableError):
        raise
    except Exception as error:  # whatever mlflow, its HTTP library or a database raises
        fail_by_mlflow(record, error, "the same command")
    print(f"MLflow model: {uri}{f', registered as {register}' if register else ''}")


def fail_by_mlflow(record: Any, error: Exception, then: str) -> NoReturn:
    """Ends the command with what can be done about an MLflow that cannot be written."""
    from w2s_ray.tracking import tracking_uri
    from w2s_ray.tracking.troubles import explained

    uri = tracking_uri(record.sweep, record.store)
    fail(f"{explained(error, uri)}; then go on with: {then}", 1)
