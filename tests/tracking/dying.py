"""Projections in processes of their own, which die by SIGKILL just before a chosen call of their artifacts' client."""

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

from w2s_ray.tracking import Projection


class Deadly:
    """An MlflowClient at whose n-th call that writes, counted from 0, the process is killed; None kills it at none."""

    def __init__(self, client: Any, calls: int | None) -> None:
        self._client, self._left = client, calls

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            self._left = None if self._left is None else self._left - 1
            return method(*args, **kwargs)

        return call


def project_in_a_process(uri: str, artifacts: str, record: Any, report: Path, calls: int | None = None) -> int:
    """Projects record and report, or dies before the n-th call that uploads or marks a file; returns the exit code."""
    context = multiprocessing.get_context("forkserver")  # no copy of this process, which has threads
    context.set_forkserver_preload(["mlflow.store.tracking.sqlalchemy_store", "w2s_ray.tracking.projection"])  # seconds
    process = context.Process(target=_project, args=(uri, artifacts, record, report, calls))
    process.start()
    process.join(120)
    assert process.exitcode is not None
    return process.exitcode


def _project(uri: str, artifacts: str, record: Any, report: Path, calls: int | None) -> None:
    projection = Projection(uri, record.sweep.name, record.history, artifacts)
    projection.update(record)
    projection._client = Deadly(projection._client, calls)
    projection.log_artifacts(record, report)
