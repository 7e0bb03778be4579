"""A sweep with a budget, from the command line: it stops early, says so, and with a larger one ends as without."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from reduced import reduced_quickstart

from w2s_ray.planning.workload import plan_work
from w2s_ray.search.folder import load_record
from w2s_ray.spec import Search, Sweep, replace, yaml
from w2s_ray.spec.cluster import Cluster, NodeType
from w2s_ray.stages.spent import Meter
from w2s_ray.stages.store import Store

pytestmark = pytest.mark.slow

TRIALS = 7


def w2s(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    return done


def sweep_in(folder: Path, **search: Any) -> Sweep:
    """One pairing, two methods, one seed, seven trials, two at a time; proposed at random."""
    space = {"lr": {"log_uniform": [2e-4, 1e-2]}, "alpha": {"uniform": [0.1, 0.9]}}
    sweep = reduced_quickstart(methods={"naive": {}, "confidence": {}}, space=space)
    changes = {"trials": TRIALS, "parallelism": 2, "sampler": "random", **search}
    return replace(
        sweep,
        pairings=sweep.pairings[:1],
        seeds=(0,),
        search=Search.model_validate({**sweep.search.model_dump(), **changes}),
        tracking=replace(sweep.tracking, enabled=False),
        store=str(folder / "store"),
    )


def run(sweep: Sweep, folder: Path) -> str:
    """Returns what was said."""
    (folder / "sweep.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    return w2s("run", "sweep.yaml", cwd=folder).stderr


def found(sweep: Sweep) -> list[Any]:
    record = load_record(Store(sweep.store), sweep)
    return [(t.number, t.state, dict(t.params), dict(t.values), dict(t.intermediate), t.stages) for t in record.trials]


def started(sweep: Sweep) -> list[str]:
    lines = (Path(sweep.store) / "sweeps" / sweep.name / "starts.jsonl").read_text(encoding="utf-8").splitlines()
    return sorted(json.loads(line)["label"] for line in lines)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """The sweep, run without a budget."""
    folder = tmp_path_factory.mktemp("whole")
    sweep = sweep_in(folder)
    run(sweep, folder)
    return sweep


def test_a_sweep_stops_at_its_budget_and_carries_on_with_a_larger_one(whole: Sweep, tmp_path: Path) -> None:
    said = run(sweep_in(tmp_path, budget={"max_cpu_hours": 1e-6}), tmp_path)
    assert "budget: 5 of 7 trials are left out: " in said
    assert "of 1e-06 CPU-hours are used" in said
    budgeted = sweep_in(tmp_path)
    assert [state for _, state, *_ in found(budgeted)] == ["complete"] * 2, "both, though a result waits for its turn"
    status = json.loads(w2s("status", whole.name, "--store", budgeted.store, "--json", cwd=tmp_path).stdout)
    assert (status["state"], status["trials"]["complete"], status["trials"]["waiting"]) == ("out of budget", 2, 5)
    used = Meter(Store(budgeted.store), whole.name).used(0).cpu_hours
    assert "budget:" not in run(sweep_in(tmp_path, budget={"max_cpu_hours": 100.0, "deadline": "9d"}), tmp_path)
    assert found(budgeted) == found(whole)
    assert started(budgeted) == started(whole), "nothing was made twice"
    assert Meter(Store(budgeted.store), whole.name).used(0).cpu_hours > used


def test_what_a_plan_schedules_is_what_a_random_search_then_runs(whole: Sweep, tmp_path: Path) -> None:
    cluster = Cluster(nodes={"cpu": NodeType(cpus=2)})
    jobs = plan_work(whole, Store(tmp_path / "empty"), cluster).work.jobs.values()
    features = [label for label in started(whole) if label.startswith("features")]
    scheduled = sorted([*(job.label for job in jobs), *features[1:]])  # those of all depths are one job
    assert scheduled == started(whole)
    assert plan_work(whole, Store(whole.store), cluster).work.jobs == {}
