"""A real Ray head on loopback that asks for a token, as `cluster/` starts it."""

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from ports import free_port

TOKEN = "canary-" + "0123456789abcdef" * 3
_MARK = "W2S_TEST_HEAD"


@dataclass(frozen=True)
class Head:
    """A running head: the URL of its dashboard, where its logs lie, and the environment of a user who has its token."""

    url: str
    folder: Path
    temp: Path
    user: dict[str, str]

    def w2s(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `w2s` as that user, from another directory, with other variables where given."""
        command = [sys.executable, "-m", "w2s_ray", *arguments]
        return subprocess.run(
            command,
            cwd=self.folder,
            env={**self.user, **environment},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


def _end(mark: str) -> None:
    """Kills the processes of a head, and again what one of them started meanwhile."""
    while marked := list(_marked(mark)):
        # Their children too: the title that Ray's agents give themselves lies over a part of their environment. One
        # that is left takes half a core for two minutes.
        for process in {*marked, *(child for one in marked for child in _children(one))}:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        time.sleep(0.1)


def _marked(mark: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(_MARK) == mark and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except psutil.Error:  # gone, or another user's
            continue


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def running(folder: Path, *, is_open: bool = False, **environment: str) -> Iterator[Head]:
    """Runs a head of two CPUs whose processes know nothing of this checkout, and are killed at the end.

    Args:
        folder: the home of its processes, and of its users.
        is_open: whether anybody may use it, without a token.
        environment: what its processes, and so every job, have besides.
    """
    mark = uuid.uuid4().hex
    temp = Path(f"/tmp/w2s-{mark[:6]}")
    gcs, dashboard, agent, runtime, client = (free_port() for _ in range(5))
    shared = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    shared = {
        **shared,
        "HOME": str(folder),
        "W2S_CACHE": os.environ.get("W2S_CACHE", str(Path.home() / ".cache/w2s_ray")),
    }
    secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
    asked = {"RAY_AUTH_MODE": "disabled"} if is_open else secret
    bin_folder = str(Path(sys.executable).parent)
    checkout = str(Path(__file__).parents[2])
    others = ":".join(p for p in os.environ.get("PYTHONPATH", "").split(":") if p and p != checkout)
    inside = {**shared, **asked, _MARK: mark, "PATH": f"{bin_folder}:{os.environ['PATH']}", "PYTHONPATH": others}
    inside["RAY_raylet_start_wait_time_s"] = "240"  # other tests may keep the machine busy
    inside |= environment
    command = [f"{bin_folder}/ray", "start", "--head", "--node-ip-address=127.0.0.1", f"--port={gcs}"]
    command += ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    command += [f"--dashboard-agent-listen-port={agent}", f"--runtime-env-agent-port={runtime}"]
    command += [f"--ray-client-server-port={client}", "--num-cpus=2", "--object-store-memory=100000000"]
    command += ["--disable-usage-stats", f"--temp-dir={temp}", "--labels=w2s/driver=yes"]
    started = subprocess.run(command, env=inside, cwd=folder, capture_output=True, text=True, timeout=180, check=False)
    try:
        assert started.returncode == 0, started.stdout + started.stderr
        user = {**shared, **secret, "PYTHONPATH": os.environ.get("PYTHONPATH", checkout), "COLUMNS": "200"}
        yield Head(f"http://127.0.0.1:{dashboard}", folder, temp, user)
    finally:
        _end(mark)
        shutil.rmtree(temp, ignore_errors=True)


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """A head that asks for a token, for all tests of a file, which leave it as it is; idle, it takes 4 % of a core."""
    with running(tmp_path_factory.mktemp("head")) as started:
        yield started


def answers(url: str, token: str | None) -> int:
    """Returns the HTTP status of a request with that token, or without one."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
