"""A real MLflow server that is killed in the middle of a projection and comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ports import free_port
from servers import mlflow_server

from w2s_ray.search.record import COMPLETE, FAILED, PRUNED
from w2s_ray.tracking import Projection

Look = Callable[..., Any]
GONE = r"Connection refused|Max retries|Connection aborted|timed out"


class KilledAt:
    """A client whose server is killed at its n-th call."""

    def __init__(self, client: Any, calls: int, kill: Callable[[], None]) -> None:
        self._client, self._left, self._kill = client, calls, kill

    def __getattr__(self, name: str) -> Any:
        self._left -= 1
        if self._left == 0:
            self._kill()
        return getattr(self._client, name)


def files(folder: Path) -> dict[str, bytes]:
    """Returns path within its run's artifacts to content; a path that is there twice is an error."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    named = {path.as_posix().rsplit("/artifacts/", 1)[1]: path.read_bytes() for path in found}
    assert len(named) == len(found)
    return named


@pytest.mark.slow
def test_a_server_killed_while_it_is_written_to_and_while_it_is_sent_files_ends_up_whole(
    fake: Any, new_uri: Look, shown: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    record = fake.record(COMPLETE, COMPLETE, FAILED, PRUNED)
    backend, whole, port = new_uri(), new_uri(), free_port()
    report = tmp_path / "report"
    report.mkdir()
    (report / "report.md").write_text("# Report", encoding="utf-8")
    alone = Projection(whole, "small", "mine", (tmp_path / "alone" / "artifacts").as_uri())
    alone.update(record)
    alone.log_artifacts(record, report)
    projection = Projection(f"http://127.0.0.1:{port}", "small", "mine")
    with mlflow_server(backend, port, tmp_path) as kill:
        projection.open()
        assert projection._runs is not None
        projection._runs._client = KilledAt(projection._runs._client, 20, kill)
        with pytest.raises(Exception, match=GONE):
            projection.update(record)
    assert 0 < len(shown(backend).runs) < len(shown(whole).runs)
    for calls, arrived in ((2, 1), (4, 2)):  # before the spec's mark; before the second of two tables
        with mlflow_server(backend, port, tmp_path) as kill:
            projection.update(record)
            projection._client = KilledAt(projection._client, calls, kill)
            with pytest.raises(Exception, match=GONE):
                projection.log_artifacts(record, report)
        assert len(files(tmp_path / "artifacts")) == arrived
    with mlflow_server(backend, port, tmp_path):
        for _ in range(2):
            projection.update(record)
            projection.log_artifacts(record, report)
            assert shown(backend).content() == shown(whole).content()
    assert files(tmp_path / "artifacts") == files(tmp_path / "alone")
