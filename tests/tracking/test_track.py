"""What a driver that was killed, or that failed, leaves in MLflow: nothing runs there that does not run."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.assets import AssetError
from w2s_ray.cli import track
from w2s_ray.methods import Parts
from w2s_ray.search.driver import run
from w2s_ray.search.folder import load_record, save_spec, study_place
from w2s_ray.search.lease import SweepInUseError, lease
from w2s_ray.search.study import Study
from w2s_ray.spec import Sweep
from w2s_ray.stages.store import Store
from w2s_ray.tracking import project, tracking_uri

Look = Callable[..., Any]


@pytest.fixture
def killed(small: Sweep, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store as a driver left it that was killed while two trials ran, all of it shown."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = Store(small.store)
    save_spec(store, small)
    study = Study(Parts(small), study_place(store, small.name))
    for _ in range(2):
        study.ask()
    shutil.copy(empty_database, store.root / "mlflow.db")
    project(load_record(store, small))
    return store


def states(store: Store, shown: Look) -> list[tuple[str, str]]:
    there = shown(tracking_uri(None, store))
    runs = [run for kind in ("sweep", "trial") for run in there.of(kind)]
    return [(run.info.status, run.data.tags["state"]) for run in runs]


def test_tracking_what_a_killed_driver_left_open_shows_it_as_interrupted(killed: Store, shown: Look) -> None:
    assert states(killed, shown) == [("RUNNING", "running")] * 3
    with lease(killed, "small"), pytest.raises(SweepInUseError):
        track("small", str(killed.root))
    assert states(killed, shown) == [("RUNNING", "running")] * 3
    track("small", str(killed.root))
    assert states(killed, shown) == [("KILLED", "interrupted")] * 3


def test_a_driver_that_fails_leaves_nothing_running(
    killed: Store, small: Sweep, shown: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("W2S_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(AssetError):
        run(small)
    assert states(killed, shown) == [("KILLED", "interrupted")] * 3
