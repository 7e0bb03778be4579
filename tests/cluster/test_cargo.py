"""What a job carries, and what it must not."""

from pathlib import Path

import pytest

from w2s_ray.cluster.cargo import packed
from w2s_ray.spec import SpecError, Sweep, replace, yaml


def problems(sweep: Sweep) -> str:
    with pytest.raises(SpecError) as caught, packed(sweep):
        pass
    return str(caught.value)


def test_a_job_carries_the_package_and_the_same_spec(small: Sweep) -> None:
    with packed(small) as (entrypoint, runtime_env):
        assert entrypoint == "exec python -m w2s_ray run sweep.yaml"
        assert (Path(runtime_env["py_modules"][0]) / "cluster" / "cargo.py").is_file()
        assert yaml.load(Path(runtime_env["working_dir"]) / "sweep.yaml") == small
    assert not Path(runtime_env["working_dir"]).exists()


@pytest.mark.parametrize("store", ["w2s-runs", "~/runs"])
def test_a_store_that_nodes_would_not_share_is_refused(small: Sweep, store: str) -> None:
    assert "give --store an absolute folder that every node mounts" in problems(replace(small, store=store))


@pytest.mark.parametrize("store", ["/mnt/w2s", "s3://bucket/runs", "gs://bucket/runs"])
def test_a_store_that_all_nodes_reach_goes_along(small: Sweep, store: str) -> None:
    with packed(replace(small, store=store)) as (entrypoint, _):
        assert entrypoint


def test_a_file_of_this_machine_is_refused(small: Sweep) -> None:
    task = replace(small.task, source="./mine.csv")
    assert "'./mine.csv' is a file of this machine" in problems(replace(small, task=task))
