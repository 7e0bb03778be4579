"""This machine: what a sweep takes of it where it starts Ray itself, and which processes it has."""

import hashlib
import os
import socket
from functools import cache
from pathlib import Path

OBJECT_STORE = 100 * 2**20
"""Bytes of Ray's object store: stages pass addresses, not arrays, so it stays all but empty."""


def usable_cpus() -> int:
    """Returns how many CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def resources_here() -> dict[str, float]:
    """Returns what a Ray that is started on this machine would count, by Ray's names; memory as much as is free now."""
    from ray._private.resource_and_label_spec import ResourceAndLabelSpec

    found = ResourceAndLabelSpec(object_store_memory=OBJECT_STORE).resolve(is_head=True, node_ip_address="127.0.0.1")
    return {**found.to_resource_dict(), "CPU": float(usable_cpus())}


@cache
def system_id() -> str:
    """Returns what a process number means something within: this boot of this machine, and this container of it.

    Containers, and machines made of one image, may share a host name. Where there is no /proc it is all there is.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        known = f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        known = socket.gethostname()
    return hashlib.sha256(known.encode()).hexdigest()[:16]


def is_alive(pid: int) -> bool:
    """Whether there is a process of that number in this system."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
