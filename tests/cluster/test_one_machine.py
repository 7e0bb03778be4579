"""The scripts of `cluster/one_machine` where something is missing; what they start is in `test_autoscaling`."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ports import free_port

SCRIPTS = Path(__file__).parents[2] / "cluster" / "one_machine"


@pytest.fixture
def port() -> Iterator[str]:
    number = str(free_port())
    yield number
    assert not Path(f"/tmp/w2s-{number}").exists()


def called(script: str, port: str, **environment: str) -> subprocess.CompletedProcess[str]:
    user = {**os.environ, **environment}
    return subprocess.run([SCRIPTS / script, port], env=user, capture_output=True, text=True, timeout=60, check=False)


def test_without_ray_on_the_path_up_says_so_and_leaves_nothing(port: str) -> None:
    done = called("up", port, PATH="/usr/bin:/bin")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there is no ray on the PATH: activate the environment" in done.stderr


def test_down_takes_away_what_up_had_begun(port: str) -> None:
    Path(f"/tmp/w2s-{port}").mkdir()
    assert called("down", port).returncode == 0
    again = called("down", port)
    assert (again.returncode, again.stderr) == (1, "no cluster was started there\n")
