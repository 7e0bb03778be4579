"""A data set of a hub, pinned by the commit of its revision.

`owner/name` is its only configuration and its split "train"; `owner/name/configuration:split` says which. Nothing that
belongs to the data set is run: since version 4, `datasets` reads data files alone.
"""

import re
from dataclasses import dataclass

from w2s_ray.assets import AssetError, check_hub_id
from w2s_ray.spec.task import Columns
from w2s_ray.tasks.row import Row
from w2s_ray.tasks.table import check_columns, row_of


@dataclass(frozen=True)
class HubSplit:
    """One split of one configuration of a data set."""

    dataset: str
    configuration: str | None
    split: str


def parse(source: str) -> HubSplit:
    """Reads `name`, `owner/name` or `owner/name/configuration`, and `:split` behind it. Raises ValueError."""
    found = re.fullmatch(r"([^/:]+(?:/[^/:]+)?)(?:/([^/:]+))?(?::([\w.-]+))?", source)
    if not found:
        raise ValueError(f"{source!r} must be owner/name, or owner/name/configuration:split")
    return HubSplit(found[1], found[2], found[3] or "train")


def fingerprint(source: str, revision: str | None) -> str:
    """Returns what identifies the data. Raises ValueError if no commit pins it. Downloads nothing."""
    wanted = parse(source)
    check_hub_id(wanted.dataset, revision, "hub data set")
    return f"hub:{wanted.dataset}/{wanted.configuration or ''}:{wanted.split}@{revision}"


def read(source: str, revision: str | None, columns: Columns) -> list[Row]:
    """Returns the rows of a hub data set; a label that is stored as a number has the name the data set gives it.

    Raises:
        ValueError: no commit pins it, or it lacks a column.
        AssetError: it cannot be downloaded.
    """
    fingerprint(source, revision)
    import datasets

    wanted = parse(source)
    try:
        data = datasets.load_dataset(wanted.dataset, name=wanted.configuration, split=wanted.split, revision=revision)
    except Exception as error:  # an open set: requests, httpx, the hub's own, the builder's
        why = (str(error).strip().splitlines() or [""])[0]
        raise AssetError(
            f"hub data set {source} at {revision} cannot be had: {type(error).__name__}: {why}; without the hub, save "
            f"it as CSV, JSON lines or Parquet and name the file"
        ) from error
    return rows_of(data, source, columns)


def rows_of(data: "datasets.Dataset", source: str, columns: Columns) -> list[Row]:  # type: ignore[name-defined] # noqa: F821
    """Returns the rows of a loaded data set."""
    check_columns(source, columns, list(data.column_names))
    names = getattr(data.features[columns.label], "names", None)
    rows = []
    for number, values in enumerate(data.select_columns([name for _, name in columns if name]), start=1):
        label = values[columns.label]
        if names is not None:
            # -1 is how hubs say that a label is withheld.
            label = names[label] if label is not None and 0 <= label < len(names) else None
        rows.append(row_of(f"{source}:{number}", {**values, columns.label: label}, columns))
    return rows
