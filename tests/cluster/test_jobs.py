"""Which jobs are a sweep's, where it runs alone and as part of a file: a cluster's list of jobs without a cluster."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from ray.job_submission import JobDetails, JobStatus

from w2s_ray.cluster.address import ClusterError
from w2s_ray.cluster.jobs import ended_with, jobs_of, last_job, resume, stop, submit
from w2s_ray.spec import Sweep, replace
from w2s_ray.spec.several import Several

FILE = {"w2s_sweep": "paper", "w2s_sweeps": "paper-boolq paper-sciq"}
ALONE = {"w2s_sweep": "paper-sciq"}


@dataclass
class Jobs:
    """What Ray's client tells and does of jobs; one that is submitted begins at once, and ends when it is told to."""

    jobs: dict[str, JobDetails] = field(default_factory=dict)

    def has(self, job_id: str, status: str, metadata: dict[str, str]) -> None:
        self.jobs[job_id] = JobDetails(
            type="SUBMISSION",
            submission_id=job_id,
            status=JobStatus(status),
            entrypoint="w2s",
            start_time=1000 * len(self.jobs),
            metadata={"w2s_store": "/mnt/w2s", **metadata},
        )

    def get_address(self) -> str:
        return "http://localhost:8265"

    def list_jobs(self) -> list[JobDetails]:
        return list(self.jobs.values())

    def get_job_info(self, job_id: str) -> JobDetails:
        return self.jobs[job_id]

    def submit_job(self, *, submission_id: str = "query", metadata: dict[str, str] | None = None, **_: Any) -> str:
        self.has(submission_id, "RUNNING", metadata or {})
        return submission_id

    def stop_job(self, job_id: str) -> bool:
        self.has(job_id, "STOPPED", self.jobs[job_id].metadata or {})
        return True


@pytest.fixture
def cluster() -> Any:
    return Jobs()


@pytest.fixture
def paper(small: Sweep) -> Several:
    stored = replace(small, store="/mnt/w2s")
    return Several("paper", tuple(replace(stored, name=name) for name in ("paper-boolq", "paper-sciq")))


@pytest.fixture
def alone(paper: Several) -> Several:
    return Several("paper-sciq", paper.sweeps[1:])


def test_a_sweep_that_once_ran_alone_is_found_in_the_file_that_runs_it_now(cluster: Any, alone: Several) -> None:
    cluster.has("paper-1", "RUNNING", FILE)
    cluster.has("paper-sciq-1", "SUCCEEDED", ALONE)
    assert [job.id for job in jobs_of(cluster, "paper-sciq")] == ["paper-sciq-1", "paper-1"]
    assert last_job(cluster, "paper-sciq").id == "paper-1", "one that runs tells more than one that began later"
    refused = r"sweep 'paper-sciq' is running there \(job paper-1: RUNNING.*w2s stop paper --address"
    with pytest.raises(ClusterError, match=refused):
        submit(cluster, alone)
    with pytest.raises(ClusterError, match=refused):
        resume(cluster, "paper-sciq")
    for end in (lambda: stop(cluster, "paper-sciq"), lambda: submit(cluster, alone, take_over=True)):
        with pytest.raises(ClusterError, match=r"'paper-sciq' runs there with others .* w2s stop paper --address"):
            end()
    assert stop(cluster, "paper").status == "STOPPED"
    assert submit(cluster, alone).id == "paper-sciq-2"


def test_a_file_is_refused_while_one_of_its_sweeps_runs_alone_or_in_another_file(cluster: Any, paper: Several) -> None:
    cluster.has("paper-sciq-1", "RUNNING", ALONE)
    with pytest.raises(ClusterError, match=r"sweep 'paper-sciq' is running there \(job paper-sciq-1: RUNNING"):
        submit(cluster, paper)
    assert submit(cluster, paper, take_over=True).id == "paper-1"
    assert last_job(cluster, "paper-sciq").id == "paper-1"
    with pytest.raises(ClusterError, match=r"sweep 'paper-boolq' is running there \(job paper-1: RUNNING"):
        submit(cluster, Several("other", paper.sweeps[:1] * 2))
    assert cluster.jobs["paper-sciq-1"].status == "STOPPED"


def test_a_file_is_carried_on_with_all_its_sweeps(cluster: Any) -> None:
    cluster.has("paper-1", "STOPPED", FILE)
    cluster.has("paper-sciq-1", "RUNNING", ALONE)
    with pytest.raises(ClusterError, match=r"sweep 'paper-sciq' is running there \(job paper-sciq-1"):
        resume(cluster, "paper")
    carried = resume(cluster, "paper", take_over=True)
    assert (carried.id, carried.sweeps) == ("paper-2", ("paper-boolq", "paper-sciq"))


def test_a_command_there_that_does_not_end_is_stopped_and_its_words_can_be_found(cluster: Any) -> None:
    with pytest.raises(ClusterError, match=r"not ended after 0 s.*ray job logs query --address http://localhost:8265"):
        ended_with(cluster, "w2s status", {}, 0)
    assert cluster.jobs["query"].status == "STOPPED"
