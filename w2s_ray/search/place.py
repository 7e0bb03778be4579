"""Where a sweep's study is: in the journal of its folder, or in a database.

A study stays where it began. One in a database has `database.json` in the sweep's folder: the key that begins the names
of its Optuna studies there, so that sweeps of one name of two stores do not see each other, and the database's URL
without secrets, so that it is found again where nothing else names it.
"""

import json
import os
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path

from w2s_ray.files import from_json, write_whole
from w2s_ray.secrets import database_without_password, database_without_secrets

ENVIRONMENT = "W2S_STUDY_URL"
"""Variable that holds the URL of the database for studies, with credentials if need be; it wins over every spec."""

_FILE = "database.json"
_KEY_DIGITS = 16


@dataclass(frozen=True)
class Database:
    """A study that is in a database, or will be.

    Attributes:
        folder: of the sweep.
        url: of SQLAlchemy; it may hold credentials, so people see `str` of this.
        key: begins the names of the sweep's Optuna studies; None as long as there are none.
    """

    folder: Path
    url: str = field(repr=False)
    key: str | None = None

    def __str__(self) -> str:
        return database_without_secrets(self.url)


Place = Path | Database
"""The path of a journal, or a database."""


def folder_of(place: Place) -> Path:
    """Returns the folder of the sweep whose study is there."""
    return place.parent if isinstance(place, Path) else place.folder


def study_url(storage: str | None) -> str | None:
    """Returns the URL of the database for a new study: the environment's, else that of a spec, else None."""
    return os.environ.get(ENVIRONMENT) or storage


def find_database(folder: Path, storage: str | None) -> Database | None:
    """Returns the database that a sweep's study is in, or would be; None if it is, or would be, a journal.

    Args:
        folder: of the sweep.
        storage: what its spec says.

    Raises:
        ValueError: `database.json` was altered.
    """
    kept = load_database(folder)
    url = study_url(storage) or (kept.url if kept else None)
    return None if url is None else Database(folder, url, kept.key if kept else None)


def keep_database(place: Database) -> Database:
    """Keeps what finds the study again, with a new key unless it has one; returns the place with its key."""
    kept = replace(place, key=place.key or uuid.uuid4().hex[:_KEY_DIGITS])
    content = json.dumps({"key": kept.key, "url": database_without_password(kept.url)})
    path = place.folder / _FILE
    if not path.is_file() or path.read_text(encoding="utf-8") != content:
        write_whole(path, content.encode())
    return kept


def load_database(folder: Path) -> Database | None:
    """Returns what `keep_database` kept; None if nothing was. Raises ValueError if it was altered."""
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        kept = from_json(path.read_bytes())
        key, url = kept["key"], kept["url"]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(_altered(path, str(error))) from None
    if not (isinstance(key, str) and isinstance(url, str) and key):
        raise ValueError(_altered(path, "no key and URL"))
    return Database(folder, url, key)


def _altered(path: Path, why: str) -> str:
    return (
        f"{path} is damaged ({why}); put it back from a backup: it holds the key of the sweep's study in its database"
    )
