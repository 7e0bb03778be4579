"""What a sweep may not ask for if its store is in a bucket."""

from collections.abc import Iterator
from pathlib import Path

from w2s_ray.search.folder import study_place
from w2s_ray.search.place import ENVIRONMENT
from w2s_ray.spec import Problem, SpecError, Sweep
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.store import Store


def must_suit(store: Store, sweep: Sweep) -> None:
    """Raises SpecError if a sweep cannot be run on a store in a bucket; any can on a folder."""
    problems = list(_problems(store, sweep)) if isinstance(store, ObjectStore) else []
    if problems:
        raise SpecError(problems)


def _problems(store: Store, sweep: Sweep) -> Iterator[Problem]:
    if isinstance(study_place(store, sweep.name, sweep.search.storage), Path):
        yield Problem(
            ("search", "storage"),
            f"the study of a sweep in {store.uri} has to be in a database, since a bucket holds no journal",
            f"name one here, or with its password in {ENVIRONMENT}, such as postgresql+psycopg://w2s@host/studies",
        )
