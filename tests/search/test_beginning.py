"""A changed spec and the names of its studies take the place of the old ones in one step, or not at all."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.methods import Parts
from w2s_ray.search import beginning
from w2s_ray.search.folder import load_record, load_spec, study_place
from w2s_ray.search.journal import JournalFile
from w2s_ray.search.naming import load_names
from w2s_ray.search.place import ENVIRONMENT
from w2s_ray.search.progress import Progress
from w2s_ray.search.status import status_of
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Search, Sweep, replace
from w2s_ray.stages.errors import StoreUnavailableError
from w2s_ray.stages.store import Store

DONE = Outcome("complete", {"oracle": 0.7, "weak": 0.8})


class Died(BaseException):
    """The driver's end, which nothing in it can answer."""


class Said(Progress):
    """Keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def six(sweep: Sweep, store: Store) -> Sweep:
    """Six trials of two pairings, all told."""
    six = replace(sweep, store=str(store.root), search=Search(trials=6, parallelism=1))
    finish(begin(six))
    return six


@pytest.fixture
def changed(six: Sweep) -> Sweep:
    """Another space, and the second pairing alone: trials read by the wrong spec would change their pairing."""
    narrower = {**six.space, "lr": {"log_uniform": [1e-4, 2e-3]}}
    return replace(six, pairings=six.pairings[1:], methods={"naive": {}, "confidence": {}}, space=narrower)


def begin(sweep: Sweep, warm_start: str | None = None, progress: Progress | None = None) -> Study:
    return beginning.begin(Parts(sweep), Store(sweep.store), progress or Said(), warm_start, lambda: None)


def finish(study: Study) -> None:
    while (asked := study.ask()) is not None:
        study.tell(asked.number, DONE)


def content(store: Store) -> dict[str, bytes]:
    files = (path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): path.read_bytes() for path in files}


def dies_at(last: int, act: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> bool:
    """Does `act` and dies before its write number `last`: lines that go to a journal, or a file that takes its place.

    Returns False if it had come to its end by then.
    """
    count = 0

    def dying(write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any) -> Any:
            nonlocal count
            count += 1
            if count == last:
                raise Died
            return write(*args)

        return counted

    with monkeypatch.context() as patched, suppress(Died):
        patched.setattr(os, "replace", dying(os.replace))
        patched.setattr(JournalFile, "append_logs", dying(JournalFile.append_logs))
        act()
        return False
    return True


def test_a_driver_killed_between_an_old_spec_and_a_new_one_leaves_the_one_or_the_other(
    six: Sweep, changed: Sweep, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver dies at each of its writes; after each the sweep is read and, as it is, resumed."""
    last, before = 1, shutil.copytree(store.root, store.root.with_name("before"))
    while dies_at(last, lambda: begin(changed), monkeypatch):
        kept = load_spec(store, six.name)
        record = load_record(store, kept, live=False)
        status_of(record).to_text()
        if kept != six:
            assert kept == changed
            assert record.trials == ()
        else:
            assert [trial.state for trial in record.trials] == ["complete"] * 6
            assert {trial.pairing for trial in record.trials} == {pairing.name for pairing in six.pairings}
            assert begin(six).finished
        shutil.rmtree(store.root)
        shutil.copytree(before, store.root)
        last += 1
    assert last > 4
    assert load_spec(store, six.name) == changed
    finish(begin(changed))
    assert {trial.pairing for trial in load_record(store, changed).trials} == {changed.pairings[0].name}
    assert begin(six).finished, "the old spec finds its own trials again"
    assert len(load_record(store, six).trials) == 6


@pytest.mark.parametrize("wrong", ["warm start", "warm start that is damaged", "model", "database"])
def test_a_run_that_is_refused_leaves_the_sweep_as_it_was(
    six: Sweep, changed: Sweep, store: Store, wrong: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = replace(six, name="other")
    begin(other)
    journal = store.sweep_folder("other") / "study.journal"
    if wrong == "warm start that is damaged":
        journal.write_bytes(b"{\n" + journal.read_bytes())
    if wrong == "model":
        models = {**changed.models, "minilm-2": replace(changed.models["minilm-2"], source=str(tmp_path / "nowhere"))}
        changed = replace(changed, models=models)
    if wrong == "database":
        (store.sweep_folder(six.name) / "study.json").unlink()
        (store.sweep_folder(six.name) / "database.json").write_bytes(b"{")
    before = content(store)
    with pytest.raises((ValueError, OSError, LookupError)):
        begin(changed, "typo" if wrong == "warm start" else "other")
    assert content(store) == before


def test_names_that_an_older_version_kept_are_those_of_the_spec_beside_them(
    six: Sweep, changed: Sweep, store: Store
) -> None:
    folder = store.sweep_folder(six.name)
    names = load_names(folder)
    (folder / "study.json").write_text(str(list(names)).replace("'", '"'), encoding="utf-8")
    assert load_names(folder) == names
    assert len(load_record(store, six).trials) == 6
    Study(Parts(changed), study_place(store, six.name))
    assert load_names(folder) == names, "the changed spec is not there yet"


def test_a_spec_that_was_edited_in_the_store_has_the_newest_study(six: Sweep, store: Store) -> None:
    path = store.sweep_folder(six.name) / "sweep.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("trials: 6", "trials: 8"), encoding="utf-8")
    assert len(load_record(store, load_spec(store, six.name)).trials) == 6


@pytest.mark.parametrize("lost", ["all", "content", "generation"])
def test_a_study_that_is_gone_is_said_and_not_begun_anew(
    six: Sweep, store: Store, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = study_place(store, six.name)
    assert isinstance(journal, Path)
    if lost == "all":
        journal.unlink()
        monkeypatch.setenv(ENVIRONMENT, "sqlite:////nowhere/studies.db")
    elif lost == "content":
        journal.write_bytes(b"")
    else:
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(lines[0])
    before = content(store)
    for act in (lambda: begin(six), lambda: load_record(store, six)):
        with pytest.raises(StoreUnavailableError, match=r"study\.journal does not hold.*study\.json"):
            act()
    assert content(store) == before


def test_a_journal_that_vanishes_in_mid_run_is_waited_for_and_not_begun_anew(six: Sweep, store: Store) -> None:
    six = replace(six, search=Search(trials=8), resources=replace(six.resources, store_patience=0))
    study, journal = begin(six), study_place(store, six.name)
    assert isinstance(journal, Path)
    away = journal.rename(journal.with_name("away"))
    for _ in range(2):
        with pytest.raises(StoreUnavailableError, match=r"gone|does not hold"):
            study.ask()
        assert not journal.exists()
    away.rename(journal)
    asked = study.ask()
    assert asked is not None
    assert asked.number == 6


def test_a_warm_start_that_comes_too_late_is_said(six: Sweep) -> None:
    begin(replace(six, name="other"))
    said = Said()
    begin(six, "other", said)
    assert said.lines == ["small goes on with its own study; --warm-start is for new ones, and other is not read"]


def test_trials_that_a_change_leaves_aside_are_counted(six: Sweep) -> None:
    said = Said()
    begin(replace(six, seeds=(5, 6)), progress=said)
    assert said.lines[0].startswith("the spec begins a new study, since seeds changed: 0 finished trials mean the same")
    assert "6 do not" in said.lines[0]
