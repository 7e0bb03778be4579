"""A head that is killed in the middle of a sweep, and started anew on the same store; this time open to anybody."""

import json
import time
from pathlib import Path

import pytest
from heads import Head, running

from w2s_ray.spec import Sweep, replace, yaml

pytestmark = pytest.mark.slow


def stages_in(store: Path) -> dict[str, int]:
    """The published stages and when each was."""
    return {path.parent.name: path.stat().st_mtime_ns for path in store.glob("stages/*/stage.json")}


def wait_for(store: Path, count: int, patience: float = 400) -> None:
    deadline = time.monotonic() + patience
    while len(stages_in(store)) < count:
        assert time.monotonic() < deadline, f"{len(stages_in(store))} of {count} stages"
        time.sleep(0.5)


def test_the_same_submission_carries_on_after_a_lost_head_and_an_open_one_is_refused(
    small: Sweep, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    sweep = replace(small, name="lost", store=str(store), search=replace(small.search, trials=2, parallelism=1))
    spec = tmp_path / "lost.yaml"
    spec.write_text(yaml.dump(sweep), encoding="utf-8")
    with running(tmp_path) as first:
        submitted = first.w2s("submit", str(spec), "--address", first.url)
        assert submitted.stdout == "lost\n", submitted.stderr
        wait_for(store, 6)
    before = stages_in(store)
    with running(tmp_path, is_open=True) as second:
        is_refused(second, spec)
        done = second.w2s("submit", str(spec), "--address", second.url, "--insecure", "--follow")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "job lost-1: SUCCEEDED" in done.stderr  # a new head knows no older one
        status = second.w2s("status", "lost", "--store", str(store), "--json")
    assert json.loads(status.stdout)["trials"]["complete"] == 2, status.stderr
    after = stages_in(store)
    assert before.items() <= after.items(), "a stage that was there was made again"
    assert len(after) > len(before)


def is_refused(head: Head, spec: Path) -> None:
    for command in (["submit", str(spec)], ["logs", "lost"], ["stop", "lost"]):
        done = head.w2s(*command, "--address", head.url)
        assert done.returncode == 1
        assert "runs anybody's code: it asks for no token" in done.stderr
