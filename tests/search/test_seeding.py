"""A changed spec begins a new study with the trials that mean the same in it, and never with others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts
from w2s_ray.search.journal import mend_journal
from w2s_ray.search.naming import study_names
from w2s_ray.search.place import Place
from w2s_ray.search.reading import read_trials
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Search, Sweep, replace

FindPlace = Callable[[], Place]


def finish(sweep: Sweep, place: Place, warm_start: tuple[Place, str] | None = None) -> Study:
    """Runs a search to its end; the value of a trial is its learning rate."""
    study = Study(Parts(sweep), place, warm_start)
    while not study.finished:
        experiment = study.ask()
        assert experiment is not None
        value = float(experiment.params["lr"])
        study.tell(experiment.number, Outcome("complete", {"oracle": value, "weak": value}))
    return study


def params_of(sweep: Sweep, place: Place) -> list[dict[str, Any]]:
    return [dict(trial.params) for _, trial in read_trials(place, study_names(Parts(sweep)))]


@pytest.fixture
def one_at_a_time(sweep: Sweep) -> Sweep:
    return replace(sweep, search=Search(trials=20, parallelism=1))


def test_an_unchanged_spec_takes_up_its_own_study(one_at_a_time: Sweep, place: FindPlace) -> None:
    finish(one_at_a_time, place())
    again = Study(Parts(one_at_a_time), place())
    assert again.finished
    assert (again.is_new, again.seeded) == (False, 0)


def test_a_narrower_space_takes_over_the_trials_within_it(one_at_a_time: Sweep, place: FindPlace) -> None:
    finish(one_at_a_time, place())
    old = params_of(one_at_a_time, place())
    narrower = replace(one_at_a_time, space={**one_at_a_time.space, "lr": {"log_uniform": [1e-4, 2e-3]}})
    study = Study(Parts(narrower), place())
    assert study.is_new
    assert study.seeded > 0
    assert study.seeded + study.left_aside == len(old)
    finish(narrower, place())
    new = params_of(narrower, place())
    assert all(params["lr"] <= 2e-3 for params in new)
    assert sum(params in old for params in new) >= min(study.seeded, 14)


def test_a_wider_space_and_an_added_method_take_over_everything(one_at_a_time: Sweep, place: FindPlace) -> None:
    fewer = replace(one_at_a_time, methods={"naive": {}, "bootstrap": {}}, space={"lr": {"log_uniform": [1e-4, 1e-2]}})
    finish(fewer, place())
    wider = replace(one_at_a_time, space={"lr": {"log_uniform": [1e-5, 1e-1]}})
    study = Study(Parts(wider), place())
    assert (study.seeded, study.left_aside) == (20, 0)


@pytest.mark.parametrize("change", ["splits", "baseline", "seeds", "objective"])
def test_trials_that_cannot_be_compared_are_kept_aside(one_at_a_time: Sweep, change: str, place: FindPlace) -> None:
    finish(one_at_a_time, place())
    strong = one_at_a_time.models["minilm-2"]
    changes: dict[str, Any] = {
        "splits": {"task": replace(one_at_a_time.task, seed=7)},
        "baseline": {
            "models": {**one_at_a_time.models, "minilm-2": replace(strong, baseline=replace(strong.baseline, lr=0.1))}
        },
        "seeds": {"seeds": (0, 1, 2)},
        "objective": {"objective": "weak"},
    }
    study = Study(Parts(replace(one_at_a_time, **changes[change])), place())
    assert (study.is_new, study.seeded, study.left_aside) == (True, 0, 20)
    assert Study(Parts(one_at_a_time), place()).finished


def test_another_sweeps_study_warms_a_new_one_up(
    one_at_a_time: Sweep, place: FindPlace, new_place: Callable[[str], Place], tmp_path: Path
) -> None:
    finish(one_at_a_time, place())
    other = replace(one_at_a_time, name="other")
    assert Study(Parts(other), new_place("cold")).seeded == 0
    warm = Study(Parts(other), new_place("warm"), (place(), one_at_a_time.name))
    assert warm.seeded == 20
    elsewhere = Study(Parts(other), tmp_path / "elsewhere" / "journal", (place(), one_at_a_time.name))
    assert elsewhere.seeded == 20


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
