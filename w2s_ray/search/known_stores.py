"""Where sweeps were run on this machine, so that `w2s resume NAME` works from any directory.

A convenience beside the cache, not a memory: it may be lost at any time, and a store that was moved is forgotten. The
store given by --store, or the one in the current directory, always comes first.
"""

import json
from contextlib import suppress
from pathlib import Path

from filelock import FileLock

from w2s_ray.assets import cache_folder
from w2s_ray.bucket_uri import is_uri
from w2s_ray.files import from_json, write_whole
from w2s_ray.search.several import names_in
from w2s_ray.stages.open import open_store
from w2s_ray.stages.store import Store

_MOST = 100


def remember(store: Store) -> None:
    """Notes a store as the last one used, unless the cache's disk is full or closed: no sweep ends for that."""
    path = _path()
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            _note(path, store)


def _note(path: Path, store: Store) -> None:
    others = [uri for uri in _known() if uri != store.uri and (is_uri(uri) or Path(uri).is_dir())]
    write_whole(path, json.dumps([store.uri, *others][:_MOST]).encode())


def stores_with(name: str, but: Store) -> list[Store]:
    """Returns the known stores besides `but` that hold `name`, a sweep's or a file's, the last used first."""
    stores = [open_store(uri) for uri in _known()]
    return [store for store in stores if store.uri != but.uri and _has(store, name)]


def store_with(name: str, here: Store, option: str = "--store ") -> Store:
    """Returns the store that `name` is looked up in: `here` if it is there or nowhere, else the only one that has it.

    Args:
        name: of a sweep or a file.
        here: the first to look into.
        option: how the one who asks names a store.

    Raises:
        ValueError: several have it, and `here` has not.
    """
    others = [] if name in names_in(here) else stores_with(name, but=here)
    if len(others) > 1:
        listed = " or ".join(f"{option}{other.uri}" for other in others)
        raise ValueError(f"no sweep {name!r} in {here.uri}, but in several other stores; add {listed}")
    return others[0] if others else here


def _has(store: Store, name: str) -> bool:
    """Of a bucket the copy is asked: its server may be far, or of another day and other credentials."""
    return store.sweep_folder(name).is_dir() if is_uri(store.uri) else name in names_in(store)


def _known() -> list[str]:
    try:
        return [uri for uri in from_json(_path().read_bytes()) if isinstance(uri, str)]
    except (OSError, ValueError, TypeError):
        return []  # never written, or not by us


def _path() -> Path:
    return cache_folder() / "stores.json"
