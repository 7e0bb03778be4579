"""One machine, well and with real faults."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from w2s_ray.doctor import machine
from w2s_ray.doctor.machine import gpus, packages, shared_memory, temporary_disk, versions
from w2s_ray.doctor.need import Need


def test_a_machine_names_what_must_be_equal_everywhere() -> None:
    assert set(versions()) == {"python", "w2s_ray", "ray", "torch", "optuna", "mlflow"}
    assert packages(Need())[0].state == "ok"


def test_too_few_open_files_are_a_problem_with_the_command_that_mends_it() -> None:
    code = "from w2s_ray.doctor.machine import limits; from w2s_ray.doctor.need import Need; print(limits(Need())[0])"
    command = f"ulimit -n 256 && exec {sys.executable} -c '{code}'"
    said = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True).stdout
    assert "state='problem'" in said
    assert "up to 256 a process" in said
    assert "ulimit -n 65536" in said


def test_a_full_disk_of_temporary_files_is_a_problem(disk_of: Callable[..., Path]) -> None:
    (found,) = temporary_disk(Need(temp=str(disk_of("1m"))))
    assert found.state == "problem"
    assert "RAY_TMPDIR" in found.mend


def test_an_object_store_that_shared_memory_cannot_hold_is_a_warning() -> None:
    (found,) = shared_memory(Need(object_store=1e15))
    assert found.state == "warning"
    assert "--shm-size" in found.mend


def test_a_gpu_that_ray_counts_and_torch_does_not_see_is_a_problem() -> None:
    (found,) = gpus(Need(gpus=99))
    assert found.state == "problem"
    assert found.says.endswith("Ray counts 99")


def test_a_torch_that_does_not_answer_is_a_problem_where_ray_counts_gpus_and_a_warning_where_it_may_be_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "_GPU_SECONDS", 0.01)
    assert [gpus(Need(gpus=count))[0].state for count in (0, 1)] == ["warning", "problem"]
    assert "look again" in gpus(Need(gpus=0))[0].mend
