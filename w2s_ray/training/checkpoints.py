"""A training that was interrupted goes on from where it was last saved, and ends in the same weights, bit for bit.

One safetensors file is one checkpoint: weights, optimizer moments, what else is remembered between steps, and in its
header, as JSON, step, curve and what the next row of the curve has gathered so far. Nothing else is state: all that is
drawn follows from seed and step. Nothing is pickled.

A file is written beside, flushed and renamed, and only then are others deleted; so there is a whole one at every
moment after the first. A checksum over tensors and numbers finds what a disk did later.
"""

import json
import os
import time
import warnings
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

Row = dict[str, float | int]


@dataclass(frozen=True)
class Snapshot:
    """All that a training is after `step` optimizer steps.

    Attributes:
        weights: the network's state dict.
        moments: the optimizer's tensors, named `index.key`.
        curve: the rows reported so far.
        losses: sum and number of the losses since the last of them.
        memory: whatever else the training remembers from step to step.
    """

    step: int
    weights: dict[str, Tensor]
    moments: dict[str, Tensor]
    curve: list[Row]
    losses: tuple[float, int]
    memory: dict[str, Tensor] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one training, in a folder of its own.

    Args:
        folder: made when the first one is saved.
        seconds: between two checkpoints, and before the first, so that a short training saves none.
        clock: seconds that only rise.
    """

    def __init__(self, folder: Path, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.folder = folder
        self._seconds = seconds
        self._clock = clock
        self._last = clock()

    def due(self) -> bool:
        """Says whether it is time to save."""
        return self._clock() - self._last >= self._seconds

    def save(self, snapshot: Snapshot) -> Path:
        """Writes `snapshot`, then deletes all others. Returns its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"step-{snapshot.step:09d}.safetensors"
        beside = path.with_suffix(".tmp")
        _write(beside, snapshot)
        os.replace(beside, path)
        _flush(self.folder)
        for other in self.folder.iterdir():
            if other != path and other.suffix in (".safetensors", ".tmp"):
                other.unlink(missing_ok=True)
        self._last = self._clock()
        return path

    def resume(self) -> Snapshot | None:
        """Returns the last whole checkpoint, None if there is none; a damaged one is passed over with a warning."""
        for path in sorted(self.folder.glob("step-*.safetensors"), reverse=True):
            try:
                return _read(path)
            except (SafetensorError, ValueError, KeyError, TypeError, OSError, RecursionError) as error:
                warnings.warn(f"{path} is damaged and is not used: {error}", RuntimeWarning, stacklevel=2)
        return None


def step_of(path: Path) -> int:
    """Returns the step of the checkpoint in a file, without reading its tensors.

    Raises:
        SafetensorError, ValueError, KeyError, TypeError, OSError, RecursionError: it is none.
    """
    with safe_open(path, framework="pt") as file:
        return int(json.loads((file.metadata() or {})["state"])["step"])


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Returns an optimizer's state as named tensors; hyper-parameters are left out, they follow from the spec."""
    state: dict[int, dict[str, Tensor]] = optimizer.state_dict()["state"]
    return {f"{index}.{key}": tensor for index, entry in state.items() for key, tensor in entry.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts what `optimizer_tensors` returned back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _write(path: Path, snapshot: Snapshot) -> None:
    named = {"weights": snapshot.weights, "moments": snapshot.moments, "memory": snapshot.memory}
    tensors = {f"{k}/{n}": t.detach().cpu().contiguous() for k, group in named.items() for n, t in group.items()}
    numbers = {"step": snapshot.step, "curve": snapshot.curve, "losses": snapshot.losses}
    state = {**numbers, "checksum": _checksum(tensors, numbers)}
    save_file(tensors, path, metadata={"state": json.dumps(state)})
    _flush(path)


def _read(path: Path) -> Snapshot:
    with safe_open(path, framework="pt") as file:
        state: dict[str, Any] = json.loads((file.metadata() or {})["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    if state["checksum"] != _checksum(tensors, {name: state[name] for name in ("step", "curve", "losses")}):
        raise ValueError("its checksum does not fit")
    groups: dict[str, dict[str, Tensor]] = {"weights": {}, "moments": {}, "memory": {}}
    for full, tensor in tensors.items():
        group, _, name = full.partition("/")
        groups[group][name] = tensor
    total, count = state["losses"]
    return Snapshot(
        state["step"], groups["weights"], groups["moments"], state["curve"], (total, count), groups["memory"]
    )


def _checksum(tensors: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> int:
    """Returns the CRC-32 of the numbers and of all tensors, in the order of their names, with names and shapes."""
    value = zlib.crc32(json.dumps(numbers, sort_keys=True).encode())
    for name in sorted(tensors):
        value = zlib.crc32(f"{name} {tensors[name].dtype} {list(tensors[name].shape)}".encode(), value)
        value = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, value)
    return value


def _flush(path: Path) -> None:
    """Makes the file or the folder's entries survive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
