"""A study in a database is that of the journal: whatever dies, whatever goes away, and whoever else is in there."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any

import pytest
from databases import Postgres
from optuna.exceptions import StorageInternalError
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from w2s_ray.methods import Experiment, Parts
from w2s_ray.search import driver, durable
from w2s_ray.search.collect import read_mentions
from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.database import StudyDatabase
from w2s_ray.search.folder import load_record, load_spec, save_spec, study_place
from w2s_ray.search.listing import list_sweeps
from w2s_ray.search.naming import study_names
from w2s_ray.search.place import ENVIRONMENT, Database, Place, find_database, load_database
from w2s_ray.search.reading import read_studies, read_trials
from w2s_ray.search.study import Outcome, Study
from w2s_ray.spec import Search, Sweep, replace
from w2s_ray.stages.errors import StoreUnavailableError
from w2s_ray.stages.store import Store

FindPlace = Callable[[], Place]


class Died(BaseException):
    """The driver's end, which nothing in it can answer."""


@contextmanager
def before_each_statement(act: Callable[[int], None]) -> Iterator[None]:
    """Calls `act` with the number of each statement that goes to any database, and of each commit."""
    count = 0

    def tell(*_: Any) -> None:
        nonlocal count
        count += 1
        act(count)

    for name in ("before_cursor_execute", "commit"):
        event.listen(Engine, name, tell)
    try:
        yield
    finally:
        for name in ("before_cursor_execute", "commit"):
            event.remove(Engine, name, tell)


def outcome(experiment: Experiment) -> Outcome:
    """Most complete, one is pruned and one fails; some take two validations."""
    params: dict[str, Any] = dict(experiment.params)
    value = float(0.7 - abs(params["lr"] - 3e-3) - 0.001 * params["epochs"])
    if experiment.number == 5:
        return Outcome("pruned", intermediate={10: value})
    if experiment.number == 6:
        return Outcome("failed", error="TrainingDiverged: step 3", traceback="File 1")
    return Outcome("complete", {"oracle": value, "weak": 1 - value}, {10: value / 3, 20: value})


def run(study: Study, last_first: bool = False) -> None:
    """Asks and tells until nothing is left, then keeps a confirmation."""
    running: list[Experiment] = []
    while not study.finished:
        while (asked := study.ask()) is not None:
            running.append(asked)
        ended = running.pop(-1 if last_first else 0)
        study.report(ended.number, 10, outcome(ended).intermediate.get(10, 0.5))
        study.tell(ended.number, outcome(ended))
    study.confirm(3, Confirmation((2,), {"weak": ("a",)}, "complete"))


def content(sweep: Sweep, place: Place) -> list[Any]:
    """All that a study holds but its times and the name of its history."""
    studies = read_studies(place, study_names(Parts(sweep)))
    trials = [
        (number, trial.state, trial.params, trial.value, trial.intermediate_values, trial.user_attrs)
        for number, trial in read_trials(place, study_names(Parts(sweep)))
    ]
    return [*trials, *({**study.user_attrs, "history": None} for study in studies)]


@pytest.fixture
def few(sweep: Sweep) -> Sweep:
    """Twelve trials of one pairing: every result is heard by the next proposals but two."""
    return replace(sweep, pairings=sweep.pairings[:1], search=Search(trials=12, parallelism=2))


@pytest.fixture
def alone(few: Sweep, tmp_path: Path) -> list[Any]:
    """What a journal holds that nobody touched."""
    run(Study(Parts(few), tmp_path / "alone" / "study.journal"))
    return content(few, tmp_path / "alone" / "study.journal")


@pytest.mark.parametrize("sampler", ["tpe", "cmaes"])
def test_the_same_seeds_give_the_same_study_wherever_it_is(
    few: Sweep, sampler: str, new_place: Callable[[str], Place], tmp_path: Path
) -> None:
    few = replace(few, search=replace(few.search, sampler=sampler))
    run(Study(Parts(few), tmp_path / "plain" / "study.journal"))
    run(Study(Parts(few), new_place("here")), last_first=True)
    assert content(few, new_place("here")) == content(few, tmp_path / "plain" / "study.journal")


@pytest.mark.parametrize("new_place", ["sqlite", "postgres"], indirect=True)
def test_a_driver_that_dies_at_any_statement_leaves_nothing_half_done(
    few: Sweep, alone: list[Any], place: FindPlace
) -> None:
    """Each driver dies three statements later in its life than the one before; who looks then sees whole trials."""
    names = study_names(Parts(few))
    deaths = finished = 0

    def die_at(last: int) -> Callable[[int], None]:
        def act(number: int) -> None:
            if number == last:
                raise Died

        return act

    while not finished:
        try:
            with before_each_statement(die_at(10 + 3 * deaths)):
                run(Study(Parts(few), place()))
            finished = 1
        except Died:
            deaths += 1
        found = dict(read_trials(place(), names))
        assert all("stages" in trial.user_attrs for trial in found.values()), f"half asked at death {deaths}"
        ended = [trial for trial in found.values() if trial.state.is_finished()]
        assert all("values" in trial.user_attrs for trial in ended), f"half told at death {deaths}"
    assert deaths > 30
    assert content(few, place()) == alone


@pytest.mark.parametrize("new_place", ["sqlite", "postgres"], indirect=True)
def test_statements_that_fail_now_and_then_and_answers_that_are_lost_change_nothing(
    few: Sweep, alone: list[Any], place: FindPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # Optuna's, before it tries again
    commits, plain = 0, StudyDatabase.together

    @contextmanager
    def with_lost_answers(self: StudyDatabase) -> Iterator[None]:
        nonlocal commits
        with plain(self):
            yield
        commits += 1
        if commits % 5 == 0:
            raise StorageInternalError("the server went away after it committed")

    def fail(number: int) -> None:
        if number % 171 == 0:
            raise OperationalError("SELECT 1", None, Exception("the server went away"))

    study = Study(Parts(few), place())
    monkeypatch.setattr(StudyDatabase, "together", with_lost_answers)
    with before_each_statement(fail):
        run(study)
    monkeypatch.undo()
    assert commits > 10
    assert content(few, place()) == alone


@contextmanager
def away(server: Postgres) -> Iterator[None]:
    """A server that is gone in the block."""
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.fixture
def in_postgres(few: Sweep, shared_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    """A sweep whose study will be in Postgres."""
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    sweep = replace(few, store=str(tmp_path / "store"), search=replace(few.search, storage=shared_database))
    save_spec(Store(sweep.store), sweep)
    return sweep


def place_of(sweep: Sweep) -> Place:
    return study_place(Store(sweep.store), sweep.name, sweep.search.storage)


def test_a_server_that_is_away_for_a_while_is_waited_for(
    in_postgres: Sweep, alone: list[Any], server: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    study = Study(Parts(in_postgres), place_of(in_postgres))
    asked = study.ask()
    assert asked is not None
    server.stop()
    Timer(0.5, server.start).start()
    study.tell(asked.number, outcome(asked))
    assert "cannot be used (writing the study" in caplog.text
    study = Study(Parts(in_postgres), place_of(in_postgres))
    run(study)
    assert [row[2] for row in content(in_postgres, place_of(in_postgres))[:12]] == [row[2] for row in alone[:12]]


def test_a_server_that_stays_away_is_said_after_the_patience_of_the_spec_and_by_every_reader(
    in_postgres: Sweep, server: Postgres
) -> None:
    sweep = replace(in_postgres, resources=replace(in_postgres.resources, store_patience=0))
    store = Store(sweep.store)
    study = Study(Parts(sweep), place_of(sweep))
    asked = study.ask()
    assert asked is not None
    with away(server):
        for act in (study.ask, study.trials, lambda: study.report(0, 1, 0.5), lambda: load_record(store, sweep)):
            with pytest.raises(StoreUnavailableError, match=r"database postgresql://postgres@/db_.* cannot be used"):
                act()
        (row,) = list_sweeps(store)
        assert row.state == "unreadable"
        assert "cannot be used" in row.problem
    assert [trial.state for trial in load_record(store, sweep).trials] == ["running"]
    study.tell(asked.number, outcome(asked))
    (row,) = list_sweeps(store)
    assert (row.state, row.ended) == ("interrupted", 0)
    assert row.age is not None
    assert row.age < 600


def test_sweeps_of_one_name_of_two_stores_do_not_see_each_other(in_postgres: Sweep, tmp_path: Path) -> None:
    run(Study(Parts(in_postgres), place_of(in_postgres)))
    other = replace(in_postgres, store=str(tmp_path / "other"))
    save_spec(Store(other.store), other)
    assert read_mentions(place_of(other)) == []
    study = Study(Parts(other), place_of(other))
    assert (study.left, study.seeded) == (12, 0)
    assert len(load_record(Store(in_postgres.store), in_postgres).trials) == 12
    assert len(read_mentions(place_of(in_postgres))) == 13, "twelve trials and a confirmation"


def test_a_study_stays_where_it_began(
    in_postgres: Sweep, few: Sweep, server: Postgres, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store = Store(in_postgres.store)
    Study(Parts(in_postgres), place_of(in_postgres)).ask()
    assert str(study_place(store, "small")) == in_postgres.search.storage, "a reader needs no spec"
    for url in (server.new_database(), sqlite_url):
        monkeypatch.setenv(ENVIRONMENT, url)
        with pytest.raises(
            ValueError, match=f"does not hold the study of sweep 'small', which began in .*{ENVIRONMENT}"
        ):
            load_record(store, in_postgres)
        with pytest.raises(ValueError, match="does not hold the study"):
            Study(Parts(in_postgres), place_of(in_postgres))
    assert not (tmp_path / "studies.db").exists()
    journal = tmp_path / "journal" / "sweeps" / "small" / "study.journal"
    Study(Parts(few), journal).ask()
    assert study_place(Store(tmp_path / "journal"), "small", sqlite_url) == journal


def test_a_reader_makes_nothing(few: Sweep, sqlite_url: str, tmp_path: Path) -> None:
    assert read_studies(Database(tmp_path / "small", sqlite_url), ("any",)) == []
    assert read_studies(Database(tmp_path / "small", sqlite_url, "key"), ("any",)) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://me:canary@127.0.0.1:1/x", r"postgresql://me:\*\*\*@127.0.0.1:1/x cannot be used"),
        ("postgresql://me:can/ary@127.0.0.1:1/x", r"postgresql://me:\*\*\*@127.0.0.1:1/x cannot be used"),
        ("postgresql://me:x@canary@127.0.0.1:1/x", "holds an @; write it as %40"),
        ("postgresql://127.0.0.1:1/x?user=me&password=canary", r"password=\*\*\* cannot be used"),
        ("postgresql://me:canary@host:port/x", "cannot be read; write postgresql://USER@HOST/DATABASE"),
        ("mysql://me:canary@host/x", r"mysql://me:\*\*\*@host/x can hold no study"),
        ("sqlite:///relative.db", "whole path"),
        ("sqlite:////nowhere/x.db", "unable to open database file"),
        ("me@canary", "cannot be read"),
    ],
)
def test_a_url_that_cannot_be_used_is_said_without_its_password(
    few: Sweep, url: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(ENVIRONMENT, url)
    found = find_database(tmp_path / "small", None)
    assert found is not None
    with pytest.raises((ValueError, StoreUnavailableError), match=says) as caught:
        Study(Parts(few), found)
    assert not any(
        secret in text for secret in ("canary", "can/ary") for text in (str(caught.value), caplog.text, repr(found))
    )


def test_a_run_whose_database_does_not_answer_leaves_its_store_as_it_was(
    few: Sweep, server: Postgres, shared_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    nobody = shared_database.replace("postgres@", "nobody@")
    monkeypatch.setenv(ENVIRONMENT, nobody)
    with pytest.raises(StoreUnavailableError, match="nobody"):
        driver.run(replace(few, store=str(store.root)))
    assert store.sweeps() == []
    monkeypatch.setenv(ENVIRONMENT, shared_database)
    save_spec(store, few)
    Study(Parts(few), study_place(store, few.name))
    changed = replace(few, seeds=(5, 6))
    for url in (nobody, f"sqlite:///{tmp_path}/another.db"):
        monkeypatch.setenv(ENVIRONMENT, url)
        with pytest.raises((StoreUnavailableError, ValueError), match=r"nobody|does not hold the study"):
            driver.run(replace(changed, store=str(store.root)))
    assert load_spec(store, few.name) == few


def test_the_password_is_nowhere_in_the_store(
    few: Sweep, server: Postgres, shared_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENVIRONMENT, shared_database.replace("postgres@", "postgres:canary-4711@"))
    sweep = replace(few, store=str(tmp_path / "store"))
    save_spec(Store(sweep.store), sweep)
    Study(Parts(sweep), place_of(sweep)).ask()
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"database.json", "sweep.yaml", "study.json"}
    assert not any(b"canary" in path.read_bytes() for path in files)
    kept = load_database(Store(sweep.store).sweep_folder("small"))
    assert kept is not None
    assert kept.url == shared_database


def test_a_database_of_another_program_is_named(few: Sweep, tmp_path: Path, sqlite_url: str) -> None:
    from w2s_ray.tracking.client import connect

    connect(sqlite_url).search_experiments()
    with pytest.raises(ValueError, match="cannot share MLflow's"):
        Study(Parts(few), Database(tmp_path / "small", sqlite_url))
