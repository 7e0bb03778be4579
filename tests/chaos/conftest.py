"""Lets the tests beside it use the harness, which is a command too; runs once the sweep that all compare with."""

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parent))

import harness


@pytest.fixture(scope="session")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a sweep was run that nobody touched: once, also where several processes share the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = shared / "alone", shared / "alone.done"
    with FileLock(shared / "alone.lock"):
        if not done.exists():
            harness.left_alone(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def reference(alone: Path) -> dict[str, Any]:
    """What the untouched sweep found out."""
    return harness.findings(alone)


@pytest.fixture
def finished(alone: Path, tmp_path: Path) -> Path:
    """A copy of the untouched sweep's spec, study and stages, without MLflow, whose links know where it was."""
    shutil.copytree(alone, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow*"))
    return tmp_path / "copy"
