"""A sweep with a budget, from the command line: it stops early, says so, and with a larger one ends as without."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from w2s_ray.search.folder import load_record
from w2s_ray.spec import Search, Sweep, replace, yaml
from w2s_ray.stages.store import Store


def w2s(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from w2s_ray.cli import main; main()", *arguments]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    return done


def run(sweep: Sweep, folder: Path, **search: Any) -> tuple[Sweep, str]:
    """Runs the sweep with `search` changed; returns it and what was said."""
    made = replace(
        sweep,
        search=Search.model_validate({**sweep.search.model_dump(), **search}),
        store=str(folder / "store"),
        tracking=replace(sweep.tracking, enabled=False),
    )
    folder.mkdir(exist_ok=True)
    (folder / "small.yaml").write_text(yaml.dump(made), encoding="utf-8")
    return made, w2s("run", "small.yaml", cwd=folder).stderr


def found(sweep: Sweep) -> list[Any]:
    record = load_record(Store(sweep.store), sweep)
    return [(t.number, t.state, dict(t.params), dict(t.values), dict(t.intermediate), t.stages) for t in record.trials]


def test_a_sweep_stops_at_its_budget_and_carries_on_with_a_larger_one(small: Sweep, tmp_path: Path) -> None:
    reference = found(run(small, tmp_path / "whole", trials=7)[0])
    budgeted, said = run(small, tmp_path / "budgeted", trials=7, budget={"max_cpu_hours": 1e-6})
    assert "budget: 5 of 7 trials are left out: " in said
    assert "of 1e-06 CPU-hours are used" in said
    assert [state for _, state, *_ in found(budgeted)] == ["complete"] * 2, "both, though a result waits for its turn"
    status = json.loads(w2s("status", "small", "--store", budgeted.store, "--json", cwd=tmp_path).stdout)
    assert (status["trials"]["complete"], status["trials"]["waiting"]) == (2, 5)
    raised, said = run(small, tmp_path / "budgeted", trials=7, budget={"max_cpu_hours": 100.0, "deadline": "9d"})
    assert "left out" not in said
    assert found(raised) == reference
    lines = (Path(raised.store) / "sweeps" / "small" / "starts.jsonl").read_text(encoding="utf-8").splitlines()
    addresses = [json.loads(line)["address"] for line in lines]
    assert len(addresses) == len(set(addresses)), "nothing was made twice"
