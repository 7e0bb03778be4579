"""The command `w2s`. Each command parses its arguments, calls the room that does the work, and prints what it says.

Results go to standard output, progress and errors to standard error. Exit codes: 0 done, 1 the sweep could not be done,
2 the request was wrong, 130 interrupted.
"""

from pathlib import Path
from typing import Annotated

import typer

from w2s_ray.cluster import commands as cluster
from w2s_ray.commands.doctoring import doctor as examine
from w2s_ray.commands.finding import (
    load_spec_file,
    mention_other_stores,
    record_of,
    records_of_name,
    settled,
    store_here,
    store_of,
    with_options,
)
from w2s_ray.commands.handing_out import export_student, fail_by_mlflow, report_sweeps
from w2s_ray.commands.planning import show_plan
from w2s_ray.commands.running import interruptible, run_sweeps
from w2s_ray.commands.saying import console, fail, show
from w2s_ray.redacting import redact_output
from w2s_ray.secrets import without_secrets
from w2s_ray.spec import SpecError
from w2s_ray.spec.several import Several
from w2s_ray.spec.sweep import DEFAULT_STORE

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
        help=f"Folder of all results, or a bucket's URI. Default: the spec's `store`, which is {DEFAULT_STORE}.",
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
    bool,
    typer.Option(
        "--take-over",
        help="End another driver of this sweep first: one on this machine, or with --address its job there.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command(epilog="Example: w2s plan sweeps/quickstart.yaml --cluster cluster/plan_aws.yaml")
def plan(
    spec: Spec,
    store: StoreOption = None,
    trials: Trials = None,
    cluster_file: Annotated[
        Path | None,
        typer.Option(
            "--cluster",
            help="Simulate the rest of it on this file's cluster, such as cluster/plan_aws.yaml, half and twice it.",
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what a sweep would do and what is already there. Starts nothing, downloads nothing."""
    show_plan(with_options(load_spec_file(spec), store, trials), cluster_file, as_json)


@app.command(epilog="Example: w2s run sweeps/quickstart.yaml --trials 48")
def run(
    spec: Spec,
    store: StoreOption = None,
    trials: Trials = None,
    warm_start: WarmStart = None,
    take_over: TakeOver = False,
) -> None:
    """Run a sweep, or carry on with it: what is finished is never done again. Several tasks: one after another."""
    with interruptible():
        several = with_options(load_spec_file(spec), store, trials)
        if warm_start and not several.is_one:
            raise typer.BadParameter("a file with tasks has no other sweep to begin with", param_hint="--warm-start")
        mention_other_stores(several)
        run_sweeps(several, warm_start, take_over)


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
        cluster.resume_there(name, address, store, trials, insecure=insecure, take_over=take_over)
        return
    with interruptible():
        from w2s_ray.search.folder import load_spec
        from w2s_ray.search.several import kept

        folder = store_of(name, store)
        several = kept(folder, name) or Several(name, (load_spec(folder, name),))
        run_sweeps(with_options(several, folder.uri, trials), None, take_over)


@app.command(epilog="Example: w2s status quickstart --json")
def status(
    name: Name,
    store: StoreOption = None,
    as_json: AsJson = False,
    address: cluster.MaybeAddress = None,
    insecure: cluster.Insecure = False,
    seen_from: cluster.SeenFrom = None,
) -> None:
    """Show how far a sweep is. May be called while it runs."""
    if address:
        cluster.status_there(name, address, store, as_json=as_json, insecure=insecure)
        return
    from w2s_ray.search.several import status_json, status_text
    from w2s_ray.search.status import status_of

    records, is_one = records_of_name(name, store)
    found = [status_of(record) for record in records]
    if not is_one:
        show(status_json(name, found) if as_json else status_text(name, found, seen_from))
    else:
        show(found[0].to_json() if as_json else found[0].to_text(seen_from))


@app.command(epilog="Example: w2s ls --store w2s-runs")
def ls(store: StoreOption = None, as_json: AsJson = False) -> None:
    """List the sweeps of a store: state, progress, best validation accuracy, last change."""
    from w2s_ray.search.listing import list_sweeps, to_json, to_table

    here = store_here(store)
    rows = list_sweeps(here)
    if not rows:
        typer.echo(f"no sweep in {here.uri}; is --store right?", err=True)
    show(to_json(rows)) if as_json else console().print(to_table(rows))


@app.command(epilog="Example: w2s submit sweeps/quickstart.yaml --address http://localhost:8265 --store /mnt/w2s -f")
def submit(
    spec: Spec,
    address: cluster.Address,
    store: StoreOption = None,
    trials: Trials = None,
    follow: cluster.Follow = False,
    driver_on: cluster.DriverOn = None,
    take_over: TakeOver = False,
    insecure: cluster.Insecure = False,
) -> None:
    """Run a sweep on a Ray cluster, or carry on with it there: ships the spec and this package, prints the name."""
    several = with_options(load_spec_file(spec), store, trials)
    cluster.submit_sweeps(several, address, driver_on, is_followed=follow, insecure=insecure, take_over=take_over)


@app.command(epilog="Example: w2s doctor sweeps/quickstart.yaml, or: w2s doctor --address http://localhost:8265")
def doctor(
    spec: Annotated[
        Path | None, typer.Argument(help="A sweep's YAML file: looks at what it needs, too.", show_default=False)
    ] = None,
    store: StoreOption = None,
    address: cluster.MaybeAddress = None,
    cluster_file: Annotated[
        Path | None,
        typer.Option(
            "--cluster",
            help="A launcher file, a RayCluster, or what `plan` takes: node types that may be added.",
            show_default=False,
        ),
    ] = None,
    insecure: cluster.Insecure = False,
    as_json: AsJson = False,
) -> None:
    """Find in one go what would break a run, here or on every node of a cluster. Exits 1 if something would."""
    examine(spec, store, address, cluster_file, insecure=insecure, as_json=as_json)


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
    found = [records_of_name(name, store) for name in names]
    several = names[0] if len(names) == 1 and not found[0][1] else None
    if several and html is None and (open_ or not as_json):
        html = found[0][0][0].store.sweep_folder(several) / "report" / "report.html"
    report_sweeps([record for records, _ in found for record in records], html, as_json, open_, several)


@app.command(epilog="Example: w2s track quickstart")
def track(name: Name, store: StoreOption = None) -> None:
    """Show a sweep in MLflow again, from study and store alone; gives the same runs, never twice."""
    from w2s_ray.search.lease import lease
    from w2s_ray.stages.errors import MissingStageError, StoreUnavailableError
    from w2s_ray.tracking import project, tracking_uri

    for seen in records_of_name(name, store)[0]:
        own = seen.sweep.name
        with lease(seen.store, own):
            record = settled(seen)
            uri = without_secrets(tracking_uri(record.sweep, record.store))
            try:
                project(record, record.store.sweep_folder(own) / "report")
            except (MissingStageError, StoreUnavailableError):
                raise
            except Exception as error:  # whatever mlflow, its HTTP library or a database raises
                fail_by_mlflow(record, error, f"w2s track {name}")
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
    export_student(record_of(name, store), trial, pairing, seed, register, to)


@app.command(epilog="Example: w2s ui --port 5001")
def ui(
    store: StoreOption = None,
    port: Annotated[
        int | None, typer.Option(help="Port on this machine. Default: the first free one from 5000.")
    ] = None,
) -> None:
    """Open the MLflow UI on the sweeps of a store; Ctrl-C closes it."""
    from w2s_ray.tracking.ui import serve

    raise typer.Exit(serve(store_here(store), port))


@app.command(epilog="Example: w2s tasks --json")
def tasks(as_json: AsJson = False) -> None:
    """List the tasks that a spec can name, what they cost and whether they are here. Downloads nothing."""
    from w2s_ray import catalogue

    listed = catalogue.tasks()
    show(catalogue.to_json(listed)) if as_json else console().print(catalogue.task_table(listed))


@app.command(epilog="Example: w2s models --json")
def models(as_json: AsJson = False) -> None:
    """List the models that a spec can name, what they cost and whether they are here. Downloads nothing."""
    from w2s_ray import catalogue

    listed = catalogue.models()
    show(catalogue.to_json(listed)) if as_json else console().print(catalogue.model_table(listed))


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

    made = collect(store_here(store), keep_weights=keep_weights, yes=yes)
    show(made.to_json() if as_json else made.to_text())


def main() -> None:
    """Runs the command line and turns expected errors into one clear message and an exit code."""
    from w2s_ray.assets import AssetError
    from w2s_ray.search.folder import UnknownSweepError
    from w2s_ray.search.lease import SweepInUseError
    from w2s_ray.stages.errors import MissingStageError

    redact_output()
    try:
        app()
    except (SpecError, UnknownSweepError) as error:
        fail(error, 2)
    except (AssetError, SweepInUseError, OSError, ValueError) as error:
        fail(error, 1)
    except MissingStageError as error:
        fail(f"{error}; w2s resume NAME makes it again", 1)
