"""What a job carries, and what it must not."""

from pathlib import Path

import pytest

from w2s_ray.cluster.cargo import packed
from w2s_ray.spec import SpecError, Sweep, replace, yaml
from w2s_ray.spec.several import Several


def alone(sweep: Sweep) -> Several:
    return Several(sweep.name, (sweep,))


def problems(sweep: Sweep) -> str:
    with pytest.raises(SpecError) as caught, packed(alone(sweep)):
        pass
    return str(caught.value)


def test_a_job_carries_the_package_and_the_same_spec(small: Sweep) -> None:
    with packed(alone(small)) as (entrypoint, runtime_env):
        assert entrypoint == "exec python -m w2s_ray run sweep.yaml"
        assert (Path(runtime_env["py_modules"][0]) / "cluster" / "cargo.py").is_file()
        assert yaml.load(Path(runtime_env["working_dir"]) / "sweep.yaml") == small
    assert not Path(runtime_env["working_dir"]).exists()


@pytest.mark.parametrize("store", ["w2s-runs", "~/runs"])
def test_a_store_that_nodes_would_not_share_is_refused(small: Sweep, store: str) -> None:
    assert "give --store an absolute folder that every node mounts" in problems(replace(small, store=store))


@pytest.mark.parametrize("store", ["/mnt/w2s", "s3://bucket/runs", "gs://bucket/runs"])
def test_a_store_that_all_nodes_reach_goes_along(small: Sweep, store: str) -> None:
    with packed(alone(replace(small, store=store))) as (entrypoint, _):
        assert entrypoint


def test_a_file_of_this_machine_is_refused(small: Sweep) -> None:
    task = replace(small.task, source="./mine.csv")
    assert "'./mine.csv' is a file of this machine" in problems(replace(small, task=task))
    task = replace(small.task, source="nowhere.csv")  # a table by its name, though there is none
    assert "'nowhere.csv' is a file of this machine" in problems(replace(small, task=task))


def test_a_file_with_many_tasks_travels_as_one_and_a_fault_of_all_is_said_once(small: Sweep) -> None:
    tasks = {name: replace(small.task, seed=seed) for name, seed in (("first", 1), ("second", 2))}
    sweeps = tuple(replace(small, name=f"many-{name}", task=task) for name, task in tasks.items())
    with packed(Several("many", sweeps), take_over=True) as (entrypoint, runtime_env):
        assert entrypoint == "exec python -m w2s_ray run sweep.yaml --take-over"
        assert yaml.load_all(Path(runtime_env["working_dir"]) / "sweep.yaml") == Several("many", sweeps)
    away = tuple(replace(sweep, store="w2s-runs") for sweep in sweeps)
    with pytest.raises(SpecError) as caught, packed(Several("many", away)):
        pass
    assert len(caught.value.problems) == 1
