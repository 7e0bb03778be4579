"""Content addresses: the same meaning gives the same address, on any machine, in any year, and nothing is guessed.

Canonical JSON of plain values and `Frozen` models; a type the encoder does not know is refused, because a permissive
`str(x)` would let an address drift from one run to the next. A field added later carries its old behaviour as default
and is marked `json_schema_extra={"since_default": True}`: at that default it is left out, so old addresses stand.
"""

import hashlib
import json
import math
from typing import Any

from w2s_ray.spec.base import Frozen

_DIGITS = 32


def address_of(value: Any) -> str:
    """Returns 32 hex digits of the sha256 over the canonical JSON of `value`. Raises TypeError on an unknown type."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:_DIGITS]


def canonical_json(value: Any) -> str:
    """Returns the one JSON text of `value`. Raises TypeError on an unknown type, ValueError on NaN or infinity."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def encode(value: Any) -> Any:
    """Returns `value` as plain JSON data."""
    if isinstance(value, Frozen):
        return {name: encode(getattr(value, name)) for name in _identity_fields(value)}
    if isinstance(value, dict):
        unfit = [key for key in value if not isinstance(key, str)]
        if unfit:
            raise TypeError(f"a fingerprint's mapping has string keys, got {unfit[0]!r}")
        return {key: encode(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"a fingerprint holds finite numbers, got {value}")
    if value is None or type(value) in (bool, int, float, str):
        return value
    raise TypeError(f"a fingerprint cannot hold {type(value).__name__} ({value!r}); give it a plain value")


def _identity_fields(model: Frozen) -> list[str]:
    names = []
    for name, field in type(model).model_fields.items():
        extra = field.json_schema_extra
        since_default = isinstance(extra, dict) and extra.get("since_default")
        if not (since_default and getattr(model, name) == field.default):
            names.append(name)
    return names
