"""How a broker asks a training that it started, wherever that runs, to save a checkpoint and end.

By an answer that it keeps back until then. So the wish reaches its own trainings alone: another driver on the same
store, which makes the same stage or waits for it, has its own; and nothing of it is left in the store.
"""

import time
from typing import Any

import ray

_LOOK_SECONDS = 0.5


class StopRequest:
    """The question of one training.

    Args:
        broker: that started the training.
        address: of the stage.
    """

    def __init__(self, broker: Any, address: str) -> None:
        self._answer = broker.stopping.remote(address)
        self._looked = time.monotonic()

    def __call__(self) -> bool:
        """Says whether the training is to end; looks every half second, since a look costs more than a step."""
        if time.monotonic() - self._looked < _LOOK_SECONDS:
            return False
        self._looked = time.monotonic()
        # An error is an answer as well: the broker is gone, and all that it started with it.
        return bool(ray.wait([self._answer], timeout=0)[0])
