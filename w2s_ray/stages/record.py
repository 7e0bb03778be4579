"""stage.json: what a finished stage says of itself, and how that is trusted.

It is read as bytes from anywhere: unknown keys are passed over, a missing or misfit one is damage. The identity
must give the stage's own address, and a checksum covers the numbers, so that an altered record is found like an altered
file. Sizes and checksum came later; a record without them is judged by the rest.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from dataclasses import fields as fields_of
from typing import Any, NoReturn

from w2s_ray.stages.fingerprint import address_of
from w2s_ray.stages.usage import Look, is_usage

RECORD = "stage.json"


class DamageError(Exception):
    """What is wrong with a stage's folder, in words that go on from "stage ADDRESS ..."."""


@dataclass(frozen=True)
class StageRecord:
    """What stage.json holds.

    Attributes:
        identity: what the address was made of: kind, version, inputs' addresses, settings.
        summary: the stage's final numbers.
        seconds: wall-clock of the task that made it, and of the part inside the loop.
        made_by: the sweep that ran it.
        files: name to sha256.
        sizes: name to bytes.
        dropped: names of files that `w2s gc` removed.
        usage: what the process used, see `w2s_ray.stages.usage`.
    """

    address: str
    identity: dict[str, Any]
    label: str
    summary: dict[str, Any]
    seconds: dict[str, float]
    made_by: str
    finished_at: float
    files: dict[str, str]
    sizes: dict[str, int] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    usage: list[Look] = field(default_factory=list)

    @property
    def kind(self) -> str:
        """`examples`, `features`, `labels`, `hint`, `prompt` or `finetune`."""
        return str(self.identity["kind"])

    @property
    def inputs(self) -> tuple[str, ...]:
        """The addresses of the stages that this one read."""
        return tuple(self.identity["inputs"].values())

    def to_json(self) -> str:
        """Returns the text of stage.json. Raises ValueError on NaN or infinity."""
        data = json.loads(json.dumps(asdict(self), allow_nan=False))
        return json.dumps({**data, "checksum": _checksum(data)}, indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, content: bytes, address: str) -> "StageRecord":
        """Reads what `to_json` wrote for `address`. Raises DamageError, whatever the bytes are."""
        try:
            data = _load(content)
            _check_types(data)
            _check(data, address)
        except RecursionError as error:
            raise DamageError(f"has a {RECORD} nested too deep") from error
        known = {name: data[name] for name in _TYPES if name in data}
        return cls(**{**known, "dropped": tuple(known.get("dropped", ()))})


_TYPES: dict[str, type | tuple[type, ...]] = {
    "address": str,
    "identity": dict,
    "label": str,
    "summary": dict,
    "seconds": dict,
    "made_by": str,
    "finished_at": (int, float),
    "files": dict,
    "sizes": dict,
    "dropped": list,
    "usage": list,
}
_REQUIRED = frozenset(_TYPES) - {"sizes", "dropped", "usage"}
assert set(_TYPES) == {one.name for one in fields_of(StageRecord)}


def _load(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content.decode("utf-8"), parse_constant=_refuse)
    except ValueError as error:
        raise DamageError(f"has a {RECORD} that is no JSON") from error
    if not isinstance(data, dict):
        raise DamageError(f"has a {RECORD} that is no JSON object")
    return data


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of ours")


def _check_types(data: dict[str, Any]) -> None:
    for name, kind in _TYPES.items():
        if name in _REQUIRED and name not in data:
            raise DamageError(f"has no {name!r} in its {RECORD}")
        if name in data and not isinstance(data[name], kind):
            raise DamageError(f"has {name!r} of a wrong type in its {RECORD}")


def _check(data: dict[str, Any], address: str) -> None:
    if data["address"] != address or _address_of(data["identity"]) != address:
        raise DamageError(f"has a {RECORD} that belongs to another stage")
    names = {*data["files"], *data.get("sizes", {})}
    if not all(name and name not in (".", "..") and "/" not in name and "\0" not in name for name in names):
        raise DamageError(f"names files outside its folder in its {RECORD}")
    if not all(isinstance(one, str) for one in data["files"].values()):
        raise DamageError(f"has a checksum that is no text in its {RECORD}")
    if not is_usage(data.get("usage", [])):
        raise DamageError(f"has a 'usage' that is none in its {RECORD}")
    is_older = "sizes" not in data and "checksum" not in data
    if not is_older and data.get("checksum") != _checksum(data):
        raise DamageError(f"has a {RECORD} that was altered")


def _address_of(identity: dict[str, Any]) -> str | None:
    inputs = identity.get("inputs")
    if "kind" not in identity or not isinstance(inputs, dict) or not all(isinstance(a, str) for a in inputs.values()):
        return None
    try:
        return address_of(identity)
    except (TypeError, ValueError):
        return None


def _checksum(data: dict[str, Any]) -> str:
    """Covers what numbers are read from; label, times and maker may be corrected by hand."""
    covered = {name: data.get(name) for name in ("summary", "files", "sizes")}
    return hashlib.sha256(json.dumps(covered, sort_keys=True).encode()).hexdigest()
