"""MLflow's UI is light, on loopback, and on a port that is free."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from w2s_ray.search.record import COMPLETE
from w2s_ray.tracking import project, ui, view

VIEW = "workflowType=machine_learning&viewStateShareKey=trials"


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_the_server_is_one_worker_on_loopback_and_its_address_is_not_in_the_list_of_processes() -> None:
    command = ui.ui_command(5001)
    assert command[:4] == [sys.executable, "-m", "mlflow", "server"]
    assert command[4:] == ["--host", "127.0.0.1", "--port", "5001", "--workers", "1"]
    environment = ui.ui_environment("postgresql://me:canary@host/x")
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:canary@host/x"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"


def test_a_named_port_that_is_taken_is_refused_and_an_unnamed_one_passed_over(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=f"port {taken} is taken"):
        ui.choose_port(taken)
    monkeypatch.setattr(ui, "FIRST_PORT", taken)
    assert ui.choose_port(None) > taken


def test_a_server_elsewhere_is_named_and_nothing_started(
    fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:s3cret@mlflow.example")
    assert ui.serve(fake.store) == 0
    assert capsys.readouterr().out == "https://me:***@mlflow.example\n"


def test_waiting_ends_when_the_server_answers_is_dead_or_late() -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        assert ui.wait_until_up(f"http://127.0.0.1:{server.server_port}", 5)
        server.shutdown()
        thread.join()
    assert not ui.wait_until_up("http://127.0.0.1:9", 0.1)
    assert not ui.wait_until_up("http://127.0.0.1:9", 60, lambda: False)


def test_a_server_that_cannot_start_says_why(
    fake: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    said = "no disk for postgresql://me:canary@host/x"
    monkeypatch.setattr(ui, "ui_command", lambda *_, **__: [sys.executable, "-c", f"raise SystemExit({said!r})"])
    assert ui.serve(fake.store) == 1
    assert capsys.readouterr().err.endswith("no disk for postgresql://me:***@host/x\n")


def test_a_server_that_does_not_answer_links_to_nothing() -> None:
    assert view.links("http://127.0.0.1:9") == {}


@pytest.mark.slow
def test_the_ui_comes_up_links_to_each_sweep_and_leaves_nothing_behind(
    fake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    project(fake.record(COMPLETE))
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    imports = "from w2s_ray.stages.store import Store; from w2s_ray.tracking.ui import serve"
    command = [sys.executable, "-c", f"{imports}; serve(Store({str(fake.store.root)!r}))"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True) as one:
        try:
            assert one.stdout is not None
            url = one.stdout.readline().strip()
            assert ui.wait_until_up(url, 5)
            assert view.links(url) == {"small": f"{url}/#/experiments/1/runs?{VIEW}"}
            assert one.stdout.readline() == f"small: {url}/#/experiments/1/runs?{VIEW}\n"
        finally:
            one.send_signal(signal.SIGTERM)
            one.wait(30)
    assert not ui.wait_until_up(url, 1)
    ui.choose_port(int(url.rsplit(":", 1)[1]))
