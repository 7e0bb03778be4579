"""A whole sweep whose store is a bucket, killed and carried on by a machine that has no copy of anything."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import buckets
import numpy as np
import pytest

from tests.chaos import asking
from tests.chaos.asking import student_of
from tests.chaos.harness import MARK, end_all, start_driver, until
from w2s_ray.search.folder import load_record, load_spec
from w2s_ray.search.listing import list_sweeps
from w2s_ray.search.record import SweepRecord
from w2s_ray.search.status import status_of
from w2s_ray.spec import Resources, Sweep, replace, yaml
from w2s_ray.stages.artifacts import read_lines
from w2s_ray.stages.finetune import train_alone
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.open import open_store
from w2s_ray.stages.store import Store
from w2s_ray.stages.usage import USAGE

pytestmark = pytest.mark.slow

_STAGES_BEFORE_THE_KILL = 8
_OBJECTS = 100 * 2**20  # bytes of object store, which stays all but empty
_LONG = {"epochs": 1000, "lr": 3e-5}  # as in tests/chaos/test_leaving.py


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    end_all(str(tmp_path), patience=0)


def stored(store: ObjectStore) -> set[str]:
    return {key.split("/")[1] for key in store.objects.listing("stages/") if key.endswith("/stage.json")}


def outcome(record: SweepRecord) -> list[tuple[Any, ...]]:
    return [(t.number, t.method, t.state, dict(t.params), dict(t.values), dict(t.stages)) for t in record.trials]


class Nodes:
    """A head without CPUs, and nodes that share no disk: each has a cache of its own."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        from ray.cluster_utils import Cluster

        self._folder, self._real = folder, str(Path("~/.cache/w2s_ray").expanduser())
        patch.setenv("W2S_CACHE", buckets.other_cache(self._real, f"{folder}/driver"))
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _OBJECTS}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        patch.setenv("RAY_ADDRESS", self.cluster.address)

    def add(self, name: str, cpus: int) -> Any:
        own = {"W2S_CACHE": buckets.other_cache(self._real, f"{self._folder}/{name}")}
        return self.cluster.add_node(num_cpus=cpus, object_store_memory=_OBJECTS, env_vars=own)


@pytest.fixture
def nodes(tmp_path: Path, s3: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    buckets.use(monkeypatch, s3)
    made = Nodes(tmp_path, monkeypatch)
    yield made
    made.cluster.shutdown()


def test_nodes_that_share_no_disk_share_a_sweep_in_a_bucket(
    nodes: Nodes, small_data: dict[str, Any], tmp_path: Path, s3: int, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    uri = f"s3://{buckets.make_bucket(s3)}/runs"
    monkeypatch.setenv("W2S_STUDY_URL", f"sqlite:///{tmp_path}/studies.db")
    (tmp_path / "small.yaml").write_text(yaml.dump(Sweep.model_validate(small_data)), encoding="utf-8")
    for name in ("one", "two"):
        nodes.add(name, cpus=2)
    driver = start_driver(tmp_path, mark, "run", "small.yaml", "--store", uri, log="driver")
    assert driver.wait() == 0, (tmp_path / "driver.err").read_text(encoding="utf-8")
    assert len(list((tmp_path / "driver").glob("stores/*/sweeps/small/report/report.json"))) == 1
    copies = {name: set(map(str, (tmp_path / name).glob("stores/*/stages/*/*.parquet"))) for name in ("one", "two")}
    assert all(copies.values()), copies
    assert not list((tmp_path / "driver").glob("stores/*/work/*/checkpoints"))


def test_a_group_whose_node_is_lost_goes_on_on_two_that_share_no_disk_and_learns_what_one_worker_learns(
    nodes: Nodes, small: Sweep, tmp_path: Path, s3: int, mark: str
) -> None:
    group = Resources(workers=2, checkpoint_seconds=1, micro_batch=1)
    plan = replace(small.resources, default=group, features=Resources())
    sweep = replace(small, store=f"s3://{buckets.make_bucket(s3)}/runs", resources=plan)
    stage, store = student_of(sweep, _LONG), open_store(sweep.store)
    (tmp_path / "small.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    first = nodes.add("both", cpus=2)
    command = [sys.executable, str(Path(asking.__file__)), str(tmp_path / "small.yaml"), json.dumps(_LONG)]
    asked = subprocess.Popen(command, env={**os.environ, MARK: mark}, stderr=subprocess.PIPE, text=True)
    until(lambda: store.newest_checkpoint(stage.address) is not None or asked.poll() is not None)
    nodes.cluster.remove_node(first, allow_graceful=False)
    for name in ("one", "two"):
        nodes.add(name, cpus=1)
    said = asked.communicate(timeout=500)[1]
    assert asked.returncode == 0, said
    found = store.get(stage.address)
    assert found.record.seconds["stage"] > found.record.seconds["loop"] > 0
    assert {path.name for path in tmp_path.glob("*/stores/*/work/*/*")} <= {"checkpoints", USAGE}, "of an earlier try"
    alone = train_alone(stage, store)
    assert found.predictions().ids.tolist() == alone.predictions.ids.tolist()
    np.testing.assert_allclose(found.predictions().probabilities, alone.predictions.probabilities, atol=1e-3)


def test_a_sweep_in_a_bucket_is_killed_and_ends_elsewhere_as_if_it_had_not_been(
    small_data: dict[str, Any], tmp_path: Path, s3: int, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    sweep = Sweep.model_validate({**small_data, "search": {"trials": 4, "parallelism": 1}})
    real = str(Path("~/.cache/w2s_ray").expanduser())
    buckets.use(monkeypatch, s3)
    uri = f"s3://{buckets.make_bucket(s3)}/runs"
    monkeypatch.setenv("W2S_STUDY_URL", f"sqlite:///{tmp_path}/studies.db")
    (tmp_path / "small.yaml").write_text(yaml.dump(sweep), encoding="utf-8")

    monkeypatch.setenv("W2S_CACHE", buckets.other_cache(real, f"{tmp_path}/a"))
    store = open_store(uri)
    assert isinstance(store, ObjectStore)
    driver = start_driver(tmp_path, mark, "run", "small.yaml", "--store", uri, log="first")
    while len(stored(store)) < _STAGES_BEFORE_THE_KILL and driver.poll() is None:
        time.sleep(0.2)
    assert driver.poll() is None, (tmp_path / "first.err").read_text(encoding="utf-8")
    driver.kill()
    driver.wait()
    end_all(mark, patience=0)
    killed, before = time.time(), stored(store)

    monkeypatch.setenv("W2S_CACHE", buckets.other_cache(real, f"{tmp_path}/b"))
    driver = start_driver(tmp_path, mark, "resume", "small", "--store", uri, log="second")
    assert driver.wait() == 0, (tmp_path / "second.err").read_text(encoding="utf-8")
    lines = read_lines(open_store(uri).sweep_folder("small") / "starts.jsonl")
    again = [line["label"] for line in lines if line["time"] > killed and line["address"] in before]
    assert again == []

    monkeypatch.setenv("W2S_CACHE", buckets.other_cache(real, f"{tmp_path}/c"))
    elsewhere = open_store(uri)
    assert [(row.sweep, row.state, row.ended) for row in list_sweeps(elsewhere)] == [("small", "finished", 4)]
    record = load_record(elsewhere, load_spec(elsewhere, "small"))
    told = status_of(record)
    assert (told.state, told.held_by, told.failed) == ("finished", None, ())
    assert store.objects.head("sweeps/small/report/report.json") is not None
    assert [key for key in store.objects.listing("work/") if not key.endswith("claim")] == []

    monkeypatch.delenv("W2S_STUDY_URL")
    alone = start_driver(tmp_path, mark, "run", "small.yaml", "--store", str(tmp_path / "alone"), log="alone")
    assert alone.wait() == 0, (tmp_path / "alone.err").read_text(encoding="utf-8")
    assert outcome(record) == outcome(load_record(Store(tmp_path / "alone"), sweep))
