"""A small sweep that any test of the search may use; nothing of it is trained."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from databases import Postgres, postgres

from w2s_ray.search.place import Place, find_database
from w2s_ray.spec import Sweep

HEAD = {"lr": 1e-3, "epochs": 3}
SWEEP: dict[str, Any] = {
    "name": "small",
    "task": {"source": "movie-reviews", "splits": {"weak": 40, "student": 40, "validation": 40, "test": 40}},
    "models": {f"minilm-{depth}": {"source": "minilm", "depth": depth, "baseline": HEAD} for depth in (0, 1, 2)},
    "pairings": [
        {"weak": "minilm-0", "strong": "minilm-2", "intermediates": ["minilm-1"]},
        {"weak": "minilm-1", "strong": "minilm-2", "intermediates": ["minilm-0"]},
    ],
    "methods": ["naive", "confidence", "bootstrap"],
    "space": {
        "lr": {"log_uniform": [1e-4, 1e-2]},
        "epochs": {"int": [1, 5]},
        "alpha": {"uniform": [0, 0.9], "when": {"method": "confidence"}},
    },
    "seeds": [0, 1],
    "search": {"trials": 20, "parallelism": 4},
}


@pytest.fixture(scope="session")
def sweep() -> Sweep:
    return Sweep.model_validate(SWEEP)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A Postgres for the whole session; who stops it starts it again."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="session")
def shared_database(server: Postgres) -> str:
    """A database of many stores: their studies do not see each other."""
    return server.new_database()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


@pytest.fixture(params=["journal", "sqlite", "postgres"])
def new_place(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], Place]:
    """A function that returns where the study of a sweep's folder is; the same for the same name."""
    if request.param == "journal":
        return lambda name: tmp_path / name / "study.journal"
    url = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "shared_database")

    def place(name: str) -> Place:
        found = find_database(tmp_path / name, url)
        assert found is not None
        return found

    return place


@pytest.fixture
def place(new_place: Callable[[str], Place]) -> Callable[[], Place]:
    """A function that returns where the one study of a test is, as a driver that begins finds it."""
    return lambda: new_place("small")
