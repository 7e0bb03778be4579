"""Ray for as long as a driver needs it: its own on this machine, or the cluster that RAY_ADDRESS names."""

import logging
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.markup import escape

from w2s_ray.machine import OBJECT_STORE
from w2s_ray.search.progress import Progress
from w2s_ray.search.signals import signals_kept
from w2s_ray.search.watch import limited, watched
from w2s_ray.secrets import redacted

_LIMIT_SECONDS = 170.0  # for starting Ray, and for ending it: the last resort, where the watch cannot run


class RayStartError(RuntimeError):
    """Ray, or the cluster that RAY_ADDRESS names, cannot be used."""


@contextmanager
def ray_session(progress: Progress, again: str) -> Iterator[Any]:
    """Starts Ray on this machine, or joins the cluster that RAY_ADDRESS names; leaves it as it was found."""
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

    def on_loss(reason: str) -> None:
        # An orderly end would wait for a Ray that does not come back; its other processes end with this one.
        progress.say(f"[red]{escape(reason)}[/red] Carry on with: {escape(again)}")
        os._exit(1)

    # Said beforehand: where Ray's head dies while it starts, Ray ends this process itself, and nothing can be said.
    progress.say(f"starting Ray; whatever may end this run, {escape(again)} carries on")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray

        address = os.environ.get("RAY_ADDRESS")
        if address and "://" in address:
            raise RayStartError(
                f"RAY_ADDRESS is {redacted(address)}, of a client outside; a driver runs on the cluster itself, by "
                "`w2s submit SPEC --address http://HEAD:8265`, or with RAY_ADDRESS=HEAD:6379 on one of its nodes"
            )
        local = {} if address else {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
        try:
            with watched(on_loss):
                _init(ray, address or "local", local)
                yield ray
        finally:
            with signals_kept(), limited(_LIMIT_SECONDS):
                ray.shutdown()


def _init(ray: Any, address: str, options: dict[str, Any]) -> None:
    try:
        with signals_kept(), limited(_LIMIT_SECONDS):
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except SystemExit as error:  # while it starts, Ray answers SIGTERM itself, with an exit
        signal.raise_signal(signal.SIGTERM)  # to whoever listens for it: the time for leaving begins
        raise KeyboardInterrupt from error
    except Exception as error:  # Ray raises anything here, plain Exception too
        raise RayStartError(f"Ray did not start: {error}") from error
