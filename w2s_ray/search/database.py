"""Studies in a database: sqlite or Postgres, through Optuna's RDBStorage.

What belongs together is one transaction: a trial is asked or told as a whole or not at all, whenever its driver dies or
the server goes, so that nothing has to be mended. It is cheaper too, since every commit waits for a disk. The driver
holds the sweep's lease, so nobody else writes the same studies; many sweeps may share a database.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from w2s_ray.search.place import ENVIRONMENT, Database
from w2s_ray.secrets import database_without_secrets
from w2s_ray.spec.search import STORAGE_FORM
from w2s_ray.stages.errors import StoreUnavailableError

_POSTGRES = ("postgresql", "postgres", "postgresql+psycopg")
_PATIENCE = {"connect_timeout": 10, "tcp_user_timeout": 30_000}  # s, ms: a host that is gone must not be waited for


class StudyDatabase(RDBStorage):
    """Optuna's storage, and transactions over many of its calls."""

    @contextmanager
    def together(self) -> Iterator[None]:
        """Makes all that this thread writes in the block one transaction, which an exception takes back.

        Optuna commits after each of its calls; a session that joins a transaction begun outside leaves that to us. But
        whatever is raised within a call, KeyError too, takes all back, so in the block one looks before asking.
        """
        with self.engine.connect() as connection, connection.begin() as transaction:
            self.scoped_session.remove()
            self.scoped_session(bind=connection, join_transaction_mode="rollback_only")
            try:
                yield
            finally:
                self.scoped_session.remove()
            if not transaction.is_active:  # it would end without a commit, and without a word
                raise StorageInternalError("what was written together was taken back")

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        """Returns the id of a trial. Raises KeyError, but not within a session, since to ask is no failure."""
        query = text("SELECT trial_id FROM trials WHERE study_id = :study AND number = :number")
        with self.scoped_session() as session:
            found = session.execute(query, {"study": study_id, "number": trial_number}).scalar()
        if found is None:
            raise KeyError(f"study {study_id} has no trial {trial_number}")
        return int(found)

    def names(self, prefix: str) -> list[str]:
        """Returns the names that begin so, in the order in which the studies were made."""
        query = text("SELECT study_name FROM studies WHERE substr(study_name, 1, :length) = :prefix ORDER BY study_id")
        with self.engine.connect() as connection:
            return list(connection.execute(query, {"length": len(prefix), "prefix": prefix}).scalars())


def open_to_write(place: Database) -> StudyDatabase:
    """Returns the database with its tables, which are made if they are missing.

    Raises:
        StoreUnavailableError: it does not answer, or lets nobody in.
        ValueError: the URL is none, or the database is another program's.
    """
    with _opening(place):
        url = _parsed(place.url)
        with create_engine(url, poolclass=NullPool, **_options(url)).begin() as connection:
            if url.get_backend_name() == "postgresql":  # two first drivers would make the tables at once, and both fail
                connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('w2s_ray studies'))"))
            return _storage(url)


def open_to_read(place: Database) -> StudyDatabase | None:
    """Returns the database, or None if it holds no studies at all; makes nothing. Raises as `open_to_write`."""
    with _opening(place):
        url = _parsed(place.url)
        return _reader(url) if _has_tables(url) else None


@lru_cache(maxsize=4)
def _reader(url: URL) -> StudyDatabase:
    """Many sweeps are listed at once: they share a pool of connections, of which a server has few."""
    return _storage(url, skip_table_creation=True)


@contextmanager
def database_errors(place: Database, doing: str) -> Iterator[None]:
    """Turns what SQLAlchemy and Optuna raise about a database into StoreUnavailableError."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        message = (
            f"the study's database {place} cannot be used ({doing}: {_reason(error)}). See whether it runs and lets "
            "this user in, then resume the sweep: what is finished is kept, what was half-written is not."
        )
        raise StoreUnavailableError(errno.EIO, message) from error


@contextmanager
def _opening(place: Database) -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with database_errors(place, "opening the study"):
        try:
            yield
        except ImportError:
            raise ValueError(f"{place} needs a driver: pip install 'w2s_ray[postgres]'") from None
        except RuntimeError as error:  # Optuna's word for tables of another version, or of MLflow
            reason = str(error).split(". ")[0]
            message = f"{place} holds the tables of another program, or of another Optuna: {reason}. Studies need a "
            raise ValueError(message + "database of their own, and cannot share MLflow's") from None


def _storage(url: URL, **options: Any) -> StudyDatabase:
    return StudyDatabase(url.render_as_string(hide_password=False), engine_kwargs=_options(url), **options)


def _options(url: URL) -> dict[str, Any]:
    # A server that was restarted has closed the pool's connections; each is asked before it is used.
    is_postgres = url.get_backend_name() == "postgresql"
    return {"pool_pre_ping": True, "connect_args": _PATIENCE if is_postgres else {}}


def _parsed(url: str) -> URL:
    """Raises ValueError, without the text of a URL that cannot be read: nobody knows where its password is."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(f"the URL of {ENVIRONMENT} or search.storage cannot be read; {STORAGE_FORM}") from None
    if "@" in (parsed.host or ""):
        raise ValueError("the password in the URL of the study's database holds an @; write it as %40")
    if parsed.drivername in _POSTGRES:
        return parsed.set(drivername="postgresql+psycopg")
    if parsed.drivername != "sqlite" or not (parsed.database or "").startswith("/"):
        raise ValueError(f"{database_without_secrets(url)} can hold no study; {STORAGE_FORM}")
    return parsed


def _has_tables(url: URL) -> bool:
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return False  # to ask would make it
    engine = create_engine(url, poolclass=NullPool, **_options(url))
    return inspect(engine).has_table("studies")


def _reason(error: BaseException) -> str:
    while (cause := getattr(error, "orig", None) or error.__cause__) is not None:
        error = cause
    lines = str(error).splitlines() or [type(error).__name__]
    return database_without_secrets(lines[0])
