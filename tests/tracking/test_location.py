"""Where the projection goes, and that finding out costs no import of mlflow."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.spec import Tracking
from w2s_ray.tracking import artifact_root, tracking_uri


def test_the_spec_wins_over_the_environment_and_that_over_the_store(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    named = fake.sweep.model_copy(update={"tracking": Tracking(uri="http://spec")})
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    default = tracking_uri(fake.sweep, fake.store)
    assert default == f"sqlite:///{fake.store.root}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://environment")
    assert tracking_uri(fake.sweep, fake.store) == "http://environment"
    assert tracking_uri(named, fake.store) == "http://spec"
    assert tracking_uri(None, fake.store) == "http://environment"


def test_only_the_stores_own_file_gets_an_artifact_folder(fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    uri = tracking_uri(fake.sweep, fake.store)
    assert artifact_root(uri, fake.store) == f"file://{fake.store.root}/mlflow-artifacts"
    assert artifact_root("http://server", fake.store) is None


def test_importing_the_room_imports_neither_mlflow_nor_torch(tmp_path: Path) -> None:
    code = "import sys, w2s_ray.tracking, w2s_ray.tracking.ui; assert not {'mlflow', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
