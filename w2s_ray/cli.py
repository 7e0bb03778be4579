"""The command `w2s`. Each command parses its arguments, calls the room that does the work, and prints what it says.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the sweep could not be done,
2 the request was wrong, 130 interrupted.
"""

import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console

from w2s_ray.cluster import commands as cluster
from w2s_ray.search.signals import INTERRUPTED, orderly_interrupts
from w2s_ray.spec import Search, SpecError, Sweep, replace, yaml
from w2s_ray.spec.several import Several
from w2s_ray.spec.sweep import DEFAULT_STORE
from w2s_ray.stages.store import Store

_PAGE_WIDTH = 110

app = typer.Typer(
    name="w2s",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Sweeps over weak-to-strong generalization experiments.",
    epilog="Begin with: w2s plan sweeps/quickstart.yaml, then w2s run sweeps/quickstart.yaml",
)

Spec = Annotated[
    Path, typer.Argument(help="The sweep's YAML file, such as sweeps/quickstart.yaml.", show_default=False)
]
Name = Annotated[
    str,
    typer.Argument(help="The sweep's name, as its spec says; of a file with tasks: all of them.", show_default=False),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        help=f"Folder of all results. Default: the spec's `store`, which is {DEFAULT_STORE}.",
        show_default=False,
    ),
]
Trials = Annotated[
    int | None, typer.Option("--trials", min=1, help="Finished trials to reach; more than before extends the sweep.")
]
WarmStart = Annotated[
    str | None,
    typer.Option(
        "--warm-start", help="Begin a new study with the compatible trials of this sweep.", show_default=False
    ),
]
TakeOver = Annotated[
    bool, typer.Option("--take-over", help="End another driver of this sweep on this machine, then go on.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command(epilog="Example: w2s plan sweeps/quickstart.yaml --json")
def plan(spec: Spec, store: StoreOption = None, trials: Trials = None, as_json: AsJson = False) -> None:
    """Show what a sweep would do and what is already there. Starts nothing, downloads nothing."""
    from w2s_ray.search.plan import make_plan
    from w2s_ray.search.several import plan_all

    several = _changed(_load(spec), store, trials)
    if several.is_one:
        made = make_plan(several.sweeps[0], Store(several.sweeps[0].store))
        _show(made.to_json() if as_json else made.to_text())
        return
    plans = plan_all(several)
    _show(plans.to_json() if as_json else plans.to_text())
    raise typer.Exit(bool(plans.failed))


@app.command(epilog="Example: w2s run sweeps/quickstart.yaml --trials 48")
def run(
    spec: Spec,
    store: StoreOption = None,
    trials: Trials = None,
    warm_start: WarmStart = None,
    take_over: TakeOver = False,
) -> None:
    """Run a sweep, or carry on with it: what is finished is never done again. Several tasks: one after another."""
    with _interruptible():
        several = _changed(_load(spec), store, trials)
        if warm_start and not several.is_one:
            raise typer.BadParameter("a file with tasks has no other sweep to begin with", param_hint="--warm-start")
        _mention_other_stores(several)
        _run(several, warm_start, take_over)


@app.command(epilog="Example: w2s resume quickstart --trials 48")
def resume(
    name: Name,
    store: StoreOption = None,
    trials: Trials = None,
    take_over: TakeOver = False,
    address: cluster.MaybeAddress = None,
    insecure: cluster.Insecure = False,
) -> None:
    """Carry on with a sweep by its name, with the spec kept beside its study."""
    if address:
        cluster.resume_there(name, address, store, trials, insecure=insecure)
        return
    with _interruptible():
        from w2s_ray.search.folder import load_spec
        from w2s_ray.search.several import kept

        folder = _store_of(name, store)
        several = kept(folder, name) or Several(name, (load_spec(folder, name),))
        _run(_changed(several, str(folder.root), trials), None, take_over)


@app.command(epilog="Example: w2s status quickstart --json")
def status(
    name: Name,
    store: StoreOption = None,
    as_json: AsJson = False,
    address: cluster.MaybeAddress = None,
    insecure: cluster.Insecure = False,
) -> None:
    """Show how far a sweep is. May be called while it runs."""
    if address:
        cluster.status_there(name, address, store, as_json=as_json, insecure=insecure)
        return
    from w2s_ray.search.several import status_json, status_text
    from w2s_ray.search.status import status_of

    records, is_one = _records(name, store)
    found = [status_of(record) for record in records]
    if not is_one:
        _show(status_json(name, found) if as_json else status_text(name, found))
    else:
        _show(found[0].to_json() if as_json else found[0].to_text())


@app.command(epilog="Example: w2s ls --store w2s-runs")
def ls(store: StoreOption = None, as_json: AsJson = False) -> None:
    """List the sweeps of a store: state, progress, best validation accuracy, last change."""
    from w2s_ray.search.listing import list_sweeps, to_json, to_table

    rows = list_sweeps(_store(store))
    _show(to_json(rows)) if as_json else _console().print(to_table(rows))


@app.command(epilog="Example: w2s submit sweeps/quickstart.yaml --address http://localhost:8265 --store /mnt/w2s -f")
def submit(
    spec: Spec,
    address: cluster.Address,
    store: StoreOption = None,
    trials: Trials = None,
    follow: cluster.Follow = False,
    driver_on: cluster.DriverOn = None,
    insecure: cluster.Insecure = False,
) -> None:
    """Run a sweep on a Ray cluster, or carry on with it there: ships the spec and this package, prints the name."""
    several = _changed(_load(spec), store, trials)
    if not several.is_one:
        raise ValueError(
            f"{spec} holds {len(several.sweeps)} sweeps, and a job runs one; on the cluster, RAY_ADDRESS=auto w2s run does all"
        )
    cluster.submit_sweep(several.sweeps[0], address, driver_on, is_followed=follow, insecure=insecure)


app.command(epilog="Example: w2s logs quickstart -f --address http://localhost:8265")(cluster.logs)
app.command(epilog="Example: w2s stop quickstart --address http://localhost:8265")(cluster.stop)


@app.command(epilog="Example: w2s report quickstart --open, or: w2s report first second --html both.html")
def report(
    names: Annotated[list[str], typer.Argument(help="One sweep or several, side by side.", show_default=False)],
    store: StoreOption = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the page there, all sweeps in one.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Answer: which method recovers how much of the gap, with intervals. Also writes a page, figures and tables."""
    if open_ and len(names) > 1 and html is None:
        raise typer.BadParameter("several sweeps need --html FILE to be opened as one page", param_hint="--open")
    found = [_records(name, store) for name in names]
    several = names[0] if len(names) == 1 and not found[0][1] else None
    if several and html is None and (open_ or not as_json):
        html = found[0][0][0].store.sweep_folder(several) / "report" / "report.html"
    _report([record for records, _ in found for record in records], html, as_json, open_, several)


@app.command(epilog="Example: w2s track quickstart")
def track(name: Name, store: StoreOption = None) -> None:
    """Show a sweep in MLflow again, from study and store alone; gives the same runs, never twice."""
    from w2s_ray.search.lease import lease
    from w2s_ray.stages.errors import MissingStageError, StoreUnavailableError
    from w2s_ray.tracking import project, tracking_uri
    from w2s_ray.tracking.location import without_password

    for record in _records(name, store)[0]:
        uri, own = without_password(tracking_uri(record.sweep, record.store)), record.sweep.name
        with lease(record.store, own):
            try:
                project(record, record.store.sweep_folder(own) / "report")
            except (MissingStageError, StoreUnavailableError):
                raise
            except Exception as error:  # whatever mlflow, its HTTP library or a database raises
                _fail_by_mlflow(record, error, f"w2s track {name}")
        print(f"{own} is in MLflow at {uri}")


@app.command(epilog="Example: w2s export quickstart --register reviews, or: w2s export quickstart --trial 13 --seed 1")
def export(
    name: Name,
    store: StoreOption = None,
    best: Annotated[bool, typer.Option("--best", help="The best trial on validation. This is the default.")] = False,
    trial: Annotated[int | None, typer.Option("--trial", help="This trial.", show_default=False)] = None,
    pairing: Annotated[
        str | None, typer.Option("--pairing", help="The best of this one, as in 'small->large'.", show_default=False)
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of the sweep's. Default: its first.")] = None,
    register: Annotated[
        str | None, typer.Option("--register", help="Register it in MLflow under this name.", show_default=False)
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="Folder to write. Default: exports/ in the sweep's folder.", show_default=False),
    ] = None,
) -> None:
    """Export the student of a finished trial: a folder that transformers loads, and an MLflow model."""
    if best and trial is not None:
        raise typer.BadParameter("--best and --trial exclude each other", param_hint="--best")
    _export(_record(name, store), trial, pairing, seed, register, to)


@app.command(epilog="Example: w2s ui --port 5001")
def ui(
    store: StoreOption = None,
    port: Annotated[
        int | None, typer.Option(help="Port on this machine. Default: the first free one from 5000.")
    ] = None,
) -> None:
    """Open the MLflow UI on the sweeps of a store; Ctrl-C closes it."""
    from w2s_ray.tracking.ui import serve

    raise typer.Exit(serve(_store(store), port))


@app.command(epilog="Example: w2s tasks --json")
def tasks(as_json: AsJson = False) -> None:
    """List the tasks that a spec can name, what they cost and whether they are here. Downloads nothing."""
    from w2s_ray import catalogue

    listed = catalogue.tasks()
    _show(catalogue.to_json(listed)) if as_json else _console().print(catalogue.task_table(listed))


@app.command(epilog="Example: w2s models --json")
def models(as_json: AsJson = False) -> None:
    """List the models that a spec can name, what they cost and whether they are here. Downloads nothing."""
    from w2s_ray import catalogue

    listed = catalogue.models()
    _show(catalogue.to_json(listed)) if as_json else _console().print(catalogue.model_table(listed))


@app.command(epilog="Example: w2s gc --keep-weights 3 --yes")
def gc(
    store: StoreOption = None,
    yes: Annotated[bool, typer.Option("--yes/--dry-run", help="Remove it. Without this, gc only shows.")] = False,
    keep_weights: Annotated[
        int | None,
        typer.Option(min=0, help="Keep weights of the best N students of each pairing. Default: of all not pruned."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show, or remove, what no sweep of a store needs: stages, checkpoints, weights of pruned students, leftovers."""
    from w2s_ray.search.collect import collect

    made = collect(_store(store), keep_weights=keep_weights, yes=yes)
    _show(made.to_json() if as_json else made.to_text())


def main() -> None:
    """Runs the command line and turns expected errors into one clear message and an exit code."""
    from w2s_ray.assets import AssetError
    from w2s_ray.search.folder import UnknownSweepError
    from w2s_ray.search.lease import SweepInUseError
    from w2s_ray.stages.errors import MissingStageError, StoreUnavailableError

    try:
        app()
    except (SpecError, UnknownSweepError) as error:
        _fail(error, 2)
    except (AssetError, SweepInUseError, StoreUnavailableError, ValueError) as error:
        _fail(error, 1)
    except MissingStageError as error:
        _fail(f"{error}; w2s resume NAME makes it again", 1)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Answers Ctrl-C and SIGTERM before and after the driver listens for them.

    Typer would end without a word before, and Python with a traceback while it closes down a finished run.
    """
    with orderly_interrupts(lambda: None):
        try:
            yield
        except KeyboardInterrupt:
            _fail("interrupted before the sweep was opened; the same command starts or resumes it", INTERRUPTED)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _report(records: list[Any], html: Path | None, as_json: bool, is_opened: bool, name: str | None = None) -> None:
    """Reports sweeps, side by side if there are several; `name` is that of the file that holds them."""
    from w2s_ray.report import answers, print_report, write_everything, write_page
    from w2s_ray.report.across import across, print_across, reports_json

    if as_json and html is None and not is_opened:
        _show(reports_json([answers(record) for record in records], name))
        return
    from w2s_ray.report.analyses import analyse

    analyses = [analyse(record) for record in records]
    if as_json:
        _show(reports_json([one.report for one in analyses], name))
    else:
        for one in analyses:
            print_report(one.report, _console())
        print_across(across([one.report for one in analyses]), _console())
    folders = [record.store.sweep_folder(record.sweep.name) / "report" for record in records]
    pages = [write_everything(*pair) for pair in zip(analyses, folders, strict=True)]
    if html is not None:
        pages.insert(0, write_page(analyses, html))
    print("\n".join(f"Report: {page}" for page in pages), file=sys.stderr)
    if is_opened:
        typer.launch(str(pages[0]))


def _export(
    record: Any, trial: int | None, pairing: str | None, seed: int | None, register: str | None, to: Path | None
) -> None:
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
        _fail(error, 1)
    print(f"{chosen.label}: {place}\nits probabilities are the sweep's, to within {difference:.1g}")
    if not record.sweep.tracking.enabled:
        return
    try:
        uri = log_model(chosen, place.absolute(), register)
    except (MissingStageError, StoreUnavailableError):
        raise
    except Exception as error:  # whatever mlflow, its HTTP library or a database raises
        _fail_by_mlflow(record, error, "the same command")
    print(f"MLflow model: {uri}{f', registered as {register}' if register else ''}")


def _fail_by_mlflow(record: Any, error: Exception, then: str) -> NoReturn:
    from w2s_ray.tracking import tracking_uri
    from w2s_ray.tracking.troubles import explained

    uri = tracking_uri(record.sweep, record.store)
    _fail(f"{explained(error, uri)}; then go on with: {then}", 1)


def _run_several(several: Several, take_over: bool) -> None:
    """Runs the sweeps of a file in their order, each with its report, and then tells what came out over all."""
    from w2s_ray.report import Report, answers, print_report
    from w2s_ray.report.across import across, print_across
    from w2s_ray.search.driver import RayStartError
    from w2s_ray.search.in_order import run_in_order

    again = f"w2s resume {several.name} --store {Store(several.sweeps[0].store).root}"
    reports, failed = list[Report](), list[str]()
    try:
        for sweep, ended in run_in_order(several, take_over=take_over):
            if isinstance(ended, Exception):
                failed.append(sweep.name)
                print(f"w2s: {sweep.name}: {ended}", file=sys.stderr)
            else:
                reports.append(answers(ended))
                print_report(reports[-1], _console())
    except (KeyboardInterrupt, RayStartError) as error:
        is_asked = isinstance(error, KeyboardInterrupt)
        _fail(f"{'interrupted' if is_asked else error}; carry on with: {again}", INTERRUPTED if is_asked else 1)
    print_across(across(reports), _console())
    if failed:
        _fail(f"{len(failed)} of {len(several.sweeps)} failed: {', '.join(failed)}; mend the cause and: {again}", 1)


def _run(several: Several, warm_start: str | None, take_over: bool) -> None:
    if not several.is_one:
        return _run_several(several, take_over)
    sweep = several.sweeps[0]
    from w2s_ray.report import answers, print_report
    from w2s_ray.search.driver import RayStartError, SweepFailedError
    from w2s_ray.search.driver import run as run_sweep

    try:
        print_report(answers(run_sweep(sweep, warm_start=warm_start, take_over=take_over)), _console())
    except KeyboardInterrupt:
        _fail(f"interrupted; carry on with: w2s resume {sweep.name} --store {Store(sweep.store).root}", INTERRUPTED)
    except RayStartError as error:
        _fail(f"{error}; carry on with: w2s resume {sweep.name} --store {Store(sweep.store).root}", 1)
    except SweepFailedError as error:
        _fail(f"{error}; mend the cause and run again, or see: w2s status {sweep.name}", 1)


def _sweep(sweep: Sweep, store: str | None, trials: int | None) -> Sweep:
    """Applies the command line's options to a spec."""
    changes: dict[str, Any] = {"store": store} if store else {}
    if trials:
        changes["search"] = Search.model_validate({**sweep.search.model_dump(), "trials": trials})
    return replace(sweep, **changes)


def _changed(several: Several, store: str | None, trials: int | None) -> Several:
    return Several(several.name, tuple(_sweep(sweep, store, trials) for sweep in several.sweeps))


def _store(store: str | None) -> Store:
    return Store(store or DEFAULT_STORE)


def _record(name: str, store: str | None) -> Any:
    """Returns the sweep of that name. Raises ValueError if it is the name of a file of several."""
    records, is_one = _records(name, store)
    if not is_one:
        raise ValueError(f"{name} is a file of several sweeps; name one: {', '.join(r.sweep.name for r in records)}")
    return records[0]


def _records(name: str, store: str | None) -> tuple[list[Any], bool]:
    """Returns what `name` stands for, the sweep or the sweeps of a file, and whether it is the name of a sweep."""
    from w2s_ray.search.folder import load_record, load_spec
    from w2s_ray.search.several import kept, records_of

    folder = _store_of(name, store)
    several = kept(folder, name)
    if several is not None:
        return records_of(folder, several), False
    return [load_record(folder, load_spec(folder, name))], True


def _store_of(name: str, store: str | None) -> Store:
    """The store that was named, or the one here; else the only one on this machine that has the sweep."""
    from w2s_ray.search.known_stores import stores_with
    from w2s_ray.search.several import names_in

    here = _store(store)
    others = [] if store or name in names_in(here) else stores_with(name, but=here)
    if len(others) == 1:
        print(f"store: {others[0].root}", file=sys.stderr)
        return others[0]
    if others:
        listed = " or ".join(f"--store {other.root}" for other in others)
        raise ValueError(f"no sweep {name!r} in {here.root}, but in several other stores; add {listed}")
    return here


def _mention_other_stores(several: Several) -> None:
    """Says where a sweep of this name was run before, when it is about to begin anew in this directory."""
    from w2s_ray.search.known_stores import stores_with
    from w2s_ray.search.several import names_in

    here, name = Store(several.sweeps[0].store), several.name
    for other in [] if name in names_in(here) else stores_with(name, but=here)[:1]:
        print(f"a sweep {name!r} is in {other.root} too; --store {other.root} carries on there", file=sys.stderr)


def _load(spec: Path) -> Several:
    """Reads a spec. A file that it names is looked for where the command is called, then beside the spec."""
    from w2s_ray.assets import ASSETS

    def found(source: str | None) -> str | None:
        if source is None or source in ASSETS or Path(source).expanduser().exists():
            return source
        return str(spec.parent / source) if (spec.parent / source).exists() else source

    def placed(sweep: Sweep) -> Sweep:
        task = replace(sweep.task, source=found(sweep.task.source), test_source=found(sweep.task.test_source))
        models = {name: replace(model, source=found(model.source)) for name, model in sweep.models.items()}
        return replace(sweep, task=task, models=models)

    several = yaml.load_all(spec)
    return Several(several.name, tuple(map(placed, several.sweeps)))


def _console() -> Console:
    """Standard output; wide enough for the report's tables where it is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=_PAGE_WIDTH)


def _show(content: object) -> None:
    print(content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False))


def _fail(error: Exception | str, code: int) -> NoReturn:
    message = error.args[0] if isinstance(error, LookupError) and error.args else error
    print(f"w2s: {message}", file=sys.stderr)
    raise SystemExit(code)
