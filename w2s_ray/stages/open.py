"""From what a spec or --store says to the store itself."""

from pathlib import Path

from w2s_ray.bucket_uri import is_uri
from w2s_ray.stages.store import Store


def open_store(place: str | Path) -> Store:
    """Returns the store in a folder, or in a bucket by its URI. Touches neither.

    Raises:
        ValueError: the URI is none of a bucket that can be used.
    """
    if not is_uri(str(place)):
        return Store(place)
    from w2s_ray.stages.object_store import ObjectStore

    return ObjectStore(str(place))


def absolute_place(place: str) -> str:
    """Returns what names a store from anywhere. Raises ValueError as `open_store`."""
    return open_store(place).uri
