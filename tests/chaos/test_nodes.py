"""On a cluster whose only node with CPUs goes away in the middle, as a preempted machine does, and is replaced."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from harness import differences, end_all, findings, leftovers, prepared, repeated, start_driver, until

pytestmark = pytest.mark.slow

_OBJECTS = 100 * 2**20  # bytes of object store, which stays all but empty


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without CPUs; nodes are added and removed by the test."""
    from ray.cluster_utils import Cluster

    arguments = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _OBJECTS}
    logging.getLogger("ray").setLevel(logging.ERROR)
    cluster = Cluster(initialize_head=True, head_node_args=arguments)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    cluster.shutdown()


def children_of(node: Any) -> list[str]:
    raylet = next(info.process.pid for infos in node.all_processes.values() for info in infos if _is_raylet(info))
    return [" ".join(one.cmdline()) for one in psutil.Process(raylet).children(recursive=True)]


def _is_raylet(info: Any) -> bool:
    return psutil.Process(info.process.pid).name() == "raylet"


def test_a_node_that_is_lost_costs_what_ran_on_it_and_no_retry(
    cluster: Any, reference: dict[str, Any], tmp_path: Path
) -> None:
    mark = str(tmp_path)
    store = (
        prepared(tmp_path, resources={"default": {"retries": 0}, "features": {"cpus": 2, "retries": 0}}) / "w2s-runs"
    )
    node = cluster.add_node(num_cpus=2, object_store_memory=_OBJECTS)
    driver = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="driver")
    until(lambda: any(title.startswith("ray::features") for title in children_of(node)))
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=2, object_store_memory=_OBJECTS)
    assert driver.wait(timeout=240) == 0, (tmp_path / "driver.err").read_text(encoding="utf-8")
    assert differences(reference, findings(tmp_path)) == []
    assert repeated(store) == leftovers(store) == end_all(mark) == []
    lines = (store / "sweeps/quickstart/failures.jsonl").read_text(encoding="utf-8").splitlines()
    assert {(json.loads(line)["verdict"], json.loads(line)["again"]) for line in lines} == {("lost", True)}
