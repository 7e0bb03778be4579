"""Real Ray nodes on this machine, each with a fault of its own: what the doctor finds from the head."""

import json
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.alone]

ROOT = Path(__file__).parents[2]
TOKEN = "canary-" + "fedcba9876543210" * 3
_MARK = "W2S_TEST_DOCTOR"


@dataclass(frozen=True)
class Nodes:
    """A head and its nodes; `mark` is in the environment of all their processes."""

    folder: Path
    address: str
    environment: dict[str, str]

    def start(self, *command: str, inside: tuple[str, ...] = (), **environment: str) -> None:
        """Runs `ray start`, perhaps as the last argument of another command."""
        ray = [str(Path(sys.executable).with_name("ray")), "start", "--node-ip-address=127.0.0.1", "--num-cpus=2"]
        ray += ["--object-store-memory=80000000", "--disable-usage-stats", *command]
        variables = {**self.environment, **environment}
        done = subprocess.run(
            [*inside, *ray], env=variables, cwd=self.folder, capture_output=True, text=True, timeout=180, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def processes(self) -> Iterator[psutil.Process]:
        for process in psutil.process_iter():
            try:
                if process.environ().get(_MARK) == self.environment[_MARK]:
                    yield process
            except psutil.Error:  # gone, or another user's
                continue

    def doctor(self, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
        """Returns the exit code, the findings and the whole output of `w2s doctor` beside the head."""
        done = subprocess.run(
            [sys.executable, "-m", "w2s_ray", "doctor", *arguments, "--json"],
            env={**self.environment, "RAY_ADDRESS": self.address, **environment},
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)["findings"], done.stdout + done.stderr


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    """A head that is well; a test adds others."""
    mark, folder, port = uuid.uuid4().hex, tmp_path_factory.mktemp("nodes"), free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"PYTHONPATH": str(ROOT), "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, _MARK: mark}
    temp = f"/tmp/w2s-{mark[:6]}"  # a socket's name has no room for pytest's folder
    made = Nodes(folder, f"127.0.0.1:{port}", environment)
    try:
        made.start("--head", f"--port={port}", "--include-dashboard=false", f"--temp-dir={temp}")
        yield made
    finally:
        for process in made.processes():
            process.kill()
        shutil.rmtree(temp, ignore_errors=True)


def bad(findings: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["check"], one["says"]) for one in findings if one["state"] != "ok"]


def test_a_cluster_that_is_well_has_no_problem(nodes: Nodes) -> None:
    code, findings, said = nodes.doctor(str(ROOT / "sweeps" / "quickstart.yaml"), "--store", str(nodes.folder / "runs"))
    assert (code, bad(findings)) == (0, []), said
    assert {"nodes", "versions", "clock", "store", "gpus"} <= {one["check"] for one in findings}
    assert TOKEN not in said


def test_a_wrong_token_is_a_problem_and_what_needs_no_cluster_is_looked_at(nodes: Nodes) -> None:
    code, findings, said = nodes.doctor(RAY_AUTH_TOKEN="wrong-" * 8)
    assert code == 1
    assert [check for check, _ in bad(findings)] == ["cluster"]
    assert "packages" in {one["check"] for one in findings}
    assert "wrong-wrong" not in said


def test_nodes_with_another_version_without_the_store_and_without_the_gpu_they_count_are_found(nodes: Nodes) -> None:
    share, shim = nodes.folder / "share", nodes.folder / "shim"
    share.mkdir()
    (shim / "optuna-4.9.9.dist-info").mkdir(parents=True)
    text = "Metadata-Version: 2.1\nName: optuna\nVersion: 4.9.9\n"
    (shim / "optuna-4.9.9.dist-info" / "METADATA").write_text(text)
    join = f"--address={nodes.address}"
    nodes.start(join, "--num-gpus=1", PYTHONPATH=f"{shim}:{ROOT}")
    blind = f'mount --make-rprivate / && mount -t tmpfs tmpfs {share} && exec "$@"'
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("mount namespaces are not permitted here")
    nodes.start(join, inside=("unshare", "-m", "bash", "-c", blind, "bash"))
    code, findings, said = nodes.doctor("--store", str(share / "runs"))
    assert code == 1
    found = dict(bad(findings))
    assert set(found) == {"versions", "store", "gpus"}, said
    assert found["versions"].startswith("optuna 4.9.9, the driver has ")
    assert found["store"] == f"{share} is not the driver's: another folder is in its place"
    assert found["gpus"] == "torch sees 0, Ray counts 1"
    assert all(one["mend"] for one in findings if one["state"] != "ok")
    assert list(share.iterdir()) == []


def test_a_node_that_does_not_answer_is_found_and_the_others_are_looked_at(nodes: Nodes) -> None:
    nodes.start(f"--address={nodes.address}", W2S_SILENT="yes")
    (raylet,) = [p for p in nodes.processes() if p.name() == "raylet" and "W2S_SILENT" in p.environ()]
    raylet.send_signal(signal.SIGSTOP)
    code, findings, said = nodes.doctor()
    assert code == 1
    silent = [one for one in findings if one["check"] == "nodes" and one["state"] == "problem"]
    assert len(silent) == 1, said
    assert "raylet" in silent[0]["mend"]
    assert "clock" in {one["check"] for one in findings}
