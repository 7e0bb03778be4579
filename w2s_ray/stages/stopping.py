"""How a broker asks a training that it started, wherever that runs, to save a checkpoint and end.

By an answer that it keeps back until then. So the wish reaches its own trainings alone: another driver on the same
store, which makes the same stage or waits for it, has its own; and nothing of it is left in the store.
"""

from collections.abc import Callable
from typing import Any


def stop_request(broker: Any, address: str) -> Callable[[], bool]:
    """Returns what says whether a training is to end. An error is an answer as well: then the broker is gone.

    A future, since even a moment's `ray.wait` lends the training's CPU to whoever waits for one.

    Args:
        broker: that started the training.
        address: of the stage.
    """
    done: Callable[[], bool] = broker.stopping.remote(address).future().done
    return done
