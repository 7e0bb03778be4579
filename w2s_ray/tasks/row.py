"""A row as it was read, before anyone judged it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One row of a source.

    Attributes:
        name: where people find it, as in "reviews.csv:17".
        text: as it is in the source; None if it has none.
        label: the class by name; None if it has none.
        group: rows that share one stay in one split; None if the row stands alone.
        problem: why the reader found it unfit, or empty.
        difficulty: larger is harder; None if the source does not say.
    """

    name: str
    text: str | None
    label: str | None
    group: str | None = None
    problem: str = ""
    difficulty: float | None = None


def cell(value: object) -> str | None:
    """Returns a label or group as text, the same whatever it was stored as (1, 1.0 and "1"); None if it is missing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None


def as_number(value: object) -> float | None:
    """Returns a cell as a finite number, however it was stored; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None
