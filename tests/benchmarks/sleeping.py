"""Stages that sleep: everything around them is real, the work itself is a pause of known length.

`install` runs in each worker process that Ray starts for the benchmark and puts the pause in the place of the work.
"""

import hashlib
import time
from typing import Any

import numpy as np

from w2s_ray.stages.artifacts import CURVE, EXAMPLES, FEATURES, PREDICTIONS, Examples, Predictions, write_lines
from w2s_ray.stages.stage import Stage
from w2s_ray.stages.store import Store

_QUICK = 0.5  # seconds of what is no training
_STEPS, _EXAMPLES = (10, 20), 40


def seconds_of(address: str, kind: str, mean: float) -> float:
    """Returns how long a stage sleeps: a training between half and one and a half of `mean`, by its address."""
    if kind != "finetune":
        return _QUICK
    return mean * (0.5 + int(hashlib.sha256(address.encode()).hexdigest()[:8], 16) / 2**32)


def install() -> None:
    """Makes this process's stages sleep."""
    from w2s_ray.stages import run

    run._make = _sleep


def _sleep(batch: list[Stage], store: Store, made_by: str, broker: Any) -> None:
    mean = float((store.root / "mean").read_text(encoding="utf-8"))
    time.sleep(seconds_of(batch[0].address, batch[0].kind, mean))
    for stage in batch:
        _publish(stage, store, made_by)


def _publish(stage: Stage, store: Store, made_by: str) -> None:
    """Publishes what the report reads of a stage: forty examples, and guesses at them."""
    accuracy = 0.6 + int(stage.address[:4], 16) / 2**18
    ids, classes = np.asarray([f"{n:04d}" for n in range(_EXAMPLES)]), np.arange(_EXAMPLES) % 2
    splits = np.repeat(["weak", "student", "validation", "test"], _EXAMPLES // 4)
    with store.publish(stage, made_by) as draft:
        if stage.kind == "examples":
            Examples(ids, [f"text {name}" for name in ids], classes, splits, ("no", "yes")).write(draft.path / EXAMPLES)
            draft.summary = {"rows": _EXAMPLES}
            return
        if stage.kind == "features":
            (draft.path / FEATURES).write_bytes(b"")  # read by trainings alone
            return
        rows = [{"step": step, "validation_accuracy": accuracy - 1 / step} for step in _STEPS]
        write_lines(draft.path / CURVE, rows)
        guesses = np.random.default_rng(int(stage.address[:8], 16)).random(_EXAMPLES)
        probabilities, told = np.stack([guesses, 1 - guesses], axis=1).astype(np.float32), splits != "weak"
        Predictions(ids[told], splits[told], probabilities[told]).write(draft.path / PREDICTIONS)
        draft.summary = {**rows[-1], "test_accuracy": accuracy}
