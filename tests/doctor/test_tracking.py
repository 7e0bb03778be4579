"""MLflow and the study, as only the driver meets them."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from ports import free_port
from tracking.servers import login_server

from w2s_ray.doctor.request import Request
from w2s_ray.doctor.tracking import mlflow, study
from w2s_ray.search.folder import journal_path
from w2s_ray.search.lease import lease
from w2s_ray.search.naming import save_names
from w2s_ray.spec import Sweep
from w2s_ray.stages.store import Store


@pytest.fixture
def request_(small: Sweep) -> Request:
    return Request((small,), small.store)


def test_a_server_that_does_not_run_is_a_problem_without_its_password(
    request_: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:canary@127.0.0.1:{free_port()}")
    (found,) = mlflow(request_)
    assert found.state == "problem"
    assert "see whether it runs and whether MLFLOW_TRACKING_URI" in found.mend
    assert "canary" not in found.says


def test_a_database_that_does_not_run_is_a_problem(request_: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"postgresql://me:canary@127.0.0.1:{free_port()}/mlflow")
    (found,) = mlflow(request_)
    assert found.state == "problem"
    assert "canary" not in found.says


def test_a_file_that_is_written_by_another_process_is_a_warning(request_: Request) -> None:
    root = Path(str(request_.store))
    root.mkdir()
    assert "will be made" in mlflow(request_)[0].says
    with closing(sqlite3.connect(root / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert mlflow(request_)[0].state == "warning"
    assert mlflow(request_)[0].state == "ok"
    (root / "mlflow.db").write_bytes(b"no database at all" * 100)
    assert mlflow(request_)[0].state == "problem"


def test_a_damaged_study_is_a_problem_with_its_line(request_: Request, small: Sweep) -> None:
    path = journal_path(Store(small.store), small.name)
    path.parent.mkdir(parents=True)
    path.write_text("no journal\n")
    save_names(path.parent, ("any",), b"")
    (found,) = study(request_)
    assert found.state == "problem"
    assert "study.journal:1" in found.says


def test_a_sweep_that_is_being_run_is_a_warning_that_names_its_driver(request_: Request, small: Sweep) -> None:
    journal_path(Store(small.store), small.name).parent.mkdir(parents=True)
    journal_path(Store(small.store), small.name).touch()
    assert study(request_)[0].state == "ok"
    with lease(Store(small.store), small.name):
        (found,) = study(request_)
    assert found.state == "warning"
    assert "is being run by process" in found.says


@pytest.mark.slow
def test_a_wrong_password_is_a_problem_and_the_right_one_is_not(
    request_: Request, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "admin")
    with login_server(tmp_path, "canary-4711-password") as url:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-wrong")
        (refused,) = mlflow(request_)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "canary-4711-password")
        (let_in,) = mlflow(request_)
    assert refused.state == "problem"
    assert "it does not know who asks: set MLFLOW_TRACKING_USERNAME" in refused.mend
    assert let_in.state == "ok"
    assert "canary" not in f"{refused} {let_in}"
