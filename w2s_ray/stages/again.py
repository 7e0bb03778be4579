"""Reading what may be found missing or damaged in the store, and making it again. Brings no Ray."""

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from w2s_ray.stages.errors import MissingStageError

AGAIN = 3
"""A stage that is found damaged more often than this has a broken disk under it."""

_Read = TypeVar("_Read")


def read_or_make(read: Callable[[], _Read], make: Callable[[], object], again: int = AGAIN) -> _Read:
    """Returns what `read` returns; while it finds stages missing or damaged, calls `make`, a few times each at most.

    Args:
        read: reads stages from the store, and changes nothing.
        make: makes all of them that are not there, and waits.
        again: how often one and the same stage may be made.
    """
    found = Counter[str]()
    while True:
        try:
            return read()
        except MissingStageError as error:
            found[error.address] += 1
            if found[error.address] > again:
                raise
            make()
