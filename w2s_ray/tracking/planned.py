"""A run as it shall be in MLflow, said without MLflow.

Everything in it follows from the sweep's record, times too, so that projecting twice gives equal runs and a digest
tells whether there is anything to write.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

RUNNING, FINISHED, FAILED, KILLED = "RUNNING", "FINISHED", "FAILED", "KILLED"
HISTORY = "w2s.history"  # tag of every run: of which history of the sweep it is

_LONGEST_TAG = 8000  # characters MLflow keeps of a tag; it would cut silently


class Point(NamedTuple):
    """One value of a metric; `time` is in milliseconds since the epoch."""

    key: str
    value: float
    step: int
    time: int


class Dataset(NamedTuple):
    """One data set that a run reads; `source`, `schema` and `profile` are JSON, as MLflow keeps them."""

    name: str
    digest: str
    context: str
    source_type: str
    source: str
    schema: str
    profile: str


@dataclass(frozen=True)
class PlannedRun:
    """A run to be written.

    Attributes:
        key: names the run within its experiment; two runs of one key are the same run.
        status: `RUNNING`, `FINISHED`, `FAILED` or `KILLED`.
        start, end: milliseconds since the epoch; `end` is None while it runs.
        params: identity only, so that they never change.
        points: of all metrics; of one key and step there is one.
        tags: whatever may change.
        inputs: the data it reads.
    """

    key: str
    name: str
    status: str
    start: int
    end: int | None
    params: Mapping[str, str]
    points: tuple[Point, ...]
    tags: Mapping[str, str]
    inputs: tuple[Dataset, ...] = ()

    def digest(self, parent: str | None) -> str:
        """Returns 32 hex digits over all of the run and the id of its parent run."""
        content = json.dumps([asdict(self), parent], sort_keys=True, allow_nan=False)
        return hashlib.sha256(content.encode()).hexdigest()[:32]


def milliseconds(seconds: float | None) -> int:
    """Returns MLflow's time. An unknown time is 1970's first millisecond, since MLflow reads 0 as now."""
    return max(1, round(seconds * 1000)) if seconds else 1


def is_number(value: Any) -> bool:
    """Whether a metric can hold `value`."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def text_of(value: Any) -> str:
    """Returns a param's text; numbers keep every digit."""
    return value if isinstance(value, str) else json.dumps(value)


def cut(text: str, limit: int = _LONGEST_TAG) -> str:
    """Returns `text`, at its end cut with a remark if it is longer than a tag may be."""
    remark = "\n... (cut)"
    return text if len(text) <= limit else text[: limit - len(remark)] + remark
