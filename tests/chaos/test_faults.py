"""Disks that are full or gone and MLflow servers that hang, die and drop connections: the sweep ends the same."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from harness import (
    differences,
    end_all,
    findings,
    leftovers,
    mlflow_runs,
    prepared,
    repeated,
    said,
    start_driver,
    stored_addresses,
    until,
)
from ports import free_port
from proxy import dropping

from w2s_ray.stages.integrity import check_stage
from w2s_ray.tracking.ui import ui_command, ui_environment, wait_until_up

pytestmark = pytest.mark.slow

_DISK = "48m"  # the whole store takes a third of it


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    """What marks a test's processes; none outlives it."""
    yield str(tmp_path)
    end_all(str(tmp_path), patience=0)


@pytest.fixture
def disk(disk_of: Callable[..., Path]) -> Path:
    """A real file system of few megabytes, where the store will be."""
    return disk_of(_DISK, "w2s-runs")


def fill_up(folder: Path) -> Path:
    """Takes all the space that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return filler


def test_a_full_disk_ends_a_sweep_in_order_and_with_space_it_ends_the_same(
    disk: Path, reference: dict[str, Any], tmp_path: Path, mark: str
) -> None:
    prepared(tmp_path, resources={"store_patience": 5})
    driver = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="full")
    until(lambda: len(stored_addresses(disk)) >= 8)
    filler = fill_up(disk)
    assert driver.wait(timeout=120) == 1, said(tmp_path, "full")
    assert f"the store {disk} is full" in said(tmp_path, "full")
    assert "resume" in said(tmp_path, "full")
    assert "Traceback" not in said(tmp_path, "full")
    assert end_all(mark) == []
    stored = stored_addresses(disk)
    for address in stored:
        check_stage(disk / "stages" / address)
    filler.unlink()
    driver = start_driver(tmp_path, mark, "resume", "quickstart", log="space")
    assert driver.wait(timeout=240) == 0, said(tmp_path, "space")
    assert differences(reference, findings(tmp_path)) == []
    assert repeated(disk) == leftovers(disk) == end_all(mark) == []


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Path]:
    """A store that is a mount, as a network share is: a real folder elsewhere, seen at the store's place."""
    folder, store = tmp_path / "share", tmp_path / "w2s-runs"
    folder.mkdir()
    store.mkdir()
    if not mount(folder, store):
        pytest.skip("mounting is not permitted here")
    yield store
    unmount(store)


def mount(folder: Path, place: Path) -> bool:
    done = subprocess.run(["mount", "--bind", str(folder), str(place)], capture_output=True, check=False)
    return done.returncode == 0


def unmount(place: Path) -> None:
    """Takes a mount away at once, in use or not."""
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_store_that_is_unmounted_ends_a_sweep_in_order_and_mounted_again_it_ends_the_same(
    mounted: Path, reference: dict[str, Any], tmp_path: Path, mark: str
) -> None:
    store = mounted
    prepared(tmp_path, resources={"store_patience": 5})
    driver = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="gone")
    until(lambda: len(stored_addresses(store)) >= 8)
    unmount(store)
    assert driver.wait(timeout=120) == 1, said(tmp_path, "gone")
    assert f"{store}" in said(tmp_path, "gone")
    assert "is gone" in said(tmp_path, "gone")
    assert "resume" in said(tmp_path, "gone")
    assert "Traceback" not in said(tmp_path, "gone")
    assert end_all(mark) == []
    left = [path for path in store.rglob("*") if path.is_file()]
    assert left == [], "another store was begun where the real one was"
    assert mount(tmp_path / "share", store)
    driver = start_driver(tmp_path, mark, "resume", "quickstart", log="back")
    assert driver.wait(timeout=240) == 0, said(tmp_path, "back")
    assert differences(reference, findings(tmp_path)) == []
    assert repeated(store) == leftovers(store) == end_all(mark) == []


@contextmanager
def server(folder: Path, port: int) -> Iterator[int]:
    """Runs an MLflow server over an sqlite file in `folder`; gives its process group, which is killed at the end."""
    command, uri = ui_command(port, artifacts=str(folder / "artifacts")), f"sqlite:///{folder}/served.db"
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, env=ui_environment(uri), stdout=log, stderr=log, start_new_session=True)
    try:
        assert wait_until_up(f"http://127.0.0.1:{port}", 180, lambda: process.poll() is None)
        yield process.pid
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)


def track_until_done(folder: Path, mark: str, log: str, tries: int = 15) -> None:
    """Calls `w2s track` until it has come through; each failure is one clear line."""
    for number in range(tries):
        name = f"{log}-{number}"
        code = start_driver(folder, mark, "track", "quickstart", log=name).wait(timeout=120)
        if code == 0:
            return
        assert code == 1, said(folder, name)
        assert "Traceback" not in said(folder, name)
        assert "w2s track quickstart" in said(folder, name)
    pytest.fail(f"not projected after {tries} tries: {said(folder, name)}")


def test_training_goes_on_while_mlflow_hangs_and_what_it_missed_is_shown_once_later(
    reference: dict[str, Any], tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    runs = {key: value for key, value in reference.items() if key.startswith("mlflow")}
    port = free_port()
    with dropping(port, mean=None) as calm, server(tmp_path, port) as group:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{calm.port}")
        prepared(tmp_path)
        driver = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="hangs")
        until(lambda: len(mlflow_runs(tmp_path / "served.db")) > 1)
        os.killpg(group, signal.SIGSTOP)
        assert driver.wait(timeout=240) == 0, said(tmp_path, "hangs")
        assert "w2s track quickstart" in said(tmp_path, "hangs")
        os.killpg(group, signal.SIGCONT)
        trials = {key: value for key, value in reference.items() if not key.startswith("mlflow")}
        assert differences(trials, {k: v for k, v in findings(tmp_path).items() if not k.startswith("mlflow")}) == []
        track_until_done(tmp_path, mark, "later")
    assert differences(runs, mlflow_runs(tmp_path / "served.db")) == []
    for path in tmp_path.glob("served.db*"):
        path.unlink()
    with server(tmp_path, port), dropping(port, mean=400_000) as torn:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{torn.port}")
        track_until_done(tmp_path, mark, "anew")
        assert torn.dropped > 0
    assert differences(runs, mlflow_runs(tmp_path / "served.db")) == []


def test_a_server_that_is_killed_and_comes_back_is_shown_everything_once(
    reference: dict[str, Any], tmp_path: Path, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    prepared(tmp_path)
    with server(tmp_path, port):
        driver = start_driver(tmp_path, mark, "run", "quickstart.yaml", log="killed")
        until(lambda: len(mlflow_runs(tmp_path / "served.db")) > 1)
    until(lambda: "MLflow" in said(tmp_path, "killed"))
    with server(tmp_path, port):
        assert driver.wait(timeout=240) == 0, said(tmp_path, "killed")
        track_until_done(tmp_path, mark, "after")
    runs = {key: value for key, value in reference.items() if key.startswith("mlflow")}
    assert differences(runs, mlflow_runs(tmp_path / "served.db")) == []
