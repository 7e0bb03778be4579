"""A sweep's history has one name, wherever its store is moved to and however its spec changes."""

import shutil
from pathlib import Path

import optuna

from w2s_ray.methods import Parts
from w2s_ray.search.folder import LiveRecord, journal_path, load_record, save_spec, study_place
from w2s_ray.search.journal import open_journal
from w2s_ray.search.naming import study_names
from w2s_ray.search.study import Study
from w2s_ray.spec import Sweep, replace
from w2s_ray.stages.store import Store


def begun(sweep: Sweep) -> Study:
    store = Store(sweep.store)
    save_spec(store, sweep)
    study = Study(Parts(sweep), study_place(store, sweep.name))
    assert LiveRecord(study, store).now().history == study.history == load_record(store, sweep).history
    return study


def test_a_store_that_is_moved_has_the_same_history_and_another_store_has_another(small: Sweep, tmp_path: Path) -> None:
    history = begun(small).history
    other = begun(replace(small, store=str(tmp_path / "other"))).history
    shutil.move(small.store, tmp_path / "moved")
    moved = replace(small, store=str(tmp_path / "moved"))
    assert load_record(Store(moved.store), moved).history == begun(moved).history == history
    assert len({history, other, ""}) == 3


def test_a_changed_spec_goes_on_in_the_same_history(small: Sweep) -> None:
    history = begun(small).history
    changed = begun(replace(small, methods=["naive"]))
    assert changed.is_new
    assert changed.history == history


def test_a_study_of_a_version_before_is_given_its_history_by_the_next_driver(small: Sweep) -> None:
    store = Store(small.store)
    save_spec(store, small)
    storage, _ = open_journal(journal_path(store, small.name))
    for name in study_names(Parts(small)):
        made = optuna.create_study(study_name=name, storage=storage, direction="maximize")
        made.set_user_attr("seeds", [])
    assert load_record(store, small).history == ""
    assert begun(small).history == begun(small).history != ""
