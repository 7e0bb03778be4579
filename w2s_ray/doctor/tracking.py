"""What only the driver writes: MLflow, and the study of each sweep. Nothing is written here, and no file is made."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from w2s_ray.doctor.finding import Finding, advised, first_line, ok, problem, warning
from w2s_ray.doctor.request import Request
from w2s_ray.secrets import without_secrets
from w2s_ray.spec import Sweep
from w2s_ray.stages.open import open_store
from w2s_ray.stages.store import Store
from w2s_ray.tracking.location import is_served, sqlite_file, tracking_uri

if TYPE_CHECKING:
    from w2s_ray.search.place import Database

_LOCK_SECONDS = 2.0
_LONGEST = 300  # characters of a reason
_ANOTHER_FILE = "move the file away; `w2s track NAME` makes it again from the store"


def mlflow(request: Request) -> list[Finding]:
    """Whether MLflow answers, and lets in who asks."""
    return [_mlflow_at(uri) for uri in _uris(request)]


def study(request: Request) -> list[Finding]:
    """Whether the study of each sweep can be read, and nobody else works on it."""
    return [_study_of(sweep, open_store(request.store)) for sweep in request.sweeps if request.store is not None]


def _uris(request: Request) -> list[str]:
    if request.store is None:
        return []
    tracked = [sweep for sweep in request.sweeps if sweep.tracking.enabled]
    wanted = tracked if request.sweeps else [None]
    return list(dict.fromkeys(tracking_uri(sweep, open_store(request.store)) for sweep in wanted))


def _mlflow_at(uri: str) -> Finding:
    file = sqlite_file(uri)
    if file is not None:
        return _sqlite(file)
    from w2s_ray.tracking.client import connect
    from w2s_ray.tracking.troubles import advice_on

    shown = without_secrets(uri)
    try:
        if is_served(uri):
            connect(uri).search_experiments(max_results=1)
        else:
            _select_one(uri)
    except Exception as error:  # whatever mlflow, its HTTP library or a database raises
        mend = advice_on(error) or "see whether MLFLOW_TRACKING_URI, or tracking.uri of the spec, names what it should"
        return problem("mlflow", f"{shown} cannot be used: {first_line(error)[:_LONGEST]}", mend)
    return ok("mlflow", f"{shown} answers")


def _select_one(uri: str) -> None:
    """Asks a database, without the tables that MLflow's own client would make in it."""
    from sqlalchemy import create_engine, text

    with create_engine(uri).connect() as connection:
        connection.execute(text("SELECT 1"))


def _sqlite(file: Path) -> Finding:
    """Looks whether the file can be written now; one that is missing will be made, with the store."""
    if not file.exists():
        return ok("mlflow", f"{file} will be made")
    try:
        with closing(sqlite3.connect(file, timeout=_LOCK_SECONDS)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("SELECT name FROM sqlite_master LIMIT 1").fetchall()
            connection.execute("ROLLBACK")
    except sqlite3.DatabaseError as error:
        is_locked = isinstance(error, sqlite3.OperationalError) and "locked" in str(error)
        if is_locked:
            return warning("mlflow", f"{file} is being written by another process", "wait for it, or end it")
        return problem("mlflow", f"{file} cannot be written: {error}", _ANOTHER_FILE)
    return ok("mlflow", f"{file} can be written")


def _study_of(sweep: Sweep, store: Store) -> Finding:
    """Reads the whole study, as a driver does that resumes it."""
    from w2s_ray.search.folder import load_record, study_place
    from w2s_ray.search.lease import holder
    from w2s_ray.search.naming import load_names
    from w2s_ray.search.place import ENVIRONMENT, Database

    mend = "put the file back from a backup"
    try:
        place = study_place(store, sweep.name, sweep.search.storage)
        if isinstance(place, Database):
            mend = f"see whether {ENVIRONMENT}, or search.storage of the spec, names what it should"
            if place.key is None:
                return _new_database(sweep, place)
        elif not place.exists() and not load_names(store.sweep_folder(sweep.name)):
            return ok("study", f"{sweep.name}: will be made")
        trials = len(load_record(store, sweep).trials)
        driver = holder(store, sweep.name)
    except (ValueError, OSError) as error:
        return advised("study", f"{sweep.name}: {str(error).splitlines()[0][:_LONGEST]}", mend)
    if driver is not None:
        says = f"{sweep.name} is being run by {driver}"
        return warning("study", says, "wait for it or stop it; `w2s run --take-over` ends it if it is on that machine")
    return ok("study", f"{sweep.name}: {trials} trials can be read")


def _new_database(sweep: Sweep, place: "Database") -> Finding:
    """Whether the database for a new study answers; its tables are made by the driver."""
    from w2s_ray.search.database import open_to_read

    open_to_read(place)
    return ok("study", f"{sweep.name}: will be made in {place}, which answers")
