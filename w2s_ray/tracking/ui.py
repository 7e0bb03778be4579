"""MLflow's UI on this machine: a light server on loopback that lives as long as the command that started it."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urlsplit

from w2s_ray.secrets import redacted, without_secrets
from w2s_ray.stages.store import Store
from w2s_ray.tracking.location import artifact_root, is_served, tracking_uri
from w2s_ray.tracking.view import links

HOST, FIRST_PORT = "127.0.0.1", 5000
_TRIES = 100
_START_SECONDS = 180  # seen: 18 s with one worker on two busy cores, 10 s more to make an sqlite file's tables


def ui_command(port: int, host: str = HOST, artifacts: str | None = None) -> list[str]:
    """Returns the command line of an MLflow server with one worker, for all on this machine to see."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", host, "--port", str(port), "--workers", "1"]
    return [*command, "--artifacts-destination", artifacts] if artifacts else command


def ui_environment(uri: str) -> dict[str, str]:
    """Returns the environment with the server's URI, which may hold a database's password.

    And with what keeps the server light: 2 processes and 427 MB, not 10 and 1.5 GB.
    """
    light = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return {**os.environ, **light, "MLFLOW_BACKEND_STORE_URI": uri}


def choose_port(port: int | None, host: str = HOST) -> int:
    """Returns `port`, or the first free one from 5000 if None. Raises ValueError if the named one is taken."""
    if port is not None:
        if not _is_free(port, host):
            raise ValueError(f"port {port} is taken; name another with --port, or leave it out")
        return port
    for candidate in range(FIRST_PORT, FIRST_PORT + _TRIES):
        if _is_free(candidate, host):
            return candidate
    raise ValueError(f"no port from {FIRST_PORT} to {FIRST_PORT + _TRIES - 1} is free; name one with --port")


def wait_until_up(url: str, timeout: float, is_alive: Callable[[], bool] = lambda: True) -> bool:
    """Returns whether the server at `url` answers within `timeout` seconds; stops waiting once it is not alive."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and is_alive():
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2) as answer:
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    return False


def serve(store: Store, port: int | None = None) -> int:
    """Shows the sweeps of a store until interrupted; returns the exit code. With a server elsewhere, names its URL.

    Raises:
        ValueError: the named port is taken.
    """
    uri = tracking_uri(None, store)
    if is_served(uri):
        print(without_secrets(uri))
        return 0
    chosen = choose_port(port)
    store.root.mkdir(parents=True, exist_ok=True)
    root = artifact_root(uri, store)
    artifacts = str(Path(unquote(urlsplit(root).path))) if root else None
    print("starting MLflow's UI, which takes some seconds", file=sys.stderr)
    with tempfile.TemporaryFile() as log:
        # A session of its own, so that stopping it takes its worker along.
        server = subprocess.Popen(
            ui_command(chosen, artifacts=artifacts),
            env=ui_environment(uri),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        with _stopped_at_the_end(server):
            return _watch(server, f"http://{HOST}:{chosen}", log)


def _watch(server: subprocess.Popen[bytes], url: str, log: IO[bytes]) -> int:
    """Says where the server is and waits for its end; 0 if the user ended it."""
    try:
        if wait_until_up(url, _START_SECONDS, lambda: server.poll() is None):
            print(url, flush=True)
            for name, address in links(url).items():
                print(f"{name}: {address}", flush=True)
            print("Ctrl-C closes it", file=sys.stderr)
            server.wait()
    except KeyboardInterrupt:
        return 0
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()[-20:]
    told = "\n".join(["MLflow's UI ended by itself or did not answer:", *lines])
    print(redacted(told), file=sys.stderr)
    return 1


@contextmanager
def _stopped_at_the_end(server: subprocess.Popen[bytes]) -> Iterator[None]:
    """Stops the server and its worker however this process is asked to end."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(server.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                server.wait(5)


def _is_free(port: int, host: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
