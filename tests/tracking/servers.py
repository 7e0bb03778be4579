"""Real MLflow servers on loopback, for the tests beside it; none outlives one."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from ports import free_port

from w2s_ray.tracking.ui import ui_command, ui_environment, wait_until_up


@contextmanager
def mlflow_server(
    uri: str,
    port: int,
    folder: Path,
    *options: str,
    environment: Mapping[str, str] | None = None,
    scheme: str = "http",
) -> Iterator[Callable[[], None]]:
    """Runs a server whose artifacts and log lie in `folder`; gives what kills it as a machine's end would."""
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(
            [*ui_command(port, artifacts=str(folder / "artifacts")), *options],
            env={**ui_environment(uri), **(environment or {})},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def kill() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(20)

    try:
        assert wait_until_up(f"{scheme}://127.0.0.1:{port}", 180, lambda: process.poll() is None)
        yield kill
    finally:
        kill()


@contextmanager
def login_server(folder: Path, password: str) -> Iterator[str]:
    """Runs a server with MLflow's own basic authentication, whose user is `admin`; gives its address."""
    settings = folder / "auth.ini"
    settings.write_text(
        "[mlflow]\ndefault_permission = READ\n"
        f"database_uri = sqlite:///{folder}/auth.db\nadmin_username = admin\nadmin_password = {password}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n",
        encoding="utf-8",
    )
    port = free_port()
    secrets = {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "only here"}
    backend = f"sqlite:///{folder}/served.db"
    with mlflow_server(backend, port, folder, "--app-name", "basic-auth", environment=secrets):
        yield f"http://127.0.0.1:{port}"
