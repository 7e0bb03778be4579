"""The commands that need a cluster: `w2s submit`, `logs`, `stop`, and what `status` and `resume` do with --address."""

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from w2s_ray.search.signals import INTERRUPTED
from w2s_ray.spec.several import Several

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

    from w2s_ray.cluster.jobs import Job

_MARKET = "ray.io/market-type"  # Ray's own label, in the cluster files here too: spot or on-demand
_ADDRESS_HELP = "URL of the cluster's Ray dashboard, such as http://localhost:8265 at the end of a tunnel."

Address = Annotated[str, typer.Option("--address", help=_ADDRESS_HELP, show_default=False)]
MaybeAddress = Annotated[
    str | None, typer.Option("--address", help=f"On a cluster, not here: {_ADDRESS_HELP}", show_default=False)
]
SeenFrom = Annotated[
    str | None, typer.Option("--seen-from", help="Where `status` at this address was called.", hidden=True)
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Use a cluster that asks for no token, or plain http over a network.")
]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Show its output to its end; Ctrl-C only stops looking.")]
DriverOn = Annotated[
    str | None,
    typer.Option(
        "--driver-on",
        help="LABEL=VALUE of the nodes that may hold the driver; none that can be preempted. Default: the head node.",
        show_default=False,
    ),
]


def submit_sweeps(
    several: Several, address: str, driver_on: str | None, *, is_followed: bool, insecure: bool, take_over: bool
) -> None:
    """Starts a file's sweep or sweeps on a cluster, prints its name, and with `is_followed` the output."""
    from w2s_ray.cluster.client import connect
    from w2s_ray.cluster.jobs import submit

    labels = _labels(driver_on)
    client = connect(address, insecure=insecure)
    job = submit(client, several, labels, take_over=take_over)
    print(several.name)
    _follow(client, job, several.name, address) if is_followed else _say_how_to_go_on(job, several.name, address)


def resume_there(
    name: str, address: str, store: str | None, trials: int | None, *, insecure: bool, take_over: bool
) -> None:
    """Carries on with a sweep on a cluster: where its last job was, unless `store` says another place."""
    from w2s_ray.cluster.address import ClusterError
    from w2s_ray.cluster.cargo import store_problem
    from w2s_ray.cluster.client import connect
    from w2s_ray.cluster.jobs import resume

    problem = store_problem(store) if store else None
    if problem:
        raise ClusterError(str(problem))
    client = connect(address, insecure=insecure)
    job = resume(client, name, store, trials, take_over=take_over)
    print(name)
    _say_how_to_go_on(job, name, address)


def status_there(name: str, address: str, store: str | None, *, as_json: bool, insecure: bool) -> None:
    """Prints how far a sweep is on a cluster, as `w2s status` on its head node says, and the state of its job."""
    from w2s_ray.cluster.client import connect
    from w2s_ray.cluster.jobs import ask, jobs_of, last_job

    client = connect(address, insecure=insecure)
    for job in jobs_of(client, name)[-1:]:
        print(job, file=sys.stderr)
    where = store or last_job(client, name).store
    print(ask(client, "status", name, "--store", where, "--seen-from", address, *(["--json"] if as_json else [])))


def logs(
    name: Annotated[str, typer.Argument(help="The sweep's name, as its spec says.", show_default=False)],
    address: Address,
    follow: Follow = False,
    insecure: Insecure = False,
) -> None:
    """Show what a sweep's driver on a cluster prints."""
    from w2s_ray.cluster.client import connect
    from w2s_ray.cluster.jobs import last_job, lines

    client = connect(address, insecure=insecure)
    job = last_job(client, name)
    _follow(client, job, name, address) if follow else print(lines(client, job), end="")


def stop(
    name: Annotated[str, typer.Argument(help="The sweep's name, as its spec says.", show_default=False)],
    address: Address,
    insecure: Insecure = False,
) -> None:
    """End a sweep on a cluster in order: checkpoints are saved, and `w2s resume` or `submit` carries on."""
    from w2s_ray.cluster.client import connect
    from w2s_ray.cluster.jobs import stop as stop_job

    print(stop_job(connect(address, insecure=insecure), name))
    print(f"carry on with: w2s resume {name} --address {address}", file=sys.stderr)


def _follow(client: "JobSubmissionClient", job: "Job", name: str, address: str) -> None:
    from w2s_ray.cluster.follow import follow

    try:
        ended = follow(client, job)
    except KeyboardInterrupt:
        print(f"\nthe sweep goes on: w2s logs {name} -f --address {address}", file=sys.stderr)
        raise typer.Exit(INTERRUPTED) from None
    print(ended, file=sys.stderr)
    if ended.status != "SUCCEEDED":
        raise typer.Exit(INTERRUPTED if ended.status == "STOPPED" else 1)


def _say_how_to_go_on(job: "Job", name: str, address: str) -> None:
    print(f"{job}\nfollow it with: w2s logs {name} -f --address {address}", file=sys.stderr)


def _labels(text: str | None) -> dict[str, str] | None:
    if text is None:
        return None
    label, _, value = text.partition("=")
    if not label or not value:
        raise typer.BadParameter(f"LABEL=VALUE, such as {_MARKET}=on-demand, got {text!r}", param_hint="--driver-on")
    if label == _MARKET and _admits_spot(value):
        raise typer.BadParameter(
            f"{text} means nodes that can be preempted, and a sweep stands still without its driver; name others, "
            f"such as {_MARKET}=on-demand, or leave it out for the head node",
            param_hint="--driver-on",
        )
    return {label: value}


def _admits_spot(selector: str) -> bool:
    """Whether a selector of Ray's, such as `spot`, `in(spot, on-demand)` or `!on-demand`, leaves the value `spot`."""
    return ("spot" in re.findall(r"[\w.-]+", selector)) != selector.startswith("!")
