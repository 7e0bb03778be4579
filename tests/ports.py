"""Ports for the servers that tests start, some of which take seconds to be up: nobody else takes one meanwhile.

They lie between those that `ray start` gives its workers and those that the kernel gives whoever asks for any, and each
of the processes among which pytest-xdist divides the tests has its own.
"""

import os
import random
import socket
from itertools import cycle

_FIRST, _EACH, _PROCESSES = 20_000, 1_000, 12


def _mine() -> list[int]:
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _PROCESSES
    first = _FIRST + process * _EACH
    return random.Random(os.getpid()).sample(range(first, first + _EACH), _EACH)  # two runs may share the machine


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


_turns = filter(_is_free, cycle(_mine()))


def free_port() -> int:
    """Returns a port on loopback that it has not given before."""
    return next(_turns)
