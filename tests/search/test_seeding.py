"""A changed spec begins a new study with the trials that mean the same in it, and never with others."""

from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts
from w2s_ray.search.journal import mend_journal
from w2s_ray.search.naming import study_names
from w2s_ray.search.reading import read_trials
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Search, Sweep, replace


def finish(sweep: Sweep, path: Path, warm_start: tuple[Path, str] | None = None) -> Study:
    """Runs a search to its end; the value of a trial is its learning rate."""
    study = Study(Parts(sweep), path, warm_start)
    while not study.finished:
        experiment = study.ask()
        assert experiment is not None
        value = float(experiment.params["lr"])
        study.tell(experiment.number, Outcome("complete", {"oracle": value, "weak": value}))
    return study


def params_of(sweep: Sweep, path: Path) -> list[dict[str, Any]]:
    return [dict(trial.params) for _, trial in read_trials(path, study_names(Parts(sweep)))]


@pytest.fixture
def one_at_a_time(sweep: Sweep) -> Sweep:
    return replace(sweep, search=Search(trials=20, parallelism=1))


def test_an_unchanged_spec_takes_up_its_own_study(one_at_a_time: Sweep, tmp_path: Path) -> None:
    finish(one_at_a_time, tmp_path / "journal")
    again = Study(Parts(one_at_a_time), tmp_path / "journal")
    assert again.finished
    assert (again.is_new, again.seeded) == (False, 0)


def test_a_narrower_space_takes_over_the_trials_within_it(one_at_a_time: Sweep, tmp_path: Path) -> None:
    finish(one_at_a_time, tmp_path / "journal")
    old = params_of(one_at_a_time, tmp_path / "journal")
    narrower = replace(one_at_a_time, space={**one_at_a_time.space, "lr": {"log_uniform": [1e-4, 2e-3]}})
    study = Study(Parts(narrower), tmp_path / "journal")
    assert study.is_new
    assert study.seeded > 0
    assert study.seeded + study.left_aside == len(old)
    finish(narrower, tmp_path / "journal")
    new = params_of(narrower, tmp_path / "journal")
    assert all(params["lr"] <= 2e-3 for params in new)
    assert sum(params in old for params in new) >= min(study.seeded, 14)


def test_a_wider_space_and_an_added_method_take_over_everything(one_at_a_time: Sweep, tmp_path: Path) -> None:
    fewer = replace(one_at_a_time, methods={"naive": {}, "bootstrap": {}}, space={"lr": {"log_uniform": [1e-4, 1e-2]}})
    finish(fewer, tmp_path / "journal")
    wider = replace(one_at_a_time, space={"lr": {"log_uniform": [1e-5, 1e-1]}})
    study = Study(Parts(wider), tmp_path / "journal")
    assert (study.seeded, study.left_aside) == (20, 0)


@pytest.mark.parametrize("change", ["splits", "baseline", "seeds", "objective"])
def test_trials_that_cannot_be_compared_are_kept_aside(one_at_a_time: Sweep, change: str, tmp_path: Path) -> None:
    finish(one_at_a_time, tmp_path / "journal")
    strong = one_at_a_time.models["minilm-2"]
    changes: dict[str, Any] = {
        "splits": {"task": replace(one_at_a_time.task, seed=7)},
        "baseline": {
            "models": {**one_at_a_time.models, "minilm-2": replace(strong, baseline=replace(strong.baseline, lr=0.1))}
        },
        "seeds": {"seeds": (0, 1, 2)},
        "objective": {"objective": "weak"},
    }
    study = Study(Parts(replace(one_at_a_time, **changes[change])), tmp_path / "journal")
    assert (study.is_new, study.seeded) == (True, 0)
    assert Study(Parts(one_at_a_time), tmp_path / "journal").finished


def test_another_sweeps_study_warms_a_new_one_up(one_at_a_time: Sweep, tmp_path: Path) -> None:
    finish(one_at_a_time, tmp_path / "journal")
    other = replace(one_at_a_time, name="other")
    assert Study(Parts(other), tmp_path / "cold" / "journal").seeded == 0
    warm = Study(Parts(other), tmp_path / "warm" / "journal", (tmp_path / "journal", one_at_a_time.name))
    assert warm.seeded == 20


def test_a_journal_torn_in_its_last_line_is_mended_and_carries_on(one_at_a_time: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    finish(replace(one_at_a_time, search=Search(trials=8, parallelism=1)), path)
    whole = path.read_bytes()
    path.write_bytes(whole + whole.splitlines()[-1][:17])
    finish(one_at_a_time, path)
    assert len(params_of(one_at_a_time, path)) == 20


def test_mending_a_whole_journal_changes_nothing(one_at_a_time: Sweep, tmp_path: Path) -> None:
    finish(one_at_a_time, tmp_path / "journal")
    before = (tmp_path / "journal").read_bytes()
    mend_journal(tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == before
