"""What people read while a sweep runs."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from w2s_ray.methods import Parts
from w2s_ray.search.progress import Progress
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Sweep
from w2s_ray.stages.store import Store


@pytest.fixture
def out() -> StringIO:
    return StringIO()


@pytest.fixture
def progress(out: StringIO) -> Progress:
    return Progress(Console(file=out, width=300, soft_wrap=True))


@pytest.fixture
def study(sweep: Sweep, tmp_path: Path) -> Study:
    study = Study(Parts(sweep), tmp_path / "study.journal")
    study.ask()
    return study


def test_a_trial_that_ended_is_a_line_with_its_settings_and_result(
    progress: Progress, out: StringIO, study: Study
) -> None:
    progress.trial(0, Outcome("complete", {"oracle": 0.75, "weak": 0.9}), study)
    assert "trial 0000 complete naive minilm-0→minilm-2 (default) lr=0.001 epochs=3: oracle 0.7500" in out.getvalue()


def test_an_error_is_shown_to_the_letter(progress: Progress, out: StringIO, study: Study) -> None:
    progress.trial(0, Outcome("failed", error="OSError: [Errno 5] depth [a, b]"), study)
    assert "OSError: [Errno 5] depth [a, b]" in out.getvalue()


def test_unfit_rows_are_named_once_when_the_data_was_read(
    progress: Progress, out: StringIO, sweep: Sweep, tmp_path: Path
) -> None:
    store, stage = Store(tmp_path / "store"), Parts(sweep).examples
    progress.examples(store, stage.address)
    assert out.getvalue() == ""
    with store.publish(stage) as draft:
        draft.summary = {"rows": 9, "dropped": {"empty text": 1}, "dropped_rows": {"empty text": ["t.csv:3"]}}
    for _ in range(2):
        progress.examples(store, stage.address)
    assert out.getvalue().count("data: 1 of 9 rows were left out: 1 for 'empty text' (t.csv:3).") == 1


def test_what_runs_is_said_now_and_then_in_a_log(
    progress: Progress, out: StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2s_ray.search.progress._PLAIN_SECONDS", 0.01)
    seen = 0

    def running() -> list[str]:
        nonlocal seen
        seen += 1
        return ["student a seed 0", "student a seed 1", "student b seed 0", "student b seed 1"]

    with progress.watching(running, left=7):
        while seen < 2:
            pass
    assert "0 of 7 trials ended; running: student a seed 0, student a seed 1, student b seed 0 and 1 more" in (
        out.getvalue()
    )


def test_what_is_made_again_after_the_trials_is_not_counted_as_trials(
    progress: Progress, out: StringIO, study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("w2s_ray.search.progress._PLAIN_SECONDS", 0.01)
    for _ in range(2):
        progress.trial(0, Outcome("complete", {"oracle": 0.75, "weak": 0.9}), study)
    with progress.watching(lambda: ["ceiling a seed 0"], left=0):
        while "running" not in out.getvalue():
            pass
    assert "all trials ended; running: ceiling a seed 0" in out.getvalue()
