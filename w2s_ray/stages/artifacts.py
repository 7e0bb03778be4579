"""The files inside a stored stage: Parquet, safetensors and JSON lines. Nothing is pickled; reading cannot run code."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from w2s_ray.files import from_json

EXAMPLES, FEATURES, PREDICTIONS = "examples.parquet", "features.safetensors", "predictions.parquet"
CURVE, WEIGHTS = "curve.jsonl", "weights.safetensors"
READ_OF = {
    "examples": EXAMPLES,
    "texts": EXAMPLES,
    "features": FEATURES,
    "weights": WEIGHTS,
    "labels": PREDICTIONS,
    "ceiling": PREDICTIONS,
}
"""An input's role, without the number it may have, to the file that is read of it."""


@dataclass(frozen=True)
class Examples:
    """A cleaned and split task. All arrays have shape (n,); splits are weak, student, validation, test."""

    ids: NDArray[np.str_]
    texts: list[str]
    classes: NDArray[np.int64]
    splits: NDArray[np.str_]
    class_names: tuple[str, ...]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Returns the row numbers of `split`, in stored order."""
        return np.flatnonzero(self.splits == split)

    def write(self, path: Path) -> None:
        """Writes one Parquet file."""
        table = pa.table({"id": self.ids, "text": self.texts, "class": self.classes, "split": self.splits})
        names = {b"class_names": json.dumps(list(self.class_names)).encode()}
        pq.write_table(table.replace_schema_metadata(names), path)

    @classmethod
    def read(cls, path: Path) -> "Examples":
        """Reads what `write` wrote."""
        table = pq.read_table(path)
        names = _named(path, (table.schema.metadata or {})[b"class_names"])
        return cls(
            ids=np.asarray(table["id"].to_pylist(), dtype=np.str_),
            texts=table["text"].to_pylist(),
            classes=table["class"].to_numpy().astype(np.int64),
            splits=np.asarray(table["split"].to_pylist(), dtype=np.str_),
            class_names=tuple(names),
        )


@dataclass(frozen=True)
class Predictions:
    """Class probabilities of one model on examples of several splits; probabilities have shape (n, classes)."""

    ids: NDArray[np.str_]
    splits: NDArray[np.str_]
    probabilities: NDArray[np.float32]

    def of(self, split: str) -> "Predictions":
        """Returns the part on `split`."""
        rows = self.splits == split
        return Predictions(self.ids[rows], self.splits[rows], self.probabilities[rows])

    def write(self, path: Path) -> None:
        """Writes one Parquet file with a column per class."""
        columns: dict[str, Any] = {"id": self.ids, "split": self.splits}
        columns.update({f"p{k}": self.probabilities[:, k] for k in range(self.probabilities.shape[1])})
        pq.write_table(pa.table(columns), path)

    @classmethod
    def read(cls, path: Path) -> "Predictions":
        """Reads what `write` wrote."""
        table = pq.read_table(path)
        names = sorted((name for name in table.column_names if name.startswith("p")), key=lambda name: int(name[1:]))
        return cls(
            ids=np.asarray(table["id"].to_pylist(), dtype=np.str_),
            splits=np.asarray(table["split"].to_pylist(), dtype=np.str_),
            probabilities=np.stack([table[name].to_numpy() for name in names], axis=1).astype(np.float32),
        )


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes JSON lines."""
    path.write_text("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads JSON lines. Raises ValueError that names the line which is none."""
    lines = path.read_bytes().splitlines()
    return [_named(f"{path}:{number}", line) for number, line in enumerate(lines, 1)]


def _named(place: object, content: bytes) -> Any:
    try:
        return from_json(content)
    except ValueError as error:
        raise ValueError(f"{place} is no JSON: {error}") from None
