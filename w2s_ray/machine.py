"""What a sweep takes of the machine on which it starts Ray itself."""

import os

OBJECT_STORE = 100 * 2**20
"""Bytes of Ray's object store: stages pass addresses, not arrays, so it stays all but empty."""


def usable_cpus() -> int:
    """Returns how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
