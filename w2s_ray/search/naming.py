"""The names of a sweep's Optuna studies, one for each pairing: sweep / pairing / what is compared / what is searched.

Values of two trials are *comparable* if pairing, examples, models, seeds and objective are the same, by content. Trials
share an Optuna study if besides the space, the methods and the list of pairings are. So a changed space begins a new
study that comparable trials may seed, and changed data begins one that they may not.
"""

import json
from pathlib import Path

from w2s_ray.files import from_json, write_whole
from w2s_ray.methods import Parts
from w2s_ray.spec import Pairing
from w2s_ray.stages.fingerprint import address_of

_DIGITS = 16


def study_names(parts: Parts) -> tuple[str, ...]:
    """Returns the names of the studies of a sweep, in the order of its pairings."""
    sweep = parts.sweep
    data = sweep.model_dump(mode="json")
    models = {name: parts.baseline(name, "student", 0, "").address for name in sweep.models}  # a chain may use any
    searched = address_of({**{key: data[key] for key in ("pairings", "methods", "space")}, "models": models})[:_DIGITS]
    return tuple(f"{comparable_prefix(parts, pairing)}/{searched}" for pairing in sweep.pairings)


def comparable_prefix(parts: Parts, pairing: Pairing, sweep_name: str | None = None) -> str:
    """Returns how the names of all studies begin whose trials are comparable with those of `pairing`."""
    sweep = parts.sweep
    baselines = [parts.baseline(name, "student", 0, "").address for name in (pairing.weak, pairing.strong)]
    compared = {
        "examples": parts.examples.address,
        "baselines": baselines,
        "seeds": sweep.seeds,
        "objective": sweep.objective.labels,
    }
    return f"{sweep_name or sweep.name}/{pairing.name}/{address_of(compared)[:_DIGITS]}"


def save_names(folder: Path, names: tuple[str, ...]) -> None:
    """Keeps the names beside the study, so that it can be read where data and models are not at hand."""
    write_whole(folder / "study.json", json.dumps(list(names)).encode())


def load_names(folder: Path) -> tuple[str, ...]:
    """Returns the names that `save_names` kept; none if no driver ever ran. Raises ValueError if they were altered."""
    path = folder / "study.json"
    if not path.is_file():
        return ()
    try:
        names = from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(_altered(path, str(error))) from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(_altered(path, "no list of names"))
    return tuple(names)


def _altered(path: Path, why: str) -> str:
    return f"{path} is damaged ({why}); remove it, and `w2s resume {path.parent.name}` writes it again"
