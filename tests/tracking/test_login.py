"""A real MLflow server that asks who one is: what the sweep is told, and that the password is told to nobody."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from servers import login_server

from w2s_ray.search.record import COMPLETE
from w2s_ray.tracking import BackgroundTracker

pytestmark = pytest.mark.slow

PASSWORD = "canary-4711-password"
Look = Callable[..., Any]


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The address of a server with MLflow's own basic authentication."""
    with login_server(tmp_path, PASSWORD) as address:
        yield address


def projected(url: str, fake: Any) -> bool:
    """Whether a finished sweep could be shown there."""
    return BackgroundTracker(url, fake.sweep, fake.store, "mine", pause=0).close(fake.record(COMPLETE), timeout=60)


def test_a_server_that_asks_for_a_login_says_so_once_and_is_written_with_one(
    url: str, fake: Any, shown: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with caplog.at_level(logging.DEBUG):
        assert not projected(url, fake)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "wrong")
        assert not projected(url, fake)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        assert projected(url, fake)
    warnings = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING and "w2s" in one.name]
    assert len(warnings) == 2
    assert all("it does not know who asks: set MLFLOW_TRACKING_USERNAME" in warning for warning in warnings)
    assert all("`w2s track small` projects it later" in warning for warning in warnings)
    assert len(shown(f"sqlite:///{tmp_path}/served.db").of("trial")) == 1
    assert PASSWORD not in caplog.text
    for path in [*fake.store.root.rglob("*"), tmp_path / "served.db", tmp_path / "server.log"]:
        assert not path.is_file() or PASSWORD.encode() not in path.read_bytes(), path
