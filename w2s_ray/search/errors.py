"""How a sweep ends that could not be carried through."""


class SweepFailedError(RuntimeError):
    """The sweep was stopped: its trials failed one after another, or the store is full or gone."""
