"""Nodes that are given notice, or are gone at once, while something is trained on them."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from asking import student_of
from harness import MARK, end_all, leftovers, repeated, starts, until

from w2s_ray.spec import Resources, Sweep, replace, yaml
from w2s_ray.stages.finetune import train_alone
from w2s_ray.stages.store import Store, StoredStage
from w2s_ray.stages.sweep_files import SPENT

pytestmark = [pytest.mark.slow, pytest.mark.alone]

_OBJECTS = 100 * 2**20  # bytes of object store, which stays all but empty
# 10,500 steps, at a rate so small since Adam makes much of rounding where the gradient is all but zero.
_LONG = {"epochs": 1500, "lr": 3e-5}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A head without CPUs; nodes come and go."""
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _OBJECTS}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster
    cluster.shutdown()


def add(cluster: Any, cpus: int = 1) -> Any:
    return cluster.add_node(num_cpus=cpus, object_store_memory=_OBJECTS)


def give_notice(cluster: Any, node: Any, seconds: int) -> None:
    """Tells Ray that a node will be taken away, as what watches for a cloud's notice does."""
    command = [str(Path(sys.executable).with_name("ray")), "drain-node", "--address", cluster.address]
    command += ["--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "notice"]
    subprocess.run([sys.executable, *command, "--deadline-remaining-seconds", f"{seconds}"], check=True, timeout=60)


def processes_of(node: Any) -> list[psutil.Process]:
    pids = [info.process.pid for infos in node.all_processes.values() for info in infos]
    roots = [psutil.Process(pid) for pid in pids]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def lose(cluster: Any, node: Any) -> None:
    """Kills all that a node runs, at once."""
    for process in processes_of(node):
        process.kill()
    cluster.remove_node(node, allow_graceful=False)


def runs_on(node: Any, title: str) -> bool:
    return any(" ".join(one.cmdline()).startswith(title) for one in processes_of(node) if one.is_running())


class Asked:
    """A student that another process asks a broker for, in a store of its own."""

    def __init__(self, folder: Path, sweep: Sweep, mark: str, **resources: Any) -> None:
        plan = replace(
            sweep.resources,
            default=Resources(retries=0, checkpoint_seconds=1, micro_batch=1, **resources),  # to last some 40 s
            features=Resources(retries=0),
        )
        self.sweep = replace(sweep, store=str(folder / "store"), resources=plan)
        self.stage, self.store = student_of(self.sweep, _LONG), Store(self.sweep.store)
        folder.mkdir()
        (folder / "small.yaml").write_text(yaml.dump(self.sweep), encoding="utf-8")
        command = [sys.executable, Path(__file__).with_name("asking.py"), folder / "small.yaml", json.dumps(_LONG)]
        self.process = subprocess.Popen(command, env={**os.environ, MARK: mark}, stderr=subprocess.PIPE, text=True)

    def step(self) -> int:
        """Returns where its newest checkpoint is."""
        folder = self.store.work(self.stage.address) / "checkpoints"
        return max((int(path.stem.removeprefix("step-")) for path in folder.glob("step-*.safetensors")), default=0)

    def until_beyond(self, step: int) -> int:
        """Waits for the next checkpoint beyond a step, and returns its own."""
        until(lambda: self.step() > step or self.process.poll() is not None)
        assert self.process.poll() is None, self.process.communicate()[1]
        return self.step()

    def end(self) -> StoredStage:
        error = self.process.communicate(timeout=500)[1]
        assert self.process.returncode == 0, error
        assert repeated(self.store.root, [self.sweep.name]) == leftovers(self.store.root) == []
        return self.store.get(self.stage.address)

    def verdicts(self) -> list[tuple[str, bool]]:
        path = self.store.sweep_folder(self.sweep.name) / "failures.jsonl"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [(line["verdict"], line["again"]) for line in map(json.loads, lines)]

    def held(self) -> list[float]:
        """Returns the CPUs that each of its tries held."""
        lines = (self.store.sweep_folder(self.sweep.name) / SPENT).read_text(encoding="utf-8").splitlines()
        mine = [line for line in map(json.loads, lines) if line["address"] == self.stage.address]
        return [line["cpus"] for line in mine if "seconds" not in line]

    def tries(self) -> int:
        return sum(line["address"] == self.stage.address for line in starts(self.store.root, self.sweep.name))


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """What marks a test's processes; none outlives it."""
    yield str(tmp_path)
    end_all(str(tmp_path), patience=0)


def test_a_training_whose_node_is_given_notice_saves_and_goes_on_elsewhere(
    cluster: Any, small: Sweep, tmp_path: Path, mark: str
) -> None:
    first = add(cluster)
    alone = Asked(tmp_path / "alone", small, mark)
    saved = alone.until_beyond(0)
    second = add(cluster)
    give_notice(cluster, first, seconds=30)
    until(lambda: runs_on(second, f"ray::{alone.stage.execution.label}"))
    lose(cluster, first)
    again = alone.until_beyond(saved)
    alone.end()
    assert alone.verdicts() == [("moved", True)]
    assert alone.tries() == 2
    print(f"notice: step {saved} was saved before it, step {again} after it")


def test_an_elastic_group_goes_on_narrower_without_a_node_and_wider_with_one_and_learns_what_one_worker_learns(
    cluster: Any, small: Sweep, tmp_path: Path, mark: str
) -> None:
    add(cluster)
    second = add(cluster)
    group = Asked(tmp_path / "group", small, mark, workers=2, min_workers=1)
    saved = [group.until_beyond(0)]
    lose(cluster, second)
    saved.append(group.until_beyond(saved[-1]))
    third = add(cluster)
    until(lambda: len(group.held()) == 3)
    saved.append(group.until_beyond(group.step()))
    give_notice(cluster, third, seconds=300)
    found = group.end()
    print(f"steps saved before a loss, after it, and with a new node: {saved}")
    assert group.held() == [2.0, 1.0, 2.0, 1.0]
    assert group.verdicts() in ([(lost, True), ("moved", True), ("moved", True)] for lost in ("died", "lost"))
    alone = train_alone(group.stage, group.store).predictions
    assert found.predictions().ids.tolist() == alone.ids.tolist()
    np.testing.assert_allclose(found.predictions().probabilities, alone.probabilities, atol=1e-3)
