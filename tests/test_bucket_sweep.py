"""A whole sweep whose store is a bucket, killed and carried on by a machine that has no copy of anything."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import buckets
import pytest

from tests.chaos.harness import end_all, start_driver
from w2s_ray.search.folder import load_record, load_spec
from w2s_ray.search.listing import list_sweeps
from w2s_ray.search.record import SweepRecord
from w2s_ray.search.status import status_of
from w2s_ray.spec import Sweep, yaml
from w2s_ray.stages.artifacts import read_lines
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.open import open_store
from w2s_ray.stages.store import Store

pytestmark = pytest.mark.slow

_STAGES_BEFORE_THE_KILL = 8
_OBJECTS = 100 * 2**20  # bytes of object store, which stays all but empty


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    yield str(tmp_path)
    end_all(str(tmp_path), patience=0)


def stored(store: ObjectStore) -> set[str]:
    return {key.split("/")[1] for key in store.objects.listing("stages/") if key.endswith("/stage.json")}


def outcome(record: SweepRecord) -> list[tuple[Any, ...]]:
    return [(t.number, t.method, t.state, dict(t.params), dict(t.values), dict(t.stages)) for t in record.trials]


def test_nodes_that_share_no_disk_share_a_sweep_in_a_bucket(
    small_data: dict[str, Any], tmp_path: Path, s3: int, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    from ray.cluster_utils import Cluster

    real = str(Path("~/.cache/w2s_ray").expanduser())
    buckets.use(monkeypatch, s3)
    uri = f"s3://{buckets.make_bucket(s3)}/runs"
    monkeypatch.setenv("W2S_STUDY_URL", f"sqlite:///{tmp_path}/studies.db")
    monkeypatch.setenv("W2S_CACHE", buckets.other_cache(real, f"{tmp_path}/driver"))
    (tmp_path / "small.yaml").write_text(yaml.dump(Sweep.model_validate(small_data)), encoding="utf-8")
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _OBJECTS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        for name in ("one", "two"):
            own = {"W2S_CACHE": buckets.other_cache(real, f"{tmp_path}/{name}")}
            cluster.add_node(num_cpus=2, object_store_memory=_OBJECTS, env_vars=own)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        driver = start_driver(tmp_path, mark, "run", "small.yaml", "--store", uri, log="driver")
        assert driver.wait() == 0, (tmp_path / "driver.err").read_text(encoding="utf-8")
    finally:
        cluster.shutdown()
    assert len(list((tmp_path / "driver").glob("stores/*/sweeps/small/report/report.json"))) == 1
    copies = {name: set(map(str, (tmp_path / name).glob("stores/*/stages/*/*.parquet"))) for name in ("one", "two")}
    assert all(copies.values()), copies
    assert not list((tmp_path / "driver").glob("stores/*/work/*/checkpoints"))


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
    assert [key for key in store.objects.listing("work/") if not key.endswith(("claim", "stop"))] == []

    monkeypatch.delenv("W2S_STUDY_URL")
    alone = start_driver(tmp_path, mark, "run", "small.yaml", "--store", str(tmp_path / "alone"), log="alone")
    assert alone.wait() == 0, (tmp_path / "alone.err").read_text(encoding="utf-8")
    assert outcome(record) == outcome(load_record(Store(tmp_path / "alone"), sweep))
