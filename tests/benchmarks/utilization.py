"""Runs a real sweep whose stages sleep on a real Ray cluster of fake nodes, and simulates the same beforehand.

    python tests/benchmarks/utilization.py [--trials 500] [--nodes 8] [--seconds 6]

Driver, Tune, Optuna, broker, store and Ray are real; each node is a raylet of its own with one CPU, on this machine.
Utilization is the share of all nodes' time, from the first stage's begin to the last one's end, in which a stage slept.
Wall-clock is from the driver's start to the last stage's end, for both. Exit code 1 if utilization is below 0.9, or the
simulator's wall-clock is off by more than a tenth.
"""

import argparse
import dataclasses
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sleeping import seconds_of
from trivial import SPEC

from w2s_ray.planning.jobs import Workload
from w2s_ray.planning.simulate import simulate
from w2s_ray.planning.workload import plan_work
from w2s_ray.search import driver
from w2s_ray.spec import Sweep
from w2s_ray.spec.cluster import Cluster as Planned
from w2s_ray.stages.store import Store
from w2s_ray.stages.sweep_files import SPENT

_OBJECTS = 80 * 2**20  # bytes of a node's object store, which stays all but empty


def sweep_of(store: Path, trials: int, parallelism: int) -> Sweep:
    """Returns a sweep of so many trials of one student each; proposals are random, so that a plan knows them."""
    return Sweep.model_validate(
        {
            **SPEC,
            "methods": ["naive", "confidence"],
            "seeds": [0],
            "search": {"trials": trials, "sampler": "random", "parallelism": parallelism},
            "resources": {"features": {"cpus": 1}},
            "tracking": {"enabled": False},
            "store": str(store),
        }
    )


def simulated(sweep: Sweep, nodes: int, mean: float) -> float:
    """Returns the wall-clock that the simulator says, with all of its defaults but the stages' own seconds."""
    node = {"cpus": 1, "min": nodes, "max": nodes, "startup_minutes": 0}
    cluster = Planned.model_validate({"nodes": {"fake": node}})
    work = plan_work(sweep, Store(sweep.store), cluster).work
    jobs = {
        key: dataclasses.replace(job, seconds={"fake": _sleeps(job.label, key, mean)}) for key, job in work.jobs.items()
    }
    return simulate(Workload(jobs, work.trials, work.parallelism), cluster).seconds


def _sleeps(label: str, address: str, mean: float) -> float:
    kind = "other" if label.startswith(("examples", "features")) else "finetune"
    return seconds_of(address, kind, mean)


@contextmanager
def fake_nodes(count: int) -> Iterator[None]:
    """A Ray cluster: a head without CPUs, and so many nodes of one CPU; its workers' stages sleep."""
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")])
    os.environ["RAY_JOB_CONFIG_JSON_ENV_VAR"] = json.dumps(
        {"runtime_env": {"worker_process_setup_hook": "sleeping.install"}}
    )
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    arguments: dict[str, Any] = {"include_dashboard": False, "object_store_memory": _OBJECTS}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **arguments})
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, object_store_memory=_OBJECTS)
        os.environ["RAY_ADDRESS"] = cluster.address
        yield
    finally:
        cluster.shutdown()


def run(sweep: Sweep, nodes: int, mean: float) -> tuple[float, float, float]:
    """Returns the sweep's wall-clock, the part of it before the first stage, and the utilization."""
    store = Store(sweep.store)
    store.make()
    (store.root / "mean").write_text(str(mean), encoding="utf-8")
    with fake_nodes(nodes):
        start = time.time()
        driver.run(sweep)
    lines = (store.sweep_folder(sweep.name) / SPENT).read_text(encoding="utf-8").splitlines()
    ends = [line for line in map(json.loads, lines) if "seconds" in line]
    first, last = min(one["time"] - one["seconds"] for one in ends), max(one["time"] for one in ends)
    slept = sum(one["seconds"] for one in ends)
    return last - start, first - start, slept / (nodes * (last - first))


def main() -> int:
    """Prints both wall-clocks, their ratio and the utilization."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=6.0, help="mean of a training")
    parser.add_argument("--parallelism", type=int, help="open trials; by default twice the nodes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        sweep = sweep_of(Path(scratch) / "store", options.trials, options.parallelism or 2 * options.nodes)
        said = simulated(sweep, options.nodes, options.seconds)
        took, before, used = run(sweep, options.nodes, options.seconds)
    print(f"{options.trials} trials, {options.nodes} nodes: wall-clock {took:.1f} s, simulated {said:.1f} s")
    print(f"before the first stage {before:.1f} s; the simulator takes driver_seconds and process_seconds")
    print(f"simulated / real {said / took:.3f}, utilization {used:.3f}")
    return int(used < 0.9 or abs(said / took - 1) > 0.1)


if __name__ == "__main__":
    raise SystemExit(main())
