"""`w2s doctor` as people and scripts meet it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from w2s_ray.spec import ResourcePlan, Resources, Sweep, replace, yaml


def doctor(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200", "MLFLOW_TRACKING_URI": ""}
    # Of its own: Ray leaves a token in the home of whoever runs it, which others can read where the home is open.
    environment["RAY_AUTH_TOKEN"] = "0123456789abcdef" * 4
    command = [sys.executable, "-m", "w2s_ray", "doctor", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def test_a_healthy_machine_has_no_problem_and_nothing_is_left_behind(small: Sweep, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.dump(small), encoding="utf-8")
    done = doctor(tmp_path, "small.yaml", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["ok"] is True
    checks = {one["check"] for one in found["findings"]}
    assert checks >= {"packages", "open files", "processes", "temporary disk", "shared memory", "gpus", "store"}
    assert checks >= {"assets", "token", "mlflow", "study", "disk", "resources"}
    assert [path.name for path in tmp_path.iterdir()] == ["small.yaml"]


def test_several_faults_are_all_told_with_their_mends_and_end_it_with_1(small: Sweep, tmp_path: Path) -> None:
    sweep = replace(small, resources=ResourcePlan(default=Resources(cpus=4096)), store=str(tmp_path / "file"))
    (tmp_path / "file").touch()
    (tmp_path / "small.yaml").write_text(yaml.dump(sweep), encoding="utf-8")
    done = doctor(tmp_path, "small.yaml")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "→ lower resources.default" in done.stdout
    assert "see whether its disk or mount is well" in done.stdout
    assert done.stderr == "3 problems\n"  # the store, what was to be planned for it, and the CPUs
