"""Spec, predictions and report arrive whole and once, whatever died between two of them."""

import shutil
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from dying import project_in_a_process

from w2s_ray.search.record import COMPLETE, FAILED
from w2s_ray.tracking import Projection

Look = Callable[..., Any]


@pytest.fixture
def report(tmp_path: Path) -> Path:
    """The folder of a report of two files."""
    folder = tmp_path / "report"
    (folder / "figures").mkdir(parents=True)
    (folder / "report.md").write_text("# Report", encoding="utf-8")
    (folder / "figures" / "pgr.svg").write_text("<svg/>", encoding="utf-8")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def copy_of(database: Path, name: str) -> str:
    """Copies an sqlite file as it is, also what is still written ahead; returns its URI."""
    path = database.with_name(name)
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(path)) as sink:
        source.backup(sink)
    return f"sqlite:///{path}"


def test_a_process_killed_before_any_upload_leaves_nothing_to_be_missed_and_nothing_twice(
    fake: Any, uri: str, shown: Look, report: Path, tmp_path: Path
) -> None:
    record, artifacts = fake.record(COMPLETE, COMPLETE, FAILED), tmp_path / "artifacts"
    begun = Path(uri.removeprefix("sqlite:///"))
    Projection(uri, "small", "mine", artifacts.as_uri()).update(record)
    whole = copy_of(begun, "whole.db")
    assert project_in_a_process(whole, artifacts.as_uri(), record, report) == 0
    expected, names = files(artifacts), sorted(Path(name).name for name in files(artifacts))
    assert names == ["minilm-0-to-minilm-1.csv", "minilm-0-to-minilm-2.csv", "pgr.svg", "report.md", "sweep.yaml"]
    assert shown(whole).of("sweep")[0].inputs.dataset_inputs
    calls = 0
    while True:
        shutil.rmtree(artifacts)
        broken = copy_of(begun, f"{calls}.db")
        code = project_in_a_process(broken, artifacts.as_uri(), record, report, calls)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        assert files(artifacts).items() <= expected.items()
        assert project_in_a_process(broken, artifacts.as_uri(), record, report) == 0
        assert files(artifacts) == expected
        assert shown(broken).content() == shown(whole).content()
        assert shown(broken).ids() == shown(whole).ids()
        calls += 1
    assert calls == len(expected) + 3  # an upload for each file, a mark for each of the three groups
