"""The launcher files through Ray's own validation, and what we promise of them beyond it."""

import copy
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from launcher_schema import launcher_problems
from ray.autoscaler._private.command_runner import _with_interactive
from ray.autoscaler._private.util import prepare_config, validate_config

from w2s_ray.search.node_types import kinds_in
from w2s_ray.spec import Resources
from w2s_ray.spec.resources import places_in

CLUSTER = Path(__file__).parents[2] / "cluster"
FILES = ("aws", "gcp")


def read(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((CLUSTER / f"{name}.yaml").read_text(encoding="utf-8")))


def check(config: dict[str, Any]) -> None:
    validate_config(prepare_config(copy.deepcopy(config)))


@pytest.mark.parametrize("name", FILES)
def test_ray_accepts_the_file(name: str) -> None:
    check(read(name))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", ["top", "node type"])
def test_ray_refuses_the_file_with_a_typo(name: str, place: str) -> None:
    config = read(name)
    mapping = config if place == "top" else config["available_node_types"]["gpu-spot"]
    mapping["max_worker"] = mapping.pop("max_workers")
    with pytest.raises(Exception, match="max_worker"):
        check(config)


@pytest.mark.parametrize("name", FILES)
def test_ray_and_the_cloud_know_every_key_of_provider_and_machines(name: str) -> None:
    assert launcher_problems(read(name)) == []


@pytest.mark.parametrize(
    ("name", "right", "typo"),
    [
        ("aws", "InstanceMarketOptions", "InstanceMarketOption"),
        ("aws", "IamInstanceProfile", "IamInstanceProfil"),
        ("aws", "HttpTokens", "HttpToken"),
        ("aws", "cache_stopped_nodes", "cache_stoped_nodes"),
        ("gcp", "cache_stopped_nodes", "cache_stoped_nodes"),
        ("gcp", "provisioningModel", "provisionModel"),
        ("gcp", "instanceTerminationAction: DELETE", "instanceTerminationAction: DELETED"),
        ("gcp", "availability_zone", "avalability_zone"),
        ("gcp", "initializeParams", "initialiseParams"),
    ],
)
def test_a_typo_in_what_ray_hands_on_is_found(name: str, right: str, typo: str) -> None:
    text = (CLUSTER / f"{name}.yaml").read_text(encoding="utf-8")
    assert right in text
    found = launcher_problems(yaml.safe_load(text.replace(right, typo)))
    assert found
    assert all(typo.split()[-1] in problem for problem in found)


@pytest.mark.parametrize("name", FILES)
def test_a_cluster_is_closed_and_shrinks_to_its_head(name: str) -> None:
    config = read(name)
    starts = [line for key in ("head", "worker") for line in config[f"{key}_start_ray_commands"] if "ray start" in line]
    assert len(starts) == 2
    assert all("RAY_AUTH_MODE=token" in line for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "RAY_enable_autoscaler_v2=1" in starts[0]
    workers = {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}
    assert {kind["min_workers"] for kind in workers.values()} == {0}
    assert {kind["labels"]["ray.io/market-type"] for kind in workers.values()} == {"on-demand", "spot"}
    assert sum(kind["max_workers"] for kind in workers.values()) <= config["max_workers"]


@pytest.mark.parametrize(("name", "bucket"), [("aws", "s3"), ("gcp", "gs")])
def test_no_node_of_a_cloud_holds_what_a_new_head_would_miss_and_no_command_holds_a_password(
    name: str, bucket: str
) -> None:
    config = read(name)
    commands = " ".join(line for key, lines in config.items() if key.endswith("_commands") for line in lines)
    assert "W2S_STUDY_URL=postgresql://w2s@DATABASE/studies" in commands
    assert "--backend-store-uri postgresql://w2s@DATABASE/mlflow" in commands
    assert f"--artifacts-destination {bucket}://BUCKET/" in commands
    assert "sqlite" not in commands
    assert "mount " not in commands
    assert config["file_mounts"]["~/.pgpass"] == "~/.pgpass"


@pytest.mark.parametrize(("name", "accelerator"), [("aws", "A10G"), ("gcp", "L4")])
def test_the_file_alone_says_that_its_gpu_nodes_hold_a_stage_with_memory_and_accelerator(
    name: str, accelerator: str
) -> None:
    wanted = Resources(cpus=8, gpus=1, memory=22, accelerator=accelerator)
    kinds = kinds_in(CLUSTER / f"{name}.yaml")
    assert {kind.name for kind in kinds if places_in(kind.resources, wanted.demand)} == {"gpu-on-demand", "gpu-spot"}


def test_a_spot_node_of_google_is_deleted_with_its_disk_when_it_is_taken_away() -> None:
    machine = read("gcp")["available_node_types"]["gpu-spot"]["node_config"]
    assert (machine["scheduling"]["provisioningModel"], machine["scheduling"]["instanceTerminationAction"]) == (
        "SPOT",
        "DELETE",
    )
    assert {disk["autoDelete"] for disk in machine["disks"]} == {True}


class Machine:
    """A head's home, with stand-ins for `ray` and `mlflow` that note how they were called; the latter stays."""

    def __init__(self, home: Path) -> None:
        self.home, self.notes = home, home / "notes"
        stubs = home / "venv" / "bin"
        stubs.mkdir(parents=True)
        (home / ".bashrc").write_text(f"export PATH={stubs}:$PATH\n", encoding="utf-8")
        called = f'#!/bin/bash\necho "${{0##*/}} $* ${{MLFLOW_TRACKING_URI:--}}" $$ >> {self.notes}\n'
        for name, then in (("ray", ""), ("mlflow", "exec sleep 600\n")):
            (stubs / name).write_text(called + then, encoding="utf-8")
            (stubs / name).chmod(0o755)

    def run(self, command: str) -> None:
        """As Ray does: by ssh, which hands the words as one line to a shell of the other side."""
        remote = " ".join(_with_interactive(command))
        environment = {**os.environ, "HOME": str(self.home)}
        subprocess.run(
            ["bash", "-c", remote], env=environment, stdin=subprocess.DEVNULL, check=True, timeout=120,
            start_new_session=True, capture_output=True,
        )  # fmt: skip

    def calls(self, name: str) -> list[str]:
        lines = self.notes.read_text(encoding="utf-8").splitlines() if self.notes.exists() else []
        return [line for line in lines if line.startswith(f"{name} ")]

    def servers(self) -> list[int]:
        return [int(line.split()[-1]) for line in self.calls("mlflow")]


def wait_until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("name", FILES)
def test_the_head_starts_mlflow_if_it_does_not_run_and_no_second_one_if_it_does(name: str, tmp_path: Path) -> None:
    machine, commands = Machine(tmp_path), read(name)["head_start_ray_commands"]
    tried = tmp_path / "tried"
    try:
        for command in commands:
            machine.run(command)
        wait_until(lambda: len(machine.servers()) == 1)
        assert machine.calls("mlflow")[0].startswith("mlflow server --host 127.0.0.1 --port 5000 --backend-store-uri")
        (start,) = [line for line in machine.calls("ray") if "start" in line]
        assert "--autoscaling-config" in start
        assert "http://127.0.0.1:5000" in start

        for command in commands:  # `ray up` once more, on a head that runs
            # What is put behind `flock` runs when it has given up, and shows that it did not merely take its time.
            machine.run(command.replace("&1 &", f"&1 || touch {tried}"))
        wait_until(tried.exists)
        assert len(machine.servers()) == 1

        os.kill(machine.servers()[0], signal.SIGKILL)
        for command in commands:
            machine.run(command)
        wait_until(lambda: len(machine.servers()) == 2)
    finally:
        os.kill(machine.servers()[-1], signal.SIGKILL)


@pytest.mark.parametrize("name", FILES)
def test_a_machine_with_a_python_that_constraints_do_not_pin_is_refused_before_it_installs(
    name: str, tmp_path: Path
) -> None:
    first = read(name)["setup_commands"][0]
    assert subprocess.run(["bash", "-c", first], check=False, timeout=60).returncode == 0
    old = tmp_path / "python3"
    old.write_text(f'#!/bin/bash\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10); ${{2}}"\n')
    old.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", first], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python 3.11 or later" in done.stderr


@pytest.mark.parametrize("name", FILES)
def test_what_has_to_be_filled_in_is_explained_on_the_page(name: str) -> None:
    page = (CLUSTER.parent / "docs" / f"cluster-{name}.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([A-Z_]+)` \|", page, re.MULTILINE))
    text = (CLUSTER / f"{name}.yaml").read_text(encoding="utf-8")
    head, rest = text.split("cluster_name:")
    assert explained == set(re.findall(r"\b[A-Z_]{5,}\b", head.split("fill in for")[1].split(".")[0]))
    assert all(re.search(rf"\b{word}\b", rest) for word in explained)


def test_ray_accepts_the_file_of_one_machine_and_refuses_it_with_a_typo() -> None:
    config = read("one_machine/cluster")
    check(config)
    config["available_node_types"]["big"]["max_worker"] = 2
    with pytest.raises(Exception, match="max_worker"):
        check(config)


def test_the_cluster_of_one_machine_is_closed_and_shrinks_to_its_head() -> None:
    config, script = read("one_machine/cluster"), (CLUSTER / "one_machine" / "up").read_text(encoding="utf-8")
    assert "RAY_AUTH_MODE=token" in script
    assert "--node-ip-address=127.0.0.1" in script
    assert config["provider"]["gcs_address"].startswith("127.0.0.1:")
    workers = [kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]]
    assert {kind["min_workers"] for kind in workers} == {0}
    assert sum(kind["max_workers"] for kind in workers) <= config["max_workers"]
