"""A real Postgres from Debian's packages on a socket file, for tests of several rooms; none outlives its test."""

import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


class Postgres:
    """A server of our own, which may be stopped and started again. Its databases are made from the name alone."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs, self._folder = programs, folder
        self._run("initdb", "-D", str(folder / "data"), "--auth", "trust", "--no-sync")
        self.start()

    def start(self) -> None:
        options = f"-k {self._folder} -c listen_addresses='' -c fsync=off"
        self._run("pg_ctl", "start", "-w", "-D", f"{self._folder}/data", "-l", f"{self._folder}/log", "-o", options)

    def stop(self) -> None:
        """Ends it as a machine's end would."""
        self._run("pg_ctl", "stop", "-D", f"{self._folder}/data", "-m", "immediate")

    def new_database(self) -> str:
        """Makes a database; returns its URL."""
        name = f"db_{uuid.uuid4().hex[:8]}"
        self._run("createdb", "-h", str(self._folder), name)
        return self.url(name)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://postgres@/{database}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:  # root it refuses
        command = ["runuser", "-u", "postgres", "--", str(self._programs / program), *arguments]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, timeout=120)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Runs a server; skips the test where it is not installed."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not programs or not shutil.which("runuser"):
        pytest.skip("Debian's postgresql is not installed")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # its path has room in a socket's name, and Postgres' user may enter it
    shutil.chown(folder, "postgres", "postgres")
    try:
        server = Postgres(programs[-1].parent, folder)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
