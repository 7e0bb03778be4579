"""The jobs of a sweep on a cluster: NAME-1, NAME-2, ... as often as it was submitted or resumed, one at a time.

The cluster is asked each time; nothing is kept here. A head that was lost forgets its jobs, which costs their logs. Of
two that submit a sweep at the same moment Ray lets one have the next number.
"""

import time
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
_ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
_OUTPUT = "Running entrypoint for job"  # Ray's line before the command's own


@dataclass(frozen=True)
class Job:
    """One run of a sweep's driver.

    Attributes:
        id: Ray's name for it, the sweep's and a number.
        status: Ray's word: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        store: the folder on the cluster where the sweep lives.
        began: seconds since the epoch.
        message: what Ray says about how it ended.
    """

    id: str
    status: str
    store: str
    began: float
    message: str

    @property
    def is_over(self) -> bool:
        """Whether it has ended, in any way."""
        return self.status in _ENDED

    def __str__(self) -> str:
        return f"job {self.id}: {self.status}, since {time.strftime('%Y-%m-%d %H:%M', time.localtime(self.began))}"


def jobs_of(client: "JobSubmissionClient", name: str) -> list[Job]:
    """Returns the jobs of the sweep called `name` that the cluster remembers, in the order of their numbers."""
    with translated(client.get_address()):
        listed = [job for job in client.list_jobs() if (job.metadata or {}).get("w2s_sweep") == name]
    return sorted(map(_job, listed), key=lambda job: _number(job.id))


def last_job(client: "JobSubmissionClient", name: str) -> Job:
    """Returns the newest job of a sweep. Raises ClusterError if the cluster knows none."""
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
        take_over: ends a job of that name first, and a driver that somebody started by hand on the same node.

    Raises:
        SpecError: the spec names what the cluster cannot have.
        ClusterError: the sweep is running there, or the cluster cannot be used.
    """
    store = several.sweeps[0].store
    with packed(several, take_over=take_over) as (entrypoint, runtime_env):
        if take_over:
            _stop_running(client, several.name)
        return _start(client, several.name, store, entrypoint, runtime_env, driver_on)


def resume(
    client: "JobSubmissionClient", name: str, store: str, trials: int | None = None, *, take_over: bool = False
) -> Job:
    """Carries on with a sweep from the spec kept in its store, and returns its job. Raises as `submit`."""
    more = [*(["--trials", str(trials)] if trials else []), *taking_over(take_over)]
    entrypoint = command("resume", name, "--store", store, *more)
    if take_over:
        _stop_running(client, name)
    return _start(client, name, store, entrypoint, environment(), None)


def stop(client: "JobSubmissionClient", name: str) -> Job:
    """Ends a sweep's driver in order, with checkpoints saved, and returns its job once it has ended.

    Raises:
        ClusterError: it does not run, or has not ended after a minute.
    """
    job = last_job(client, name)
    if job.is_over:
        raise ClusterError(f"sweep {name!r} does not run there ({job})")
    with translated(client.get_address()):
        client.stop_job(job.id)
    return _ended(client, job.id, _STOP_SECONDS)


def _stop_running(client: "JobSubmissionClient", name: str) -> None:
    if any(not job.is_over for job in jobs_of(client, name)):
        stop(client, name)


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
        ClusterError: it has not ended after `patience` seconds.
    """
    url = client.get_address()
    with translated(url):
        job_id = client.submit_job(entrypoint=entrypoint, runtime_env=runtime_env)
    job = _ended(client, job_id, patience)
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
    entrypoint: str,
    runtime_env: dict[str, Any],
    driver_on: dict[str, str] | None,
) -> Job:
    before = jobs_of(client, name)
    _refuse_a_second(name, before)
    job_id = f"{name}-{_number(before[-1].id) + 1 if before else 1}"
    try:
        with translated(client.get_address()):
            client.submit_job(
                submission_id=job_id,
                entrypoint=entrypoint,
                runtime_env=runtime_env,
                metadata={"w2s_sweep": name, "w2s_store": store},
                entrypoint_label_selector=driver_on,
            )
    except ClusterError:
        _refuse_a_second(name, jobs_of(client, name))  # somebody may have been faster
        raise
    return find(client, job_id)


def _refuse_a_second(name: str, jobs: list[Job]) -> None:
    for job in jobs:
        if not job.is_over:
            raise ClusterError(
                f"sweep {name!r} is running there ({job}); "
                f"follow it with w2s logs {name} -f, or end it: w2s stop {name}, or --take-over here"
            )


def _ended(client: "JobSubmissionClient", job_id: str, patience: float) -> Job:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        job = find(client, job_id)
        if job.is_over:
            return job
        time.sleep(_POLL_SECONDS)
    raise ClusterError(f"job {job_id} has not ended after {patience:.0f} s; see: ray job status {job_id}")


def _job(details: Any) -> Job:
    began = (details.start_time or 0) / 1000
    store = (details.metadata or {}).get("w2s_store", "")
    return Job(details.submission_id or "", details.status.value, store, began, details.message or "")


def _number(job_id: str) -> int:
    return int(job_id.rpartition("-")[2])
