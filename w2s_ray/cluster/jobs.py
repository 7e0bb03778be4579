"""The jobs of a sweep on a cluster: NAME-1, NAME-2, ... as often as it was submitted or resumed, one at a time.

The cluster is asked each time; nothing is kept here. A head that was lost forgets its jobs, which costs their logs. Of
two that submit a sweep at the same moment Ray lets one have the next number.
"""

import json
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from w2s_ray.cluster.address import ClusterError
from w2s_ray.cluster.cargo import command, environment, packed, taking_over
from w2s_ray.cluster.client import translated
from w2s_ray.spec.several import Several

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_POLL_SECONDS = 0.5
_QUERY_SECONDS = 120.0
_STOP_SECONDS = 60.0
_START_SECONDS = 15.0  # in which a driver that has a node begins
_ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
_SWEEP, _SWEEPS, _STORE, _DRIVER_ON = "w2s_sweep", "w2s_sweeps", "w2s_store", "w2s_driver_on"  # in a job's metadata
_OUTPUT = "Running entrypoint for job"  # Ray's line before the command's own


@dataclass(frozen=True)
class Job:
    """One run of a sweep's driver.

    Attributes:
        id: Ray's name for it, the submission's and a number.
        name: of the submission: of a sweep, or of a file of many tasks.
        sweeps: what it runs, by name, where the submission was a file.
        status: Ray's word: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        store: the folder on the cluster where the sweep lives.
        driver_on: labels of the nodes that may hold the driver; none for the head.
        began: seconds since the epoch.
        message: what Ray says about how it ended.
    """

    id: str
    name: str
    sweeps: tuple[str, ...]
    status: str
    store: str
    driver_on: Mapping[str, str]
    began: float
    message: str

    @property
    def runs(self) -> frozenset[str]:
        """All names by which people ask for it: the submission's and those of its sweeps."""
        return frozenset((self.name, *self.sweeps))

    @property
    def number(self) -> int:
        """How often the submission was started, this time included."""
        return int(self.id.rpartition("-")[2])

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in any way."""
        return self.status in _ENDED

    def __str__(self) -> str:
        return f"job {self.id}: {self.status}, since {time.strftime('%Y-%m-%d %H:%M', time.localtime(self.began))}"


def jobs_of(client: "JobSubmissionClient", *names: str) -> list[Job]:
    """Returns the jobs that the cluster remembers of any of these submissions or sweeps, a file's among them.

    They are in the order of their beginnings, those that have not ended behind the others.
    """
    with translated(client.get_address()):
        listed = [_job(job) for job in client.list_jobs() if _SWEEP in (job.metadata or {})]
    found = [job for job in listed if job.runs.intersection(names)]
    return sorted(found, key=lambda job: (not job.is_over, job.began, job.number))


def last_job(client: "JobSubmissionClient", name: str) -> Job:
    """Returns the job of a sweep that runs, or else its newest. Raises ClusterError if the cluster knows none."""
    jobs = jobs_of(client, name)
    if not jobs:
        raise ClusterError(
            f"the cluster knows no sweep {name!r}; a restarted head forgets: submit it again, or resume it with --store"
        )
    return jobs[-1]


def submit(
    client: "JobSubmissionClient",
    several: Several,
    driver_on: dict[str, str] | None = None,
    *,
    take_over: bool = False,
) -> Job:
    """Starts a file's sweep or sweeps, or what is left of them, and returns the job, which has the file's name.

    Args:
        client: of the cluster.
        several: the `store` is a folder that every node mounts.
        driver_on: labels of the node that the driver may run on; by default the head node.
        take_over: ends the jobs of these sweeps first, and a driver that somebody started by hand on the same node.

    Raises:
        SpecError: the spec names what the cluster cannot have.
        ClusterError: one of the sweeps is running there, with others if `take_over`, or the cluster cannot be used.
    """
    name, store = several.name, several.sweeps[0].store
    sweeps = () if several.is_one else tuple(sweep.name for sweep in several.sweeps)
    with packed(several, take_over=take_over) as (entrypoint, runtime_env):
        if take_over:
            _stop_running(client, name, *sweeps)
        return _start(client, name, store, sweeps, entrypoint, runtime_env, driver_on)


def resume(
    client: "JobSubmissionClient",
    name: str,
    store: str | None = None,
    trials: int | None = None,
    *,
    take_over: bool = False,
) -> Job:
    """Carries on with a sweep from the spec kept in its store, on the nodes that its last job was for; returns its job.

    Raises as `submit`.

    Args:
        client: of the cluster.
        name: of the sweep, or of the file that was submitted.
        store: where it lives, by default what its last job said.
        trials: raises the budget to so many.
        take_over: as for `submit`.
    """
    last = last_job(client, name) if store is None else next(reversed(jobs_of(client, name)), None)
    where = store or (last.store if last else "")
    more = [*(["--trials", str(trials)] if trials else []), *taking_over(take_over)]
    entrypoint = command("resume", name, "--store", where, *more)
    sweeps = last.sweeps if last and last.name == name else ()
    if take_over:
        _stop_running(client, name, *sweeps)
    return _start(client, name, where, sweeps, entrypoint, environment(), dict(last.driver_on) if last else None)


def stop(client: "JobSubmissionClient", name: str) -> Job:
    """Ends a submission's driver in order, with checkpoints saved, and returns its job once it has ended.

    Raises:
        ClusterError: it does not run, is more than the sweep `name`, has no node yet, or does not end within a minute.
    """
    job = last_job(client, name)
    if job.is_over:
        raise ClusterError(f"sweep {name!r} does not run there ({job})")
    return _stop(client, job, (name,))


def _stop(client: "JobSubmissionClient", job: Job, names: Collection[str]) -> Job:
    """Ends a job whose submission is one of `names`; another one runs more than these."""
    if job.name not in names:
        ours = next(name for name in names if name in job.runs)
        raise ClusterError(
            f"sweep {ours!r} runs there with others ({job}); end them all: w2s stop {job.name} {_there(client)}"
        )
    with translated(client.get_address()):
        client.stop_job(job.id)
    if not _has_begun(client, job):
        where = " or ".join(f"{label}={value}" for label, value in job.driver_on.items()) or "the head"
        raise ClusterError(
            f"{job}: its driver has no node yet ({where}), and Ray ends no job before it has begun; "
            "start such a node and it ends at once, or wait: Ray gives it up 15 minutes after it was submitted"
        )
    return _ended(client, job.id, _STOP_SECONDS)


def _has_begun(client: "JobSubmissionClient", job: Job) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while find(client, job.id).status == "PENDING":
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _stop_running(client: "JobSubmissionClient", *names: str) -> None:
    running = [job for job in jobs_of(client, *names) if not job.is_over]
    for job in sorted(running, key=lambda job: job.name in names):  # what is refused is refused before any ends
        _stop(client, job, names)


def ask(client: "JobSubmissionClient", *arguments: str) -> str:
    """Runs `w2s` on the head node, where the store is, and returns what it printed. Forgets the job afterwards.

    Raises:
        ClusterError: the command failed, with what it said.
    """
    job, said = ended_with(client, command(*arguments), environment(), _QUERY_SECONDS)
    if job.status != "SUCCEEDED":
        raise ClusterError(said.removeprefix("w2s: ") or job.message)
    return said


def ended_with(
    client: "JobSubmissionClient", entrypoint: str, runtime_env: dict[str, Any], patience: float
) -> tuple[Job, str]:
    """Runs a command on the head node; returns how it ended and what it printed, and forgets the job.

    Raises:
        ClusterError: it has not ended after `patience` seconds, and is stopped.
    """
    url = client.get_address()
    with translated(url):
        job_id = client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
    try:
        job = _ended(client, job_id, patience)
    except (ClusterError, KeyboardInterrupt):  # nobody waits for it, and each further try would leave one more there
        with suppress(ClusterError), translated(url):
            client.stop_job(job_id)
        raise
    with translated(url):
        said = str(client.get_job_logs(job_id))
        client.delete_job(job_id)
    return job, said.partition(_OUTPUT)[2].partition("\n")[2].rstrip()


def lines(client: "JobSubmissionClient", job: Job) -> str:
    """Returns all that a job's driver printed so far."""
    with translated(client.get_address()):
        return str(client.get_job_logs(job.id))


def find(client: "JobSubmissionClient", job_id: str) -> Job:
    """Returns a job as it is now."""
    with translated(client.get_address()):
        return _job(client.get_job_info(job_id))


def _start(
    client: "JobSubmissionClient",
    name: str,
    store: str,
    sweeps: tuple[str, ...],
    entrypoint: str,
    runtime_env: dict[str, Any],
    driver_on: dict[str, str] | None,
) -> Job:
    before = jobs_of(client, name, *sweeps)
    _refuse_a_second(client, before, name, *sweeps)
    job_id = f"{name}-{1 + max((job.number for job in before if job.name == name), default=0)}"
    metadata = {_SWEEP: name, _STORE: store, _SWEEPS: " ".join(sweeps), _DRIVER_ON: json.dumps(driver_on or {})}
    try:
        with translated(client.get_address()):
            client.submit_job(
                submission_id=job_id,
                entrypoint=entrypoint,
                runtime_env=runtime_env,
                metadata=metadata,
                entrypoint_label_selector=driver_on or None,
            )
    except ClusterError:
        _refuse_a_second(client, jobs_of(client, name, *sweeps), name, *sweeps)  # somebody may have been faster
        raise
    return find(client, job_id)


def _refuse_a_second(client: "JobSubmissionClient", jobs: list[Job], *names: str) -> None:
    for job in jobs:
        if not job.is_over:
            name = next(name for name in names if name in job.runs)
            raise ClusterError(
                f"sweep {name!r} is running there ({job}); "
                f"follow it with w2s logs {name} -f {_there(client)}, or end it: w2s stop {job.name} {_there(client)}, "
                "or --take-over here"
            )


def _there(client: "JobSubmissionClient") -> str:
    return f"--address {client.get_address()}"


def _ended(client: "JobSubmissionClient", job_id: str, patience: float) -> Job:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        job = find(client, job_id)
        if job.is_over:
            return job
        time.sleep(_POLL_SECONDS)
    raise ClusterError(
        f"job {job_id} has not ended after {patience:.0f} s and is stopped; what it said: "
        f"RAY_AUTH_MODE=token ray job logs {job_id} {_there(client)}"
    )


def _job(details: Any) -> Job:
    told = details.metadata or {}
    return Job(
        id=details.submission_id or "",
        name=told.get(_SWEEP, ""),
        sweeps=tuple(told.get(_SWEEPS, "").split()),
        status=details.status.value,
        store=told.get(_STORE, ""),
        driver_on=json.loads(told.get(_DRIVER_ON, "{}")),
        began=(details.start_time or 0) / 1000,
        message=details.message or "",
    )
