"""Real MLflow servers and a real Postgres, on loopback or a socket file, for the tests beside it; none outlives one."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from w2s_ray.tracking.ui import choose_port, ui_command, ui_environment, wait_until_up


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
            [*ui_command(uri, port, artifacts=str(folder / "artifacts")), *options],
            env={**ui_environment(), **(environment or {})},
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
    port = choose_port(None)
    secrets = {"MLFLOW_AUTH_CONFIG_PATH": str(settings), "MLFLOW_FLASK_SERVER_SECRET_KEY": "only here"}
    backend = f"sqlite:///{folder}/served.db"
    with mlflow_server(backend, port, folder, "--app-name", "basic-auth", environment=secrets):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def postgres() -> Iterator[str]:
    """Runs a Postgres that listens on a socket file alone; gives the URI of an empty database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs or not shutil.which("runuser"):
        pytest.skip("Debian's postgresql is not installed")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # its path has room in a socket's name, and Postgres' user may enter it
    shutil.chown(folder, "postgres", "postgres")

    def run(program: str, *arguments: str) -> None:  # root it refuses
        command = ["runuser", "-u", "postgres", "--", str(programs[-1].with_name(program)), *arguments]
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120)

    data = str(folder / "data")
    try:
        run("initdb", "-D", data, "--auth", "trust", "--no-sync")
        run("pg_ctl", "start", "-w", "-D", data, "-l", f"{folder}/log", "-o", f"-k {folder} -c listen_addresses=''")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run("pg_ctl", "stop", "-D", data, "-m", "immediate")
    finally:
        shutil.rmtree(folder)
