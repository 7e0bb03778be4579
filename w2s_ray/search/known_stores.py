"""Where sweeps were run on this machine, so that `w2s resume NAME` works from any directory.

A convenience beside the cache, not a memory: it may be lost at any time, and a store that was moved is forgotten. The
store given by --store, or the one in the current directory, always comes first.
"""

import json
import os
from pathlib import Path

from filelock import FileLock

from w2s_ray.assets import cache_folder
from w2s_ray.search.several import names_in
from w2s_ray.stages.store import Store

_MOST = 100


def remember(store: Store) -> None:
    """Notes a store as the last one used."""
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        others = [root for root in _known() if root != store.root and root.is_dir()]
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps([str(root) for root in (store.root, *others)][:_MOST]), encoding="utf-8")
        draft.replace(path)


def stores_with(name: str, but: Store) -> list[Store]:
    """Returns the known stores besides `but` that hold `name`, a sweep's or a file's, the last used first."""
    stores = [Store(root) for root in _known()]
    return [store for store in stores if store.root != but.root and name in names_in(store)]


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
        listed = " or ".join(f"{option}{other.root}" for other in others)
        raise ValueError(f"no sweep {name!r} in {here.root}, but in several other stores; add {listed}")
    return others[0] if others else here


def _known() -> list[Path]:
    try:
        return [Path(root) for root in json.loads(_path().read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        return []  # never written, or not by us


def _path() -> Path:
    return cache_folder() / "stores.json"


def resume_command(name: str, store: Store) -> str:
    """Returns the command that carries on with a sweep, or a file of sweeps, from any directory."""
    return f"w2s resume {name} --store {store.root}"
