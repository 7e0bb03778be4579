"""Lets the tests beside it use the harness, which is a command too."""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import harness


@pytest.fixture(scope="session")
def reference(alone: Path) -> dict[str, Any]:
    """What the untouched sweep found out."""
    return harness.findings(alone)


@pytest.fixture
def finished(alone: Path, tmp_path: Path) -> Path:
    """A copy of the untouched sweep's spec, study and stages, without MLflow, whose links know where it was."""
    shutil.copytree(alone, tmp_path / "copy", ignore=shutil.ignore_patterns("mlflow*"))
    return tmp_path / "copy"
