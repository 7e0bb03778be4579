"""MLflow's client, opened quietly and, for an sqlite file on a local disk, with cheap commits.

Importing mlflow takes 2 to 7 s and making an sqlite file's tables 2 to 10 s more, so both happen here, in a function.
"""

import logging
import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from w2s_ray.tracking.location import sqlite_file

_ENVIRONMENT = {
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # A server that is away is tried again at the next update; by default one call would hang for minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
_LEVELS = {
    "mlflow": logging.WARNING,
    "alembic": logging.WARNING,
    # What these two log, with stack traces, is also raised, and whoever asked for the projection says it once.
    "mlflow.store.db.utils": logging.CRITICAL,
    "urllib3.connectionpool": logging.ERROR,
}
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "lustre", "gpfs", "beegfs", "ceph", "9p", "afs", "fuse.", "glusterfs")


def connect(uri: str) -> Any:
    """Returns an MlflowClient for `uri`; a missing sqlite file is made.

    Raises:
        OSError, sqlite3.Error: the sqlite file cannot be made, or is none.
        Exception: what mlflow raises.
    """
    file = sqlite_file(uri)
    if file is not None:
        _check(file)
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow.tracking import MlflowClient

    for name, level in _LEVELS.items():
        logging.getLogger(name).setLevel(level)
    if file is not None and not _is_on_network(file):
        _commit_cheaply(file)
    return MlflowClient(tracking_uri=uri)


def _check(file: Path) -> None:
    """Opens the file once, since mlflow tries for 100 s to open one that it cannot open."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA schema_version")


_cheap: set[Path] = set()


def _commit_cheaply(file: Path) -> None:
    """Makes this process's connections to `file` write ahead without waiting for the disk at each commit.

    A run takes seven commits; measured per run on a busy machine 135 ms without this, 28 ms with it. What a power cut
    can lose are the last commits, which the next projection writes again; the file stays whole.
    """
    if file in _cheap:
        return
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    def on_connect(connection: Any, _: Any) -> None:
        # Any engine of the process comes by here, Optuna's too.
        if not type(connection).__module__.startswith("sqlite3"):
            return
        path = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
        if path and Path(path) == file:
            # Locked: a UI has the file open in its old mode, and the change can wait for another connection.
            with suppress(sqlite3.OperationalError):
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("PRAGMA synchronous=NORMAL")

    event.listen(Engine, "connect", on_connect)
    _cheap.add(file)


def _is_on_network(file: Path) -> bool:
    """Whether `file` lies on a network mount, where sqlite cannot write ahead."""
    try:
        lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    mounts = [(fields[1], fields[2]) for fields in (line.split() for line in lines) if len(fields) > 2]
    kinds = [(len(place), kind) for place, kind in mounts if file.is_relative_to(place)]
    return bool(kinds) and max(kinds)[1].startswith(_NETWORK_FILE_SYSTEMS)
