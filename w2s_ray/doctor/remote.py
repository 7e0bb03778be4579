"""The same from outside: what keeps this machine from the cluster, and what the cluster's head finds when it looks.

The checks travel as a sweep does, as a job with this package and the spec, so they see the environment of the head and
the nodes as a sweep will. The job prints its findings as JSON; a head that cannot run it is a finding, too.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from w2s_ray.cluster.address import ClusterError
from w2s_ray.cluster.cargo import command, environment, problems_on_a_cluster, store_problem
from w2s_ray.doctor.finding import Finding, advised, ok, placed, problem, warning
from w2s_ray.secrets import without_secrets
from w2s_ray.spec import Problem, Sweep

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_SECONDS = 600.0
_SPEC, _CLUSTER = "sweep.yaml", "cluster.yaml"
_HEAD = "see `ray job list`, and whether the head can start processes and has w2s_ray's libraries"


def examine_there(
    address: str,
    sweeps: Sequence[Sweep] = (),
    *,
    spec: Path | None = None,
    store: str | None = None,
    cluster_file: Path | None = None,
    insecure: bool = False,
) -> list[Finding]:
    """Returns what is found on the cluster at `address`, and on the way to it.

    Args:
        address: of its Jobs API.
        sweeps: what `spec` says, with the command line's options.
        spec: the file, which is sent along.
        store: a folder on the cluster, in place of the spec's.
        cluster_file: a file with node types; sent along.
        insecure: goes on where there is no token, or where it could be overheard.
    """
    where = f"from here to {without_secrets(address)}"
    outside = [one for sweep in sweeps for one in problems_on_a_cluster(sweep)]
    if store and not sweeps:
        outside += [one for one in (store_problem(store),) if one is not None]
    client, access = _connected(address, insecure)
    findings = placed([*access, *map(_of_spec, outside)], where)
    if client is None:
        return findings
    arguments = [*([_SPEC] if spec else []), *(["--store", store] if store else [])]
    arguments += ["--cluster", _CLUSTER] if cluster_file else []
    with _carried({_SPEC: spec, _CLUSTER: cluster_file}) as runtime_env:
        return [*findings, *placed(_asked(client, arguments, runtime_env), "head")]


def _connected(address: str, insecure: bool) -> tuple["JobSubmissionClient | None", list[Finding]]:
    """Connects as `w2s submit` would; what it would refuse without `insecure` is a warning with it."""
    from w2s_ray.cluster.client import connect

    mend = "mend that first: nothing on the cluster could be looked at"
    try:
        return connect(address), [ok("address", "answers, asks for a token, and takes the one here")]
    except ClusterError as error:
        strict = advised("address", str(error), mend)
    if not insecure:
        return None, [strict]
    try:
        return connect(address, insecure=True), [warning("address", strict.says, strict.mend)]
    except ClusterError as error:
        return None, [advised("address", str(error), mend)]


def _of_spec(one: Problem) -> Finding:
    return problem("spec", f"{'.'.join(map(str, one.place))}: {one.message}", one.fix)


@contextmanager
def _carried(files: dict[str, Path | None]) -> Iterator[dict[str, Any]]:
    """Gives the runtime environment of a job in whose folder these files lie."""
    with TemporaryDirectory(prefix="w2s-") as folder:
        for name, path in files.items():
            if path is not None:
                shutil.copyfile(path, Path(folder) / name)
        yield {**environment(), "working_dir": folder}


def _asked(client: "JobSubmissionClient", arguments: list[str], runtime_env: dict[str, Any]) -> list[Finding]:
    from w2s_ray.cluster.jobs import ended_with

    try:
        job, said = ended_with(client, command("doctor", *arguments, "--json"), runtime_env, _SECONDS)
    except ClusterError as error:
        return [advised("head", str(error), _HEAD)]
    found = _read(said)
    if found is None:
        last = (said.strip().splitlines() or [job.message or job.status])[-1]
        return [problem("head", f"the checks did not run there: {last}", _HEAD)]
    return found


def _read(said: str) -> list[Finding] | None:
    """Returns the findings that a job printed, between whatever else its processes did; None if it printed none."""
    start = f"\n{said}".find('\n{\n  "ok":')
    if start < 0:
        return None
    data, _ = json.JSONDecoder().raw_decode(said, start)
    return [Finding(**one) for one in data["findings"]]
