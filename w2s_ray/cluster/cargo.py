"""What a job carries to the cluster: this package as it is here, and the spec. Everything else must be there.

The package goes along as files, so that driver and workers run the version, uncommitted changes included, that the spec
was checked with, whatever the image has; libraries come with the image. Data and store do not travel: a file of this
machine, a relative path and a secret in the spec are the user's to mend before anything is sent.
"""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import w2s_ray
from w2s_ray.assets import ASSETS, is_local
from w2s_ray.bucket_uri import is_uri, normalised
from w2s_ray.spec import Problem, SpecError, Sweep, yaml
from w2s_ray.spec.problems import Place
from w2s_ray.spec.several import Several
from w2s_ray.tasks.table import is_table

_SPEC = "sweep.yaml"
_STOP_SECONDS = 45  # Ray kills a job that was asked to stop after 3 s; an orderly end takes up to 30


def command(*arguments: str) -> str:
    """Returns the shell command that runs `w2s` with these arguments; it replaces the shell, so that signals arrive."""
    return "exec " + shlex.join(["python", "-m", "w2s_ray", *arguments])


def environment() -> dict[str, Any]:
    """Returns the runtime environment of any job of ours."""
    return {
        "py_modules": [str(Path(w2s_ray.__file__).parent)],
        "excludes": ["__pycache__/"],
        # No secret may ever stand here: whoever may use the cluster can read it.
        "env_vars": {"RAY_JOB_STOP_WAIT_TIME_S": str(_STOP_SECONDS), "NO_COLOR": "1"},
    }


@contextmanager
def packed(several: Several, *, take_over: bool = False) -> Iterator[tuple[str, dict[str, Any]]]:
    """Gives the command that runs a file's sweeps and its runtime environment, whose files exist within the block.

    Raises:
        SpecError: the spec names something that the cluster cannot have or must not be told.
    """
    problems = dict.fromkeys(problem for sweep in several.sweeps for problem in problems_on_a_cluster(sweep))
    if problems:
        raise SpecError(problems)
    with TemporaryDirectory(prefix="w2s-") as folder:
        (Path(folder) / _SPEC).write_text(yaml.dump_all(several), encoding="utf-8")
        yield command("run", _SPEC, *taking_over(take_over)), {**environment(), "working_dir": folder}


def taking_over(is_meant: bool) -> list[str]:
    """Returns what has a driver end another one of its sweep that runs on the same node."""
    return ["--take-over"] if is_meant else []


def store_problem(store: str) -> Problem | None:
    """Returns why a cluster cannot use `store`; None if it may."""
    mend = "give --store an absolute folder that every node mounts (NFS, EFS, Filestore), or s3://BUCKET/PREFIX"
    if is_uri(store):
        try:
            normalised(store)
        except ValueError as error:
            return Problem(("store",), str(error), mend)
        return None
    if not store.startswith("/"):
        return Problem(("store",), f"{store!r} would be another folder on every node", mend)
    return None


def problems_on_a_cluster(sweep: Sweep) -> Iterator[Problem]:
    """Yields what `sweep` names that is on this machine alone."""
    problem = store_problem(sweep.store)
    if problem:
        yield problem
    task = sweep.task
    named: dict[Place, str | None] = {("task", "source"): task.source, ("task", "test_source"): task.test_source}
    named.update({("models", name, "source"): model.source for name, model in sweep.models.items()})
    for place, source in named.items():
        if source and source not in ASSETS and (is_local(source) or is_table(source)) and not source.startswith("/"):
            mend = "put it where every node mounts it and name it by its absolute path"
            yield Problem(place, f"{source!r} is a file of this machine", mend)
