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
Name = Annotated[str, typer.Argument(help="The sweep's name, as its spec says.", show_default=False)]
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

    sweep = _sweep(_load(spec), store, trials)
    made = make_plan(sweep, Store(sweep.store))
    _show(made.to_json() if as_json else made.to_text())


@app.command(epilog="Example: w2s run sweeps/quickstart.yaml --trials 48")
def run(
    spec: Spec,
    store: StoreOption = None,
    trials: Trials = None,
    warm_start: WarmStart = None,
    take_over: TakeOver = False,
) -> None:
    """Run a sweep, or carry on with it: what is finished is never done again."""
    with _interruptible():
        sweep = _sweep(_load(spec), store, trials)
        _mention_other_stores(sweep)
        _run(sweep, warm_start, take_over)


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

        folder = _store_of(name, store)
        _run(_sweep(load_spec(folder, name), str(folder.root), trials), None, take_over)


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
    from w2s_ray.search.status import status_of

    made = status_of(_record(name, store))
    _show(made.to_json() if as_json else made.to_text())


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
    sweep = _sweep(_load(spec), store, trials)
    cluster.submit_sweep(sweep, address, driver_on, is_followed=follow, insecure=insecure)


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
    _report([_record(name, store) for name in names], html, as_json, open_)


@app.command(epilog="Example: w2s track quickstart")
def track(name: Name, store: StoreOption = None) -> None:
    """Show a sweep in MLflow again, from study and store alone; gives the same runs, never twice."""
    from w2s_ray.search.lease import lease
    from w2s_ray.stages.errors import MissingStageError, StoreUnavailableError
    from w2s_ray.tracking import project, tracking_uri
    from w2s_ray.tracking.location import without_password

    record = _record(name, store)
    uri = without_password(tracking_uri(record.sweep, record.store))
    with lease(record.store, name):
        try:
            project(record, record.store.sweep_folder(name) / "report")
        except (MissingStageError, StoreUnavailableError):
            raise
        except Exception as error:  # whatever mlflow, its HTTP library or a database raises
            reason = without_password(f"{type(error).__name__}: {error}".splitlines()[0])[:300]
            _fail(f"MLflow at {uri} cannot be written ({reason}); once it can, go on with: w2s track {name}", 1)
    print(f"{name} is in MLflow at {uri}")


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


def _report(records: list[Any], html: Path | None, as_json: bool, is_opened: bool) -> None:
    from w2s_ray.report import answers, print_report, to_json, write_everything, write_page

    if as_json and html is None and not is_opened:
        made = [to_json(answers(record)) for record in records]
        _show(made[0] if len(made) == 1 else made)
        return
    from w2s_ray.report.analyses import analyse

    analyses = [analyse(record) for record in records]
    if as_json:
        _show(to_json(analyses[0].report) if len(analyses) == 1 else [to_json(one.report) for one in analyses])
    for one in () if as_json else analyses:
        print_report(one.report, _console())
    folders = [record.store.sweep_folder(record.sweep.name) / "report" for record in records]
    pages = [write_everything(*pair) for pair in zip(analyses, folders, strict=True)]
    if html is not None:
        pages.insert(0, write_page(analyses, html))
    print("\n".join(f"Report: {page}" for page in pages), file=sys.stderr)
    if is_opened:
        typer.launch(str(pages[0]))


def _run(sweep: Sweep, warm_start: str | None, take_over: bool) -> None:
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


def _store(store: str | None) -> Store:
    return Store(store or DEFAULT_STORE)


def _record(name: str, store: str | None) -> Any:
    from w2s_ray.search.folder import load_record, load_spec

    folder = _store_of(name, store)
    return load_record(folder, load_spec(folder, name))


def _store_of(name: str, store: str | None) -> Store:
    """The store that was named, or the one here; else the only one on this machine that has the sweep."""
    from w2s_ray.search.known_stores import stores_with

    here = _store(store)
    others = [] if store or name in here.sweeps() else stores_with(name, but=here)
    if len(others) == 1:
        print(f"store: {others[0].root}", file=sys.stderr)
        return others[0]
    if others:
        listed = " or ".join(f"--store {other.root}" for other in others)
        raise ValueError(f"no sweep {name!r} in {here.root}, but in several other stores; add {listed}")
    return here


def _mention_other_stores(sweep: Sweep) -> None:
    """Says where a sweep of this name was run before, when it is about to begin anew in this directory."""
    from w2s_ray.search.known_stores import stores_with

    here = Store(sweep.store)
    if sweep.name in here.sweeps():
        return
    for other in stores_with(sweep.name, but=here)[:1]:
        print(f"a sweep {sweep.name!r} is in {other.root} too; --store {other.root} carries on there", file=sys.stderr)


def _load(spec: Path) -> Sweep:
    """Reads a spec. A file that it names is looked for where the command is called, then beside the spec."""
    from w2s_ray.assets import ASSETS

    def found(source: str | None) -> str | None:
        if source is None or source in ASSETS or Path(source).expanduser().exists():
            return source
        return str(spec.parent / source) if (spec.parent / source).exists() else source

    sweep = yaml.load(spec)
    task = replace(sweep.task, source=found(sweep.task.source), test_source=found(sweep.task.test_source))
    models = {name: replace(model, source=found(model.source)) for name, model in sweep.models.items()}
    return replace(sweep, task=task, models=models)


def _console() -> Console:
    """Standard output; wide enough for the report's tables where it is no terminal."""
    return Console() if sys.stdout.isatty() else Console(width=_PAGE_WIDTH)


def _show(content: object) -> None:
    print(content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False))


def _fail(error: Exception | str, code: int) -> NoReturn:
    message = error.args[0] if isinstance(error, LookupError) and error.args else error
    print(f"w2s: {message}", file=sys.stderr)
    raise SystemExit(code)
