"""Chance that belongs to an example: drawn from its id, so from its content, and a seed.

So which examples are drawn does not depend on their order or on the others, and a larger draw holds a smaller one:
what a tenth of true labels corrects is also corrected by a fifth.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def places(ids: NDArray[np.str_], salt: str) -> NDArray[np.float64]:
    """Returns a place in [0, 1) for each id, shape (n,); `salt` says for what it is drawn, and with which seed."""
    digests = (hashlib.sha256(f"{salt} {name}".encode()).digest() for name in ids.tolist())
    return np.array([(int.from_bytes(one[:8], "big") >> 11) / 2**53 for one in digests], dtype=np.float64)


def ranked(keys: NDArray[np.float64], ids: NDArray[np.str_], salt: str) -> Rows:
    """Returns all rows by rising key, equal ones by their place."""
    return np.lexsort((places(ids, salt), keys)).astype(np.int64)


def parts_of(ids: NDArray[np.str_], parts: int, salt: str) -> Rows:
    """Returns which of `parts` about equal, disjoint parts each id is in, shape (n,), from 0."""
    return np.floor(places(ids, salt) * parts).astype(np.int64)
