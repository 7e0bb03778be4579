"""Opens studies wherever they are, a journal or a database, and says what goes wrong there in the same way."""

import errno
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from optuna.storages import BaseStorage, _CachedStorage

from w2s_ray.search.journal import damage_named, mend_journal, open_journal
from w2s_ray.search.naming import load_names
from w2s_ray.search.place import ENVIRONMENT, Database, Place, folder_of, keep_database, load_database
from w2s_ray.stages.errors import StoreUnavailableError, store_errors

if TYPE_CHECKING:  # SQLAlchemy takes a while, and few need it
    from w2s_ray.search.database import StudyDatabase


@dataclass(frozen=True)
class OpenStudies:
    """The Optuna studies of a sweep, open.

    Attributes:
        place: where they are; a database's has its key.
        storage: of Optuna, for what is asked of a trial by its id.
        together: makes what is written within it durable at once, in a database as one transaction.
        names: returns all names, the oldest first, without what a database puts before them.
    """

    place: Place
    storage: BaseStorage
    together: Callable[[], AbstractContextManager[None]]
    names: Callable[[], list[str]]
    _prefix: str = ""

    def load(self, name: str, **options: Any) -> optuna.Study:
        """Returns a study that is there."""
        return optuna.load_study(study_name=self._prefix + name, storage=self.storage, **options)

    def load_or_make(self, name: str, **options: Any) -> optuna.Study:
        """Returns a study, which is made if it is missing."""
        if name in self.names():  # asked first: a name that is taken would end a transaction
            return self.load(name, **options)
        return optuna.create_study(
            study_name=self._prefix + name, storage=self.storage, direction="maximize", **options
        )


def open_to_write(place: Place) -> OpenStudies:
    """Opens a sweep's studies for its driver, mends what a dying one left, and makes what is missing.

    Raises:
        StoreUnavailableError: the database cannot be used, or the study that had begun is gone.
        StudyDamagedError, ValueError: what is there cannot be read, or is not the sweep's.
    """
    folder_of(place).mkdir(parents=True, exist_ok=True)
    if isinstance(place, Path):
        mend_journal(place)
        opened = _journal(place)
        _must_be_among(opened.names(), load_names(place.parent), place)
        return opened
    database = _to_write(place)
    opened = _database(keep_database(place), database)
    _must_be_among(opened.names(), load_names(place.folder), place)
    return opened


def must_hold(place: Place, names: Sequence[str]) -> None:
    """Raises StoreUnavailableError if a study that had begun, whose `names` were kept, is gone."""
    opened = open_to_read(place) if names else None
    _must_be_among(opened.names() if opened else (), names, place)


def open_to_read(place: Place) -> OpenStudies | None:
    """Opens a sweep's studies and writes nothing; None if there are none. Raises as `open_to_write`."""
    if isinstance(place, Path):
        return _journal(place) if place.exists() else None
    opened = _found(place)
    return _database(place, opened) if opened else None


def writing_errors(place: Place) -> AbstractContextManager[None]:
    """Turns what is raised where a study cannot be written, or read while it is, into StoreUnavailableError."""
    if isinstance(place, Path):
        return store_errors(place.parents[2], "writing the study")
    from w2s_ray.search.database import database_errors

    return database_errors(place, "writing the study")


def reading_errors(place: Place) -> AbstractContextManager[None]:
    """Turns what is raised where a study cannot be read into StudyDamagedError or StoreUnavailableError."""
    if isinstance(place, Path):
        return damage_named(place, lambda: len(place.read_bytes().splitlines()))
    if place.key is None:
        return nullcontext()
    from w2s_ray.search.database import database_errors

    return database_errors(place, "reading the study")


def _journal(path: Path) -> OpenStudies:
    storage, file = open_journal(path)
    return OpenStudies(path, storage, file.together, lambda: [study.study_name for study in storage.get_all_studies()])


def _must_be_among(there: Iterable[str], names: Iterable[str], place: Place) -> None:
    """A study is never begun anew where another was: a mount may be away, and all that was found would be forgotten."""
    if not set(names) <= set(there):
        folder = folder_of(place)
        raise StoreUnavailableError(
            errno.ENOENT,
            f"{place} does not hold the study of sweep {folder.name!r} that {folder / 'study.json'} names. See whether "
            "its disk or mount is well, or put it back from a backup, then resume the sweep; to begin it anew, remove "
            "study.json",
        )


def _database(place: Database, opened: "StudyDatabase") -> OpenStudies:
    prefix = f"{place.key}/"

    def names() -> list[str]:
        return [name.removeprefix(prefix) for name in opened.names(prefix)]

    return OpenStudies(place, _CachedStorage(opened), opened.together, names, prefix)


def _to_write(place: Database) -> "StudyDatabase":
    from w2s_ray.search import database

    _found(place)
    return database.open_to_write(place)


def _found(place: Database) -> "StudyDatabase | None":
    """Returns the database of a study that has begun, None before. Raises ValueError if that is another database."""
    from w2s_ray.search import database

    if place.key is None:
        return None
    opened = database.open_to_read(place)
    with database.database_errors(place, "opening the study"):
        if load_names(place.folder) and not (opened and opened.names(f"{place.key}/")):
            raise ValueError(
                f"{place} does not hold the study of sweep {place.folder.name!r}, which began in "
                f"{load_database(place.folder)}; see whether {ENVIRONMENT} is right"
            )
    return opened
