"""`w2s doctor`: on this machine, on the cluster that RAY_ADDRESS names, or on one far away."""

import os
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from w2s_ray.commands.finding import load_spec_file, with_options
from w2s_ray.commands.saying import console, show
from w2s_ray.spec import Sweep
from w2s_ray.spec.sweep import DEFAULT_STORE
from w2s_ray.stages.open import absolute_place

if TYPE_CHECKING:
    from w2s_ray.doctor.finding import Finding


def doctor(
    spec: Path | None, store: str | None, address: str | None, cluster: Path | None, *, insecure: bool, as_json: bool
) -> None:
    """Prints what would break a run, and ends with 1 if something would."""
    from w2s_ray.doctor.finding import counted, has_problem, to_json, to_table

    sweeps = with_options(load_spec_file(spec), store, None).sweeps if spec else ()
    if address:
        from w2s_ray.doctor.remote import examine_there

        findings = examine_there(address, sweeps, spec=spec, store=store, cluster_file=cluster, insecure=insecure)
    else:
        findings = _here(sweeps, store, cluster)
    show(to_json(findings)) if as_json else console().print(to_table(findings))
    print(counted(findings), file=sys.stderr)
    raise typer.Exit(has_problem(findings))


def _here(sweeps: tuple[Sweep, ...], store: str | None, cluster: Path | None) -> "list[Finding]":
    from w2s_ray.doctor.examine import examine
    from w2s_ray.doctor.request import Request
    from w2s_ray.search.fitting import with_absolute_paths

    is_cluster = bool(os.environ.get("RAY_ADDRESS"))
    placed = tuple(with_absolute_paths(sweep) for sweep in sweeps)
    named = placed[0].store if placed else store or (None if is_cluster else DEFAULT_STORE)
    where = absolute_place(named) if named else None
    with redirect_stdout(sys.stderr):  # Ray prints there that a node died, and --json is read by programs
        return examine(Request(placed, where, cluster, is_cluster))
