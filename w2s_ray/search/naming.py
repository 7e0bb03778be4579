"""The names of a sweep's Optuna studies, one for each pairing: sweep / pairing / what is compared / what is searched.

Values of two trials are *comparable* if pairing, examples, models, seeds and objective are the same, by content. Trials
share an Optuna study if besides the space, the methods and the list of pairings are. So a changed space begins a new
study that comparable trials may seed, and changed data begins one that they may not.

They are kept beside the spec, each list with the digest of the `sweep.yaml` that it belongs to. A changed spec's names
are there before the spec is, so a driver may die between the two: whichever spec is there finds its own study.
"""

import hashlib
import json
from pathlib import Path

from w2s_ray.files import from_json, write_whole
from w2s_ray.methods import Parts
from w2s_ray.spec import Pairing
from w2s_ray.stages.fingerprint import address_of

SPEC = "sweep.yaml"
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


def save_names(folder: Path, names: tuple[str, ...], spec: bytes) -> None:
    """Keeps the names beside the study, so that it can be read where data and models are not at hand.

    Args:
        folder: of the sweep.
        names: of its studies.
        spec: content of the `sweep.yaml` that is there, or will be; the names of the one that is there are kept too.
    """
    there, older = _digest_in(folder), load_names(folder)
    kept = {there: older} if there and older else {}
    kept.pop(_digest(spec), None)  # the newest stands last
    write_whole(folder / "study.json", json.dumps({**kept, _digest(spec): names}).encode())


def load_names(folder: Path) -> tuple[str, ...]:
    """Returns the names that `save_names` kept for the spec that is there; of an edited one the newest.

    None if no driver ever ran. Raises ValueError if they were altered.
    """
    path = folder / "study.json"
    if not path.is_file():
        return ()
    try:
        kept = from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(_altered(path, str(error))) from None
    by_spec = {"": kept} if isinstance(kept, list) else kept  # a list alone is an older version's
    if not isinstance(by_spec, dict) or not all(map(_are_names, by_spec.values())):
        raise ValueError(_altered(path, "no names"))
    newest = next(reversed(by_spec.values()), ())
    return tuple(by_spec.get(_digest_in(folder), newest))


def _are_names(names: object) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) for name in names)


def _digest_in(folder: Path) -> str | None:
    """Returns the digest of the `sweep.yaml` that is there."""
    path = folder / SPEC
    return _digest(path.read_bytes()) if path.is_file() else None


def _digest(spec: bytes) -> str:
    return hashlib.sha256(spec).hexdigest()[:_DIGITS]


def _altered(path: Path, why: str) -> str:
    return f"{path} is damaged ({why}); remove it, and `w2s resume {path.parent.name}` writes it again"
