"""Where the projection goes: what the spec says, else what the environment says, else an sqlite file in the store.

Only the sqlite file gets an artifact folder from us; an MLflow server knows where its artifacts are.
"""

import os
from pathlib import Path

from w2s_ray.spec import Sweep
from w2s_ray.stages.store import Store

_FILE = "mlflow.db"
_ARTIFACTS = "mlflow-artifacts"
_ENVIRONMENT = "MLFLOW_TRACKING_URI"


def tracking_uri(sweep: Sweep | None, store: Store) -> str:
    """Returns the MLflow URI of a sweep, or of a store as a whole where `sweep` is None."""
    named = sweep.tracking.uri if sweep is not None else None
    return named or os.environ.get(_ENVIRONMENT) or default_uri(store)


def default_uri(store: Store) -> str:
    """Returns the URI of the sqlite file in the store."""
    return f"sqlite:///{store.root / _FILE}"


def artifact_root(uri: str, store: Store) -> str | None:
    """Returns where a new experiment's artifacts go; None leaves it to the server."""
    return (store.root / _ARTIFACTS).as_uri() if uri == default_uri(store) else None


def sqlite_file(uri: str) -> Path | None:
    """Returns the file behind an sqlite URI; None for any other."""
    name = uri.removeprefix("sqlite:///").split("?")[0]
    return Path(name).resolve() if uri.startswith("sqlite:///") and name not in ("", ":memory:") else None


def is_served(uri: str) -> bool:
    """Whether a running MLflow server is behind the URI."""
    return uri.startswith(("http://", "https://"))
