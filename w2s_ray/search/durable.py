"""The Optuna studies of a sweep as its driver has them: what fails for want of a disk or a server is tried again."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

import optuna
from optuna.pruners import BasePruner

from w2s_ray.search.place import Place
from w2s_ray.search.storage import open_to_write, writing_errors
from w2s_ray.stages.errors import StoreUnavailableError

_log = logging.getLogger("w2s_ray.search")
_PAUSE_SECONDS = 2.0
_Done = TypeVar("_Done")


class DurableStudies:
    """Reads and writes that outlast a full disk and a server that is away; any thread may ask for one.

    Args:
        place: of the study; made if missing.
        pruner: returns that of the Optuna study of a name.
        patience: seconds that a failure may last.
        be_sure: called before each write; raises StoreUnavailableError unless the sweep is surely this driver's.

    Attributes:
        opened: the journal or database.
        studies: those that `load_or_make` was asked for, in that order.

    Raises:
        StoreUnavailableError: the database cannot be used.
        StudyDamagedError, ValueError: what is there cannot be read, or is not the sweep's.
    """

    def __init__(
        self, place: Place, pruner: Callable[[str], BasePruner], patience: float, be_sure: Callable[[], None]
    ) -> None:
        self.opened = open_to_write(place)
        self.studies: list[optuna.Study] = []
        self._place = self.opened.place
        self._pruner, self._patience, self._be_sure = pruner, patience, be_sure
        self._names: list[str] = []
        self._lock, self._broken = threading.Lock(), False

    def load_or_make(self, name: str) -> optuna.Study:
        """Returns an Optuna study, which is made if it is missing."""
        study = self.opened.load_or_make(name, pruner=self._pruner(name))
        self.studies.append(study)
        self._names.append(name)
        return study

    def durably(self, write: Callable[[], _Done]) -> _Done:
        """Returns what `write` returns, once it is on the disk or committed.

        It may be called again after it wrote a part or, where the answer was lost, all of it. Raises as `patiently`.
        """

        def together() -> _Done:
            self._be_sure()
            with self.opened.together():
                return write()

        return self.patiently(together)

    def patiently(self, act: Callable[[], _Done]) -> _Done:
        """Returns what `act` returns. While the disk is full or gone, or the database is, waits and tries again.

        Raises:
            StoreUnavailableError: it lasted longer than the patience.
        """
        deadline = time.monotonic() + self._patience
        while True:
            try:
                with self._lock, writing_errors(self._place):
                    if self._broken:
                        self._reopen()
                    return act()
            except StoreUnavailableError as error:
                self._broken = True
                if time.monotonic() >= deadline:
                    raise
                _log.warning("%s Waiting for it.", error)
                time.sleep(_PAUSE_SECONDS)

    def _reopen(self) -> None:
        """Forgets what a failed write left half done, on the disk and in memory."""
        self.opened = open_to_write(self._place)
        self.studies = [self.opened.load(name, pruner=self._pruner(name)) for name in self._names]
        self._broken = False
