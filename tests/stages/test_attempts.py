"""What a bad end says about the next try, with the errors that Ray really raises in the test of the broker."""

import errno
import pickle

import pytest
from ray.exceptions import (
    ActorUnavailableError,
    NodeDiedError,
    OutOfMemoryError,
    RayTaskError,
    TaskCancelledError,
    WorkerCrashedError,
)
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import (
    WorkerGroupStartupFailedError,
    WorkerGroupStartupTimeoutError,
    WorkerHealthCheckFailedError,
)

from w2s_ray.stages.attempts import (
    MOST_DEATHS,
    Attempts,
    StageDiedError,
    explained,
    reason_of,
    traceback_of,
    verdict_on,
)
from w2s_ray.stages.errors import MissingStageError, StoreUnavailableError
from w2s_ray.stages.nodes import NodeLostError, TrainingMovedError
from w2s_ray.training.errors import DeviceOutOfMemory, PeerLost, TrainingDiverged, TrainingStopped

LOST, DIED = NodeDiedError("gone"), WorkerCrashedError()
FULL = StoreUnavailableError(errno.ENOSPC, "the store is full")


def wrapped(error: Exception) -> Exception:
    outer, inner = "\x1b[36mray::Broker.produce()\x1b[39m (pid=1, ip=::)", "ray::run_stages() (pid=2)"
    text = f"{outer}\n  File outer\n{inner}\n  File inner\n{error}"
    made: Exception = RayTaskError("run_stages", text, error).as_instanceof_cause()
    return made


def tries(attempts: Attempts, error: Exception, most: int = 50, checkpoint: str | None = None) -> int:
    return next(n for n in range(most + 1) if n == most or attempts.pause_after(error, checkpoint) is None)


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (LOST, "lost"),
        (NodeLostError(had_begun=True), "lost"),
        (TrainingMovedError("notice"), "moved"),
        (PeerLost("connection closed"), "died"),
        (WorkerGroupStartupFailedError("a worker failed to initialize"), "died"),
        (WorkerGroupStartupTimeoutError(2), "lost"),
        (DIED, "died"),
        (FULL, "store"),
        (OutOfMemoryError("killed by the memory monitor"), "failed"),
        (RuntimeError("a passing fault"), "failed"),
        (OSError("a passing fault"), "failed"),
        (TrainingDiverged(7, 0.1), "final"),
        (DeviceOutOfMemory("cuda", 32), "final"),
        (MissingStageError("ab" * 16, "is not there"), "final"),
        (ValueError("depth 99"), "final"),
        (TrainingStopped(7), "final"),
        (TaskCancelledError(), "final"),
    ],
)
def test_the_error_says_whose_fault_it_is_wrapped_or_not(error: Exception, verdict: str) -> None:
    assert verdict_on(error) == verdict
    if not isinstance(error, TaskCancelledError):
        assert verdict_on(wrapped(error)) == verdict


def test_a_lost_node_is_no_failure_however_often() -> None:
    assert tries(Attempts(retries=0, patience=0), LOST) == 50


def test_notice_costs_no_pause_and_no_retry() -> None:
    attempts = Attempts(retries=0, patience=0)
    assert [attempts.pause_after(TrainingMovedError("notice"), None) for _ in range(20)] == [0.0] * 20


@pytest.mark.parametrize(
    ("own", "verdict"), [(ActorUnavailableError("gone", None), "died"), (ValueError("x"), "final")]
)
def test_what_a_worker_ended_with_counts_and_not_that_its_peer_lost_it(own: Exception, verdict: str) -> None:
    failures = {0: PeerLost("connection closed"), 1: WorkerHealthCheckFailedError("a health check failed", own)}
    assert verdict_on(WorkerGroupError("workers failed", failures)) == verdict


def test_a_failure_is_tried_again_as_often_as_the_spec_says() -> None:
    assert tries(Attempts(retries=2, patience=0), RuntimeError("fault")) == 2
    assert tries(Attempts(retries=0, patience=0), RuntimeError("fault")) == 0


def test_lost_nodes_and_deaths_do_not_use_up_the_retries() -> None:
    attempts = Attempts(retries=1, patience=0)
    assert [attempts.pause_after(error, None) is None for error in (LOST, DIED, LOST)] == [False] * 3
    assert tries(attempts, RuntimeError("fault")) == 1


def test_a_process_that_dies_without_getting_further_ends_and_one_that_gets_further_does_not() -> None:
    assert tries(Attempts(retries=2, patience=0), DIED) == MOST_DEATHS
    attempts = Attempts(retries=2, patience=0)
    assert all(attempts.pause_after(DIED, f"step-{n // 5}") is not None for n in range(100))


def test_an_unusable_store_is_waited_for_until_patience_ends_and_anew_after_it_came_back() -> None:
    attempts = Attempts(retries=2, patience=10)
    assert tries(attempts, FULL) == 5
    attempts = Attempts(retries=2, patience=10)
    assert [attempts.pause_after(error, None) for error in (FULL, FULL, LOST)] == [2.0, 2.0, 0.5]
    assert tries(attempts, FULL) == 5


def test_pauses_grow_so_that_a_broken_node_is_not_hammered() -> None:
    attempts = Attempts(retries=2, patience=0)
    pauses = [attempts.pause_after(LOST, None) or 0 for _ in range(12)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 30.0)


def test_what_ray_leaves_unsaid_is_said() -> None:
    memory = explained(wrapped(OutOfMemoryError("killed")), "student a seed 0")
    assert isinstance(memory, StageDiedError)
    assert "student a seed 0: the machine ran out of memory; lower micro_batch" in str(memory)
    assert "died 11 times" in str(explained(DIED, "student a seed 0"))
    plain = ValueError("depth 99")
    assert explained(plain, "student a seed 0") is plain
    assert str(pickle.loads(pickle.dumps(memory))) == str(memory)


def test_reason_and_traceback_are_those_of_the_process_that_failed() -> None:
    error = wrapped(ValueError("depth 99"))
    assert reason_of(error) == "ValueError: depth 99"
    assert traceback_of(error) == "File inner\ndepth 99"
    assert traceback_of(DIED) == ""
