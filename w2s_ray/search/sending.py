"""While a driver works on a sweep whose store is in a bucket, what it writes into the sweep's folder is sent there."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from w2s_ray.stages.errors import StoreUnavailableError
from w2s_ray.stages.object_store import ObjectStore
from w2s_ray.stages.store import Store

_PAUSE = 10.0  # seconds: the most of what stages took that dies with the driver's machine
_log = logging.getLogger("w2s_ray.search")


@contextmanager
def sent(store: Store, name: str, be_sure: Callable[[], None]) -> Iterator[None]:
    """Sends what changes during the block, and the rest at its end; does nothing for a store in a folder.

    Args:
        store: where the sweep lives.
        name: of the sweep.
        be_sure: raises StoreUnavailableError unless the sweep is surely this driver's; then nothing is sent.

    Raises:
        StoreUnavailableError: the rest cannot be sent, and the block ended well.
    """
    if not isinstance(store, ObjectStore):
        yield
        return
    ended = threading.Event()
    sending = threading.Thread(target=_send, args=(store, name, be_sure, ended), daemon=True)
    sending.start()
    try:
        yield
    except BaseException:
        _stop(sending, ended)
        _try_to_send(store, name, be_sure)
        raise
    _stop(sending, ended)
    be_sure()
    store.send_sweep(name)


def _stop(sending: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    sending.join()


def _send(store: Store, name: str, be_sure: Callable[[], None], ended: threading.Event) -> None:
    while not ended.wait(_PAUSE):
        _try_to_send(store, name, be_sure)


def _try_to_send(store: Store, name: str, be_sure: Callable[[], None]) -> None:
    try:
        be_sure()
        store.send_sweep(name)
    except (StoreUnavailableError, FileNotFoundError) as error:  # of the latter, a file was removed meanwhile
        _log.warning("what sweep %s wrote was not sent: %s", name, error)
