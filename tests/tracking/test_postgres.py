"""Postgres behind a real MLflow server, as a team has it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from databases import postgres
from ports import free_port
from servers import mlflow_server

from w2s_ray.search.record import COMPLETE, FAILED, PRUNED, RUNNING
from w2s_ray.tracking import Projection

pytestmark = pytest.mark.slow

Look = Callable[..., Any]


def test_a_server_on_postgres_shows_what_an_sqlite_file_shows(
    fake: Any, new_uri: Look, shown: Look, tmp_path: Path
) -> None:
    plain, port = new_uri(), free_port()
    unfinished, finished = fake.record(COMPLETE, RUNNING, FAILED), fake.record(COMPLETE, COMPLETE, FAILED, PRUNED)
    with postgres() as server, mlflow_server(server.url(), port, tmp_path):
        for uri in (plain, f"http://127.0.0.1:{port}"):
            Projection(uri, "small", "mine").update(unfinished)
            Projection(uri, "small", "mine").update(finished)
        served = shown(f"http://127.0.0.1:{port}")
        assert len(served.of("trial")) == 4
        assert served.content() == shown(plain).content()
